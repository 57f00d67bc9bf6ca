from __future__ import annotations

import copy
import operator
import pickle

import numpy as np
import pytest

from harness.core.evidence import Missing, highest, is_missing, lowest, total

GAP = Missing("the switch has no such counter")


@pytest.mark.parametrize(
    "operate",
    [
        lambda x: x + 1, lambda x: 1 + x, lambda x: x - 1, lambda x: 1 - x, lambda x: 2 * x, lambda x: x / 2,
        lambda x: 1 / x, lambda x: x // 2, lambda x: x % 2, lambda x: x**2, lambda x: 2**x, operator.neg, abs, round,
        lambda x: x + GAP, lambda x: np.float64(3) * x, lambda x: np.arange(3) + x,
    ],
)  # fmt: skip
def test_arithmetic_gives_it_back(operate):
    assert operate(GAP) is GAP


@pytest.mark.parametrize(
    "operate",
    [
        bool, float, int, complex, lambda x: x < 1, lambda x: x >= 1, lambda x: operator.lt(1, x), lambda x: x == 0,
        lambda x: operator.eq(0, x), lambda x: x != 0, lambda x: max(x, 3), lambda x: min(3, x), lambda x: [1][x],
        lambda x: not x, lambda x: x and 1,
    ],
)  # fmt: skip
def test_it_never_passes_for_a_truth_or_a_number(operate):
    with pytest.raises(TypeError):
        operate(GAP)


def test_it_reads_as_no_data_in_any_format():
    assert f"{GAP}" == f"{GAP:.2f}" == str(GAP) == "no data"


def test_it_is_a_value():
    assert Missing("a") == Missing("a") != Missing("b")
    assert pickle.loads(pickle.dumps(GAP)) == copy.deepcopy(GAP) == GAP
    with pytest.raises(AttributeError):
        GAP.reason = "other"


def test_reductions_give_the_gap_and_never_a_part():
    assert total([1, GAP, 2]) is lowest([GAP, 1]) is highest([1, GAP]) is GAP
    assert (total([1, 2]), lowest([1, 2]), highest([1, 2])) == (3, 1, 2)
    assert all(is_missing(reduce([])) for reduce in (total, lowest, highest))
