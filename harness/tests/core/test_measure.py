from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import ConfigError
from harness.core.evidence import Missing
from harness.core.measure import (
    Limit,
    Verdict,
    approx,
    at_least,
    at_most,
    between,
    doubted,
    equals,
    judge,
    measure,
    within,
)  # fmt: skip

FINITE = st.floats(-1e9, 1e9)
LIMITS = st.one_of(
    FINITE.map(at_least),
    FINITE.map(at_most),
    FINITE.map(equals),
    st.tuples(FINITE, FINITE).map(lambda pair: within(min(pair), max(pair))),
    st.tuples(FINITE, st.floats(0, 1)).map(lambda pair: approx(pair[0], rel=pair[1])),
)
NO_DATA = st.one_of(
    st.none(),
    st.text().map(Missing),
    st.sampled_from([math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf"), Decimal("nan")]),
    st.text(),
    st.lists(st.integers()),
    st.complex_numbers(),
)


@given(NO_DATA, LIMITS)
def test_no_data_is_never_a_pass(value, limit):
    assert judge(value, limit) is Verdict.INVALID
    measurement = measure("x", value, limit)
    assert not measurement.verdict.passed
    assert measurement.reason


@given(st.one_of(FINITE, st.integers(-(10**30), 10**30)), LIMITS)
def test_a_number_is_judged_by_the_range_alone(value, limit):
    holds = (limit.low is None or value >= limit.low) and (limit.high is None or value <= limit.high)
    assert judge(value, limit).passed == holds
    assert judge(value, limit) is not Verdict.INVALID


@pytest.mark.parametrize(
    ("limit", "value", "verdict"),
    [
        (at_least(95), 97.2, Verdict.PASS),
        (at_least(95), 96.8, Verdict.MARGINAL),
        (at_least(95), 95, Verdict.MARGINAL),
        (at_least(95), 94.999, Verdict.FAIL),
        (at_least(95, margin=0), 95, Verdict.PASS),
        (at_least(0), 0, Verdict.PASS),
        (at_most(3), 3, Verdict.MARGINAL),
        (at_most(3), 2, Verdict.PASS),
        (at_most(0), 0, Verdict.PASS),
        (at_most(100, margin_abs=10), 91, Verdict.MARGINAL),
        (equals(0), 0, Verdict.PASS),
        (equals(0), 1, Verdict.FAIL),
        (equals(2**60), 2**60 + 1, Verdict.FAIL),
        (within(1, 2), 2, Verdict.PASS),
        (between(1, 2), 2, Verdict.FAIL),
        (between(1, 2), 1.5, Verdict.PASS),
        (approx(100, rel=0.01), 101, Verdict.PASS),
        (approx(100, abs=1), 101.5, Verdict.FAIL),
        (approx(-100, rel=0.01), -100.5, Verdict.PASS),
        (equals(5), np.int64(5), Verdict.PASS),
        (equals(1), True, Verdict.PASS),
    ],
)
def test_limits_judge(limit, value, verdict):
    assert limit(value) is verdict


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (at_least(95), "≥ 95"),
        (at_most(3.5), "≤ 3.5"),
        (equals(0), "= 0"),
        (within(1, 2), "1 ≤ x ≤ 2"),
        (between(1, 2), "1 < x < 2"),
        (approx(100, rel=0.01), "100 ± 1 %"),
        (approx(100, abs=5), "100 ± 5"),
        (equals(12345678), "= 12345678"),
        (at_least(np.float64(95)), "≥ 95"),
    ],
)
def test_limits_read_as_what_they_check(limit, text):
    assert str(limit) == text


@pytest.mark.parametrize(
    "make",
    [
        lambda: at_least(math.nan),
        lambda: at_most(math.inf),
        lambda: within(2, 1),
        Limit,
        lambda: approx(1),
        lambda: approx(1, rel=0.1, abs=1),
        lambda: approx(1, rel=-1),
        lambda: at_least(None),
        lambda: at_least(1, margin=0.1, margin_abs=1),
        lambda: at_least(1, margin=-1),
    ],
)
def test_a_limit_that_can_judge_nothing_is_refused(make):
    with pytest.raises(ConfigError):
        make()


