from __future__ import annotations

from bench.verdicts import differences
from harness.core.measure import at_most, measure
from harness.core.record import Outcome, RunRecord, TestRecord


def session(**outcomes: tuple[Outcome, float]) -> RunRecord:
    tests = tuple(
        TestRecord(name, outcome, measurements=(measure("wait", value, at_most(9)),))
        for name, (outcome, value) in outcomes.items()
    )
    return RunRecord(run_id="r", started="", fabric="sim", simulated=True, tests=tests)


FIRST = session(a=(Outcome.PASS, 1.0), b=(Outcome.PASS, 2.0))


def test_equal_sessions_differ_in_nothing() -> None:
    assert differences(FIRST, FIRST, values=True) == []


def test_order_means_nothing() -> None:
    assert differences(FIRST, session(b=(Outcome.PASS, 2.0), a=(Outcome.PASS, 1.0)), values=True) == []


def test_a_value_that_differs_shows_only_where_values_are_compared() -> None:
    other = session(a=(Outcome.PASS, 1.0), b=(Outcome.PASS, 2.5))
    assert differences(FIRST, other, values=False) == []
    assert [line.partition(":")[0] for line in differences(FIRST, other, values=True)] == ["b"]


def test_a_verdict_or_a_test_that_differs_always_shows() -> None:
    other = session(a=(Outcome.MARGINAL, 1.0), c=(Outcome.PASS, 2.0))
    assert [line.partition(":")[0] for line in differences(FIRST, other, values=False)] == ["a", "b", "c"]
