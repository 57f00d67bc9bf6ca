from __future__ import annotations

from typing import Any

from harness.analysis.reductions import checked_ranks, right_sum_bytes, wrong_sums
from harness.core.evidence import is_missing
from harness.core.result import RunResult


def result(**reductions: Any) -> RunResult:
    return RunResult({}, {"format": 1, "simulated": False, "hosts": {"reductions": reductions}})


GOOD = {"expected_ok": True, "bytes": 400, "wrong": 0, "first_wrong": None}
BAD = {"expected_ok": False, "bytes": 400, "wrong": 7, "first_wrong": 3}


def test_right_sums_of_all_ranks_add_up() -> None:
    found = result(a=GOOD, b=GOOD)
    assert (checked_ranks(found), right_sum_bytes(found), wrong_sums(found)) == (2, 800, 0)


def test_one_wrong_rank_shows() -> None:
    found = result(a=GOOD, b=BAD)
    assert (right_sum_bytes(found), wrong_sums(found)) == (800 - 7 * 4, 7)


def test_sums_that_nobody_looked_at_are_missing() -> None:
    for found in (result(), result(a={"bytes": 400}), RunResult({}, {"format": 1, "simulated": True})):
        assert is_missing(wrong_sums(found))
        assert is_missing(right_sum_bytes(found))
