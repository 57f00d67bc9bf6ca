"""The report for a terminal: a line a test, margins worst first, what is INVALID and why, counts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TextIO

from harness.core.record import Outcome, RunRecord, TestRecord
from reports.digest import (
    headline_of,
    nearest_to_limits,
    needing_a_person,
    reasons_of_invalid,
    skipped_for,
    sum_of_controls,
    title_of,
    views_of,
    what_is_missing,
)
from reports.joined import differing
from reports.outcomes import STYLES, worst
from reports.page import conclusion, count_views, meaning_of, name_of, stamp_of
from reports.table import MAX_LINES, cut, display_width, margin_table, measurement_table, pad
from reports.text import count, one_line, plain_spaces, shorten

DEFAULT_WIDTH = 100
_VERDICT_WIDTH = len("LAB FAULT")
_INDENT = " " * (_VERDICT_WIDTH + 2)
_MIN_WIDTH = 20
# Two screens; more lines would push what matters out of sight.
_LIST_ALL_UP_TO = 50
_MARGINS, _DIFFERING, _INVALID, _REASONS, _SKIPPED = 10, 20, 20, 5, 5

# SGR colour numbers by the style of a verdict.
_COLOURS = {"pass": 32, "marginal": 33, "fail": 31, "invalid": 35, "fault": 31, "error": 31, "skipped": 36}
_BOLD, _WARNING, _STAMP = 1, 33, 36


@dataclass(frozen=True, slots=True)
class TerminalReporter:
    """Prints for a terminal of `width` columns; `colour` only when a person looks at it.

    `tables` shows the measurements of every test; without it a test is one line, and a second where it did not pass.
    """

    width: int = DEFAULT_WIDTH
    colour: bool = False
    tables: bool = True
    report_type: str = "terminal"
    suffix: str = ".txt"

    def write(self, record: RunRecord, out: TextIO) -> None:
        """Print the whole summary."""
        out.writelines(f"{line}\n" for line in self.lines(record))

    def lines(self, record: RunRecord) -> Iterator[str]:
        """The report, line by line, without line ends."""
        if stamp := stamp_of(record):
            yield from self._sentence(meaning_of(stamp), _STAMP)
        if record.defects:
            yield from self._sentence(f"! defective on purpose: {', '.join(record.defects)}", _WARNING)
        for reason in what_is_missing(record):
            yield from self._sentence(f"! {reason}", _WARNING)
        for test in self._listed(record):
            yield from self._test(test)
        yield from self._differing(record)
        yield from self._margins(record)
        yield from self._invalid(record)
        yield from self._skipped(record)
        yield ""
        yield from self._sentence(
            " · ".join(f"{each.verdict} {each.amount}" for each in count_views(record)), None
        )
        if controls := sum_of_controls(record.tests):
            yield from self._sentence(controls, None)
        style = STYLES[worst(test.outcome for test in record.tests)] if record.tests else "invalid"
        yield from self._sentence(conclusion(record), _COLOURS[style])

    def _listed(self, record: RunRecord) -> list[TestRecord]:
        """Tests file by file: all that ran in a short session, those that did not simply pass in a long one."""
        everything = self.tables or len(record.tests) <= _LIST_ALL_UP_TO
        left_out = {Outcome.SKIPPED} if everything else {Outcome.SKIPPED, Outcome.PASS}
        tests = [test for test in record.tests if test.outcome not in left_out]
        return sorted(tests, key=lambda test: test.nodeid.partition("::")[0])

    def _test(self, test: TestRecord) -> Iterator[str]:
        room = max(self.width - len(_INDENT), _MIN_WIDTH)
        verdict = self._paint(pad(test.outcome.value, _VERDICT_WIDTH), _COLOURS[STYLES[test.outcome]])
        yield f"{verdict}  {plain_spaces(_fitted(test, room))}"
        if test.outcome in (Outcome.FAIL, Outcome.LAB_FAULT, Outcome.ERROR):
            yield from _wrapped(headline_of(test), room, _INDENT)
        if self.tables:
            yield from measurement_table(views_of(test), self.width, _INDENT)

    def _differing(self, record: RunRecord) -> Iterator[str]:
        """Of several sessions the tests that did not end the same way in all of them."""
        rows = differing(record) if record.joined else []
        if not rows:
            return
        yield from self._title(
            f"verdicts that differ: {', '.join(one_line(run.run_id) for run in record.joined)}"
        )
        for row in rows[:_DIFFERING]:
            ends = ", ".join("did not run" if test is None else test.outcome.value for test in row.tests)
            name = name_of(next(test for test in row.tests if test is not None))
            yield cut(f"  {ends}: {name}", self.width)
        yield from _more(len(rows) - _DIFFERING)

    def _margins(self, record: RunRecord) -> Iterator[str]:
        """Where the whole session came closest to its limits, or went beyond them."""
        rows = nearest_to_limits(record, _MARGINS)
        if not rows:
            return
        yield from self._title("margins, worst first")
        cells = [
            (row.view.margin, f"{row.view.name}: {row.test}", row.view.value, row.view.limit) for row in rows
        ]
        yield from (f"  {line}" for line in margin_table(cells, max(self.width - 2, _MIN_WIDTH)))

    def _invalid(self, record: RunRecord) -> Iterator[str]:
        """What shows nothing, and why: the one verdict that other tools would print as green."""
        tests = needing_a_person(record, Outcome.INVALID)
        if not tests:
            return
        yield from self._title("INVALID, and why")
        for test in tests[:_INVALID]:
            yield cut(f"  {title_of(test)}", self.width)
            yield from self._bullets(reasons_of_invalid(test))
        yield from _more(len(tests) - _INVALID)

    def _bullets(self, reasons: list[str]) -> Iterator[str]:
        for reason in reasons[:_REASONS]:
            yield from _wrapped(reason, self.width - 4, "    ")
        yield from _more(len(reasons) - _REASONS, "    ")

    def _skipped(self, record: RunRecord) -> Iterator[str]:
        reasons = skipped_for(record.tests)
        if not reasons:
            return
        yield from self._title("skipped, and why")
        for reason, amount in reasons[:_SKIPPED]:
            yield from _wrapped(f"{count(amount, 'test')}: {reason}", self.width - 2, "  ")
        yield from _more(len(reasons) - _SKIPPED)

    def _title(self, text: str) -> Iterator[str]:
        yield ""
        yield self._paint(cut(text, self.width), _BOLD)

    def _sentence(self, text: str, sgr: int | None) -> Iterator[str]:
        for line in _wrapped(text, self.width, ""):
            yield line if sgr is None else self._paint(line, sgr)

    def _paint(self, text: str, sgr: int) -> str:
        return f"\x1b[{sgr}m{text}\x1b[0m" if self.colour else text


def _fitted(test: TestRecord, room: int) -> str:
    """Name of the test and, where there is room, the measurement that is nearest to its limit."""
    name = cut(title_of(test), room)
    for note in _notes(test):
        if display_width(name) + display_width(note) + 3 <= room:
            return f"{name}   {note}"
    return name


def _notes(test: TestRecord) -> Iterator[str]:
    """What to say beside the name, from the full to the shortest form: the worst measurement of a test that passed."""
    if test.negative_control:
        yield from (f"negative control: {headline_of(test)}", "negative control")
    elif test.outcome in (Outcome.PASS, Outcome.MARGINAL):
        for nearest in views_of(test)[:1]:
            margin = f", {nearest.margin}" if nearest.margin else ""
            yield f"{nearest.name} {nearest.value} ({nearest.limit}{margin})"
            yield f"{nearest.name} {nearest.margin}"


def _wrapped(text: str, width: int, indent: str) -> Iterable[str]:
    plain = plain_spaces(shorten(text, MAX_LINES * width))
    # textwrap counts characters; wide ones take two columns, so half as many are sure to fit.
    room = max(width if display_width(plain) <= len(plain) else width // 2, _MIN_WIDTH)
    lines = textwrap.wrap(one_line(plain), room, max_lines=MAX_LINES, placeholder=" …")
    return (f"{indent}{line}" for line in lines)


def _more(amount: int, indent: str = "  ") -> Iterator[str]:
    if amount > 0:
        yield f"{indent}and {amount:,} more"


reporter = TerminalReporter()