def test_the_worst_verdict_counts_and_none_at_all_is_invalid():
    assert Verdict.worst([Verdict.PASS, Verdict.FAIL, Verdict.MARGINAL]) is Verdict.FAIL
    assert Verdict.worst([Verdict.FAIL, Verdict.INVALID]) is Verdict.INVALID
    assert Verdict.worst([]) is Verdict.INVALID
    assert sorted(Verdict, key=lambda v: v.rank) == [
        Verdict.PASS,
        Verdict.MARGINAL,
        Verdict.FAIL,
        Verdict.INVALID,
    ]


def test_a_measurement_says_why_it_is_not_a_pass():
    assert measure("goodput", 97.2, at_least(95)).reason is None
    assert measure("goodput", 94, at_least(95)).reason == "94 is not ≥ 95"
    assert "within 1.9 of the limit" in measure("goodput", 95.5, at_least(95)).reason
    assert measure("drops", Missing("no counters"), equals(0)).reason == "no data: no counters"
    assert measure("x", 1, at_least(0).expected_from("a paper")).source == "a paper"


def test_numpy_numbers_are_kept_as_plain_ones():
    assert type(measure("x", np.float64(1.5), at_least(1)).value) is float
    assert type(measure("x", np.int64(1), at_least(1)).value) is int


@pytest.mark.parametrize(
    "limit",
    [
        at_least(0.9 * Missing("no counter")),
        at_most(Missing("no counter")),
        within(0, Missing("no counter")),
        between(Missing("no counter"), 1),
        equals(Missing("no counter")),
        approx(Missing("no counter"), rel=0.1),
    ],
    ids=["at_least", "at_most", "within", "between", "equals", "approx"],
)
def test_a_bound_from_a_missing_reading_judges_nothing(limit):
    measured = measure("goodput", 1e9, limit, "b/s")

    assert measured.verdict is Verdict.INVALID
    assert "the limit is unknown: no data: no counter" in measured.reason
    assert str(limit) == "unknown"


HELD = ["run 1: the generator of h1 was the bottleneck: its thread was always busy"]


@pytest.mark.parametrize(
    ("value", "limit", "unit", "verdict"),
    [
        (80.0, at_least(95), "Gb/s", Verdict.INVALID),  # too slow
        (99.0, at_most(95), "Gb/s", Verdict.FAIL),  # too fast is no fault of a slow host
        (0, at_least(1), "", Verdict.INVALID),  # no marks, for there was no load
        (3, equals(0), "", Verdict.FAIL),  # drops
        (17, equals(0), "B", Verdict.FAIL),  # wrong bytes
        (3, equals(4), "", Verdict.INVALID),
        (12.5, at_most(10), "us", Verdict.INVALID),  # too late
        (12, at_most(10), "ms", Verdict.INVALID),
        (1.7, at_most(1.5), "", Verdict.INVALID),  # a ratio
        (0.5, between(0.5, 1), "", Verdict.INVALID),
        (97.0, at_least(95), "Gb/s", Verdict.PASS),
        (95.5, at_least(95), "Gb/s", Verdict.MARGINAL),
        (None, at_least(95), "Gb/s", Verdict.INVALID),
    ],
)
def test_a_fail_that_a_slow_host_may_explain_is_invalid(value, limit, unit, verdict):
    plain = measure("x", value, limit, unit)
    found = doubted(plain, HELD)
    assert found.verdict is verdict
    if found.verdict is not plain.verdict:
        assert found.reason == f"{HELD[0]}; {plain.reason}"
    assert doubted(plain, []) == plain


def test_the_same_bottleneck_is_told_once():
    found = doubted(measure("x", 1.0, at_least(2), "Gb/s"), HELD * 3)
    assert found.reason.count("bottleneck") == 1
