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
    """One row an ID that some test claims: SKIPPED only where no claim ran. Negative controls prove, and cover none."""
    by_id: dict[str, list[Found]] = {}
    for test, link in pairs:
        for plan_id in test.plan_ids:
            by_id.setdefault(shorten(one_line(plan_id), 60), []).append((test, link))
    return tuple(_row(plan_id, found) for plan_id, found in sorted(by_id.items()) if _claims(found))


def _claims(found: Sequence[Found]) -> list[TestRecord]:
    return [test for test, _ in found if not test.negative_control]


def summary_of(rows: Sequence[PlanView]) -> str:
    """How much of what the tests name was shown: "12 cases: 10 PASS, 1 FAIL, 1 SKIPPED"."""
    amounts = {
        outcome.value: sum(row.verdict == outcome.value for row in rows) for outcome in reversed(WORST_FIRST)
    }
    listed = ", ".join(f"{amount} {verdict}" for verdict, amount in amounts.items() if amount)
    return f"{count(len(rows), 'case')} of the test plan: {listed}" if rows else ""


def _row(plan_id: str, found: Sequence[Found]) -> PlanView:
    claims = _claims(found)
    ran = [test.outcome for test in claims if test.outcome is not Outcome.SKIPPED]
    verdict = worst(ran) if ran else Outcome.SKIPPED
    notes = (_skipped(claims), _blind([test for test, _ in found if test.negative_control]))
    note = ". ".join(text for text in notes if text)
    return PlanView(plan_id, verdict.value, STYLES[verdict], _cases(found), note)


def _skipped(claims: Sequence[TestRecord]) -> str:
    skipped = [test for test in claims if test.outcome is Outcome.SKIPPED]
    if not skipped:
        return ""
    reasons = list(
        dict.fromkeys(shorten(one_line(test.skipped or "no reason is known"), 300) for test in skipped)
    )
    more = f"; {len(reasons) - MAX_REASONS} more reasons" if len(reasons) > MAX_REASONS else ""
    how_many = f"{len(skipped)} of {count(len(claims), 'test')} skipped"
    return f"{how_many}: {'; '.join(reasons[:MAX_REASONS])}{more}"


def _blind(controls: Sequence[TestRecord]) -> str:
    """Controls that did not see their fault: what the tests beside them claim is not proven."""
    bad = [test for test in controls if test.outcome not in (Outcome.PASS, Outcome.SKIPPED)]
    return f"{len(bad)} of {count(len(controls), 'negative control')} did not see the fault" if bad else ""


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
