"""The same report for a terminal: a line a test, tables where something needs attention, counts, where the page is."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TextIO

from harness.core.record import RunRecord
from reports.page import meaning_of, page_view
from reports.table import cut, display_width, measurement_table, pad
from reports.text import plain_spaces
from reports.view import PageView, TestView

DEFAULT_WIDTH = 100
_VERDICT_WIDTH = len("LAB FAULT")
# Two screens; more lines would push what matters out of sight.
_LIST_ALL_UP_TO = 50

# SGR colour numbers by the style of a verdict.
_COLOURS = {"pass": 32, "marginal": 33, "fail": 31, "invalid": 35, "fault": 31, "error": 31, "skipped": 36}


@dataclass(frozen=True, slots=True)
class TerminalReporter:
    """Prints for a terminal of `width` columns; `colour` only when a person looks at it.

    `tables` shows the measurements of every test; without it those of MARGINAL tests, which nothing else would print.
    """

    width: int = DEFAULT_WIDTH
    colour: bool = False
    tables: bool = True
    report_type: str = "terminal"
    suffix: str = ".txt"

    def write(self, record: RunRecord, out: TextIO) -> None:
        """Print the whole summary."""
        out.writelines(f"{line}\n" for line in self.lines(summary_view(record)))

    def lines(self, page: PageView) -> Iterator[str]:
        """The report, line by line, without line ends."""
        if page.stamp:
            yield from self._sentence(meaning_of(page.stamp), 36)
        for warning in page.warnings:
            yield from self._sentence(f"! {warning}", 33)
        for test in self._listed(page):
            yield from self._test(test)
        yield ""
        yield from self._sentence(
            " · ".join(f"{count.verdict} {count.amount}" for count in page.counts), None
        )
        yield from self._sentence(page.conclusion, _COLOURS[page.style])

    def _listed(self, page: PageView) -> Iterator[TestView]:
        """All tests of a short session; of a long one those that did not simply pass, the others are counted below."""
        everything = self.tables or len(page.tests) <= _LIST_ALL_UP_TO
        return (test for test in page.tests if everything or test.style != "pass")

    def _test(self, test: TestView) -> Iterator[str]:
        room = self.width - _VERDICT_WIDTH - 2
        yield f"{self._verdict(test)}  {plain_spaces(_fitted(test, room))}"
        indent = " " * (_VERDICT_WIDTH + 2)
        if test.style not in ("pass", "marginal"):
            yield from (f"{indent}{line}" for line in textwrap.wrap(test.headline, max(room, 20)))
        if self.tables or test.style == "marginal":
            yield from measurement_table(test.measurements, self.width, indent)

    def _verdict(self, test: TestView) -> str:
        return self._paint(pad(test.verdict, _VERDICT_WIDTH), _COLOURS[test.style])

    def _sentence(self, text: str, sgr: int | None) -> Iterator[str]:
        for line in textwrap.wrap(plain_spaces(text), max(self.width, 20)):
            yield line if sgr is None else self._paint(line, sgr)

    def _paint(self, text: str, sgr: int) -> str:
        return f"\x1b[{sgr}m{text}\x1b[0m" if self.colour else text


def summary_view(record: RunRecord) -> PageView:
    """The page without its evidence: charts cost most of the time and a terminal shows none."""
    return page_view(replace(record, tests=tuple(replace(test, runs=()) for test in record.tests)))


def _fitted(test: TestView, room: int) -> str:
    """Name of the test and, where there is room, the measurement that is nearest to its limit."""
    name = cut(test.name, room)
    for note in _notes(test):
        if display_width(name) + display_width(note) + 3 <= room:
            return f"{name}   {note}"
    return name


def _notes(test: TestView) -> Iterator[str]:
    """What to say beside the name, from the full to the shortest form: the worst measurement of a test that passed."""
    if test.control:
        yield from (f"negative control: {test.headline}", "negative control")
    for worst in test.measurements[:1] if test.style in ("pass", "marginal") and not test.control else ():
        margin = f", {worst.margin}" if worst.margin else ""
        yield f"{worst.name} {worst.value} ({worst.limit}{margin})"
        yield f"{worst.name} {worst.margin}"


reporter = TerminalReporter()
