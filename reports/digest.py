"""What formats for reading at a glance take out of a record: what needs a person, margins, what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.core.measure import Measurement, Verdict
from harness.core.record import Outcome, RunRecord, TestRecord
from reports.measurements import measurement_views, relative_margin, worst_first
from reports.outcomes import WORST_FIRST
from reports.page import name_of
from reports.text import count, one_line, shorten
from reports.view import MeasurementView

MAX_NAME, MAX_REASON = 200, 2000
"""Characters of a name and of a reason that fit where many are listed; the record has them whole."""


INTENDED = "FAIL, intended"
"""Verdict of a measurement that failed because something was broken for it on purpose."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """A measurement of a claim and how far from its limit it is."""

    test: str
    outcome: Outcome
    view: MeasurementView


def title_of(test: TestRecord) -> str:
    """The test as a phrase, with the session that it is from where there are several."""
    name = shorten(name_of(test), MAX_NAME)
    run = shorten(one_line(test.run), MAX_NAME)
    return f"{name} · {run}" if run and not name.endswith(run) else name


def needing_a_person(record: RunRecord, *outcomes: Outcome) -> list[TestRecord]:
    """Tests with one of `outcomes`, the worst first; by default all that are not good."""
    wanted = outcomes or tuple(outcome for outcome in Outcome if not outcome.is_good)
    found = [test for test in record.tests if test.outcome in wanted]
    return sorted(found, key=lambda test: WORST_FIRST.index(test.outcome))


def views_of(test: TestRecord) -> tuple[MeasurementView, ...]:
    """The measurements, worst first; what a working negative control made fail is told from what the product did."""
    views = measurement_views(test.measurements)
    if not (test.negative_control and test.outcome is Outcome.PASS):
        return views
    return tuple(replace(view, verdict=INTENDED) if view.style == "fail" else view for view in views)


def headline_of(test: TestRecord) -> str:
    """The first line of what a test has to say, else its decisive measurement."""
    said = one_line(shorten(test.message.partition("\n")[0], MAX_REASON))
    return said or next(iter(_reasons(test)), "")


def nearest_to_limits(record: RunRecord, most: int) -> list[Nearest]:
    """Of each claim the measurement with the smallest relative margin; the smallest of all first, up to 100 %.

    Left out are measurements that no margin can be given for, and negative controls, which fail on purpose.
    """
    found = [
        (margin, test, measurement)
        for test in record.tests
        if not test.negative_control and test.outcome is not Outcome.SKIPPED
        for margin, measurement in _closest(test)
    ]
    found.sort(key=lambda each: each[0])
    return [
        Nearest(title_of(test), test.outcome, measurement_views([measurement])[0])
        for _, test, measurement in found[:most]
    ]


def _closest(test: TestRecord) -> list[tuple[float, Measurement]]:
    """The one measurement of a test that is closest to its limit; none where nothing has a margin below 100 %."""
    margins = [
        (margin, each)
        for each in test.measurements
        if each.verdict is not Verdict.INVALID
        and (margin := relative_margin(each)) is not None
        and margin < 1
    ]
    return sorted(margins, key=lambda each: each[0])[:1]


def reasons_of_invalid(test: TestRecord) -> list[str]:
    """Why a test is INVALID: each measurement without evidence, else what the test says."""
    doubts = [f"run {run.number}: {one_line(reason)}" for run in test.runs for reason in run.invalid_reasons]
    return [shorten(reason, MAX_REASON) for reason in (*doubts, *_reasons(test))] or [headline_of(test)]


def _reasons(test: TestRecord) -> list[str]:
    """Why each measurement with the verdict of the test has it."""
    return [
        f"{shorten(one_line(each.name), MAX_NAME)}: {shorten(one_line(each.reason or 'no evidence'), MAX_REASON)}"
        for each in worst_first(test.measurements)
        if each.verdict is test.outcome.verdict and each.verdict is not Verdict.PASS
    ]


def what_is_missing(record: RunRecord) -> list[str]:
    """Why a record does not show all that its session was for; nothing for a whole one with tests."""
    missing = [one_line(problem) for problem in record.problems]
    cut = [run.run_id for run in (record.joined or (record,)) if run.finished is None]
    if cut and not record.problems:
        missing += [
            f"session {one_line(name)} was cut short: tests after the last one are missing" for name in cut
        ]
    if not record.tests:
        missing.append("no test ran, so nothing was shown")
    return missing


def sum_of_controls(tests: Iterable[TestRecord]) -> str:
    """A sentence about the negative controls; "" when there are none."""
    controls = [test for test in tests if test.negative_control and test.outcome is not Outcome.SKIPPED]
    if not controls:
        return ""
    seen = sum(test.outcome is Outcome.PASS for test in controls)
    all_of = f"{count(len(controls), 'negative control')}: {seen} saw the fault that was made"
    return f"{all_of}." if seen == len(controls) else f"{all_of}, {len(controls) - seen} did not."


def skipped_for(tests: Iterable[TestRecord]) -> list[tuple[str, int]]:
    """Why tests were skipped, and how many for each reason, the most frequent first."""
    reasons: dict[str, int] = {}
    for test in tests:
        if test.outcome is Outcome.SKIPPED:
            reason = shorten(one_line(test.skipped or test.message or "no reason given"), 500)
            reasons[reason] = reasons.get(reason, 0) + 1
    return sorted(reasons.items(), key=lambda item: -item[1])
