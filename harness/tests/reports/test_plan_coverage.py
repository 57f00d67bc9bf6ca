from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.record import Outcome
from harness.tests.reports import sample
from reports.page import page_view

LACKS = "fabric 'sim' does not offer CAPTURE"


def plan_of(*outcomes: str):
    good = sample.record().tests[1]
    tests = tuple(
        replace(
            good, nodeid=f"a.py::test_{i}", plan_ids=("X-1",), outcome=Outcome[name],
            skipped=LACKS if name == "SKIPPED" else None,
        )
        for i, name in enumerate(outcomes)
    )  # fmt: skip
    page = page_view(sample.record(tests=tests))
    return page.plan[0], page.plan_summary


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (["PASS", "SKIPPED"], "PASS"),
        (["SKIPPED", "SKIPPED"], "SKIPPED"),
        (["MARGINAL", "SKIPPED", "PASS"], "MARGINAL"),
        (["SKIPPED", "FAIL"], "FAIL"),
        (["LAB_FAULT", "INVALID", "PASS"], "INVALID"),
    ],
)
def test_a_case_has_the_verdict_of_the_tests_that_ran(outcomes, verdict) -> None:
    row, summary = plan_of(*outcomes)
    assert row.verdict == verdict
    assert summary == f"1 case of the test plan: 1 {verdict}"


def test_what_was_skipped_is_told_with_the_capability_that_is_missing() -> None:
    assert plan_of("PASS", "SKIPPED", "SKIPPED")[0].note == f"2 of 3 tests skipped: {LACKS}"
    assert plan_of("PASS", "PASS")[0].note == ""


def test_a_negative_control_covers_nothing_and_is_told_of_when_it_is_blind() -> None:
    good, control = sample.record().tests[1], sample.record().tests[4]
    alone = replace(control, plan_ids=("X-2",))
    for outcome, note in (("PASS", ""), ("FAIL", "1 of 1 negative control did not see the fault")):
        tests = (
            replace(good, plan_ids=("X-1",)),
            replace(control, plan_ids=("X-1",), outcome=Outcome[outcome]),
            alone,
        )
        (row,) = page_view(sample.record(tests=tests)).plan
        assert (row.plan_id, row.verdict, row.note, len(row.tests)) == ("X-1", "PASS", note, 2)
