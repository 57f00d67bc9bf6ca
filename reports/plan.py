"""Coverage of the test plan: for each of its IDs the verdict of the tests that ran, and why others did not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.core.record import Outcome, TestRecord
from reports.outcomes import STYLES, WORST_FIRST, worst
from reports.text import count, one_line, shorten
from reports.view import LinkView, PlanView

Found = tuple[TestRecord, LinkView]

MAX_REASONS = 3


def plan_views(pairs: Iterable[Found]) -> tuple[PlanView, ...]:
    """One row an ID: SKIPPED only where no test of it ran; controls count as the tests that they are."""
    by_id: dict[str, list[Found]] = {}
    for test, link in pairs:
        for plan_id in test.plan_ids:
            by_id.setdefault(shorten(one_line(plan_id), 60), []).append((test, link))
    return tuple(_row(plan_id, found) for plan_id, found in sorted(by_id.items()))


def summary_of(rows: Sequence[PlanView]) -> str:
    """How much of what the tests name was shown: "12 cases: 10 PASS, 1 FAIL, 1 SKIPPED"."""
    amounts = {
        outcome.value: sum(row.verdict == outcome.value for row in rows) for outcome in reversed(WORST_FIRST)
    }
    listed = ", ".join(f"{amount} {verdict}" for verdict, amount in amounts.items() if amount)
    return f"{count(len(rows), 'case')} of the test plan: {listed}" if rows else ""


def _row(plan_id: str, found: Sequence[Found]) -> PlanView:
    ran = [test.outcome for test, _ in found if test.outcome is not Outcome.SKIPPED]
    verdict = worst(ran) if ran else Outcome.SKIPPED
    return PlanView(plan_id, verdict.value, STYLES[verdict], _cases(found), _skipped(found))


def _skipped(found: Sequence[Found]) -> str:
    skipped = [test for test, _ in found if test.outcome is Outcome.SKIPPED]
    if not skipped:
        return ""
    reasons = list(
        dict.fromkeys(shorten(one_line(test.skipped or "no reason is known"), 300) for test in skipped)
    )
    more = f"; {len(reasons) - MAX_REASONS} more reasons" if len(reasons) > MAX_REASONS else ""
    how_many = f"{len(skipped)} of {count(len(found), 'test')} skipped"
    return f"{how_many}: {'; '.join(reasons[:MAX_REASONS])}{more}"


def _cases(found: Sequence[Found]) -> tuple[LinkView, ...]:
    """One link a test function, to the worst of its parameters."""
    by_name: dict[str, list[Found]] = {}
    for test, link in found:
        by_name.setdefault(link.name.partition(" [")[0], []).append((test, link))
    links = []
    for name, cases in by_name.items():
        _, link = min(cases, key=lambda case: WORST_FIRST.index(case[0].outcome))
        links.append(link if len(cases) == 1 else replace(link, name=f"{name} ({len(cases)} cases)"))
    return tuple(links)
