"""Several sessions on one page: which they are, where their verdicts differ, which values moved."""

from __future__ import annotations

from harness.core.record import Outcome, RunRecord, TestRecord
from reports.joined import Change, Row, changes, differing
from reports.outcomes import STYLES
from reports.text import number, one_line, shorten, with_unit
from reports.view import ChangeView, DifferenceView, SessionsView, StyledView

# Beyond these a table no longer tells what matters; the record holds all of them.
MAX_ROWS = 50
_ROOM = 240


def sessions_view(record: RunRecord) -> SessionsView | None:
    """Format the comparison; None for the record of one session."""
    if not record.joined:
        return None
    rows, moved = differing(record), changes(record)
    left_out = max(0, len(rows) - MAX_ROWS) + max(0, len(moved) - MAX_ROWS)
    return SessionsView(
        names=tuple(_short(run.run_id) for run in record.joined),
        differing=tuple(_difference(row) for row in rows[:MAX_ROWS]),
        changes=tuple(_change(change) for change in moved[:MAX_ROWS]),
        more=f"{left_out} more differences are in the record." if left_out else "",
    )


def _difference(row: Row) -> DifferenceView:
    return DifferenceView(_short(row.nodeid), tuple(_outcome(test) for test in row.tests))


def _outcome(test: TestRecord | None) -> StyledView:
    return StyledView("did not run", STYLES[Outcome.SKIPPED]) if test is None else _styled(test.outcome)


def _styled(outcome: Outcome) -> StyledView:
    return StyledView(outcome.value, STYLES[outcome])


def _change(change: Change) -> ChangeView:
    values = [
        "–" if value is None else with_unit(number(value), one_line(change.unit)) for value in change.values
    ]
    part = f"{change.part * 100:.1f}\N{NO-BREAK SPACE}%"
    return ChangeView(_short(change.nodeid), _short(change.name), tuple(values), part)


def _short(text: str) -> str:
    return shorten(one_line(text), _ROOM)
