"""The table of bounds: what each claim of a session measures, against which limit, and where that limit is from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from harness.core.record import RunRecord, TestRecord
from reports.measurements import measurement_views
from reports.text import count, one_line, plain_spaces, shorten

NO_SOURCE = "**no source**"
MOST_LIMITS = 3
"""Limits of a measurement that are listed when its cases have different ones; the rest is counted."""

MAX_CELL = 2000

INTRODUCTION = """# Bounds and their sources

Printed by `roce report RECORD --format bounds`; change the tests, not this file.
A bound is physics (a formula, with what goes into it), a clause of a standard, a figure from literature, or, where it
says "ours", our own with its reason. Where cases of a test have different limits, the first ones are shown.
Negative controls have the same bounds and are left out.
"""


@dataclass(frozen=True, slots=True)
class Bound:
    """One measurement of one test, over its cases."""

    test: str
    measurement: str
    limits: tuple[str, ...]
    sources: tuple[str, ...]


def bounds_of(tests: Iterable[TestRecord]) -> list[Bound]:
    """Return the bounds of all claims that ran, in the order of files and tests."""
    limits: dict[tuple[str, str], list[str]] = {}
    sources: dict[tuple[str, str], list[str]] = {}
    for test in sorted(tests, key=lambda test: _in_numbers(test.nodeid)):
        if test.negative_control:
            continue
        name = test.nodeid.partition("[")[0]
        for measurement in test.measurements:
            key = (name, measurement.name)
            (view,) = measurement_views([measurement])
            limits.setdefault(key, []).append(plain_spaces(view.limit))
            sources.setdefault(key, []).append(measurement.source or "")
    return [
        Bound(*key, tuple(dict.fromkeys(limits[key])), tuple(dict.fromkeys(sources[key]))) for key in limits
    ]


def _in_numbers(nodeid: str) -> list[tuple[int, str]]:
    """A key by which case 2 comes before case 16: workers finish in any order, and the page is always the same."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", nodeid)]


def render(record: RunRecord) -> str:
    """Return the text of the page."""
    bounds = bounds_of(record.tests)
    tests = len({bound.test for bound in bounds})
    where = f"Fabric {_cell(record.fabric)}, seed {record.seed}.{' SIMULATED.' if record.simulated else ''}"
    what = f"{count(len(bounds), 'bound')} of {count(tests, 'test')}. {where}"
    lines, file = [INTRODUCTION, what], ""
    for bound in bounds:
        place, _, name = bound.test.partition("::")
        if place != file:
            lines += [
                "",
                f"## {_cell(place)}",
                "",
                "| test | measurement | limit | from |",
                "|---|---|---|---|",
            ]
            file = place
        source = "; ".join(each or NO_SOURCE for each in bound.sources)
        lines.append(f"| {_cell(name)} | {_cell(bound.measurement)} | {_limits(bound)} | {_cell(source)} |")
    return "\n".join([*lines, ""])


class BoundsReporter:
    """Prints the table as a Markdown page; a limit that says nothing of its origin is printed as such."""

    report_type = "bounds"
    suffix = ".md"

    def write(self, record: RunRecord, out: TextIO) -> None:
        """Print the page into `out`."""
        out.write(render(record))


def _limits(bound: Bound) -> str:
    shown = ", ".join(_cell(limit) for limit in bound.limits[:MOST_LIMITS])
    more = len(bound.limits) - MOST_LIMITS
    return f"{shown} and {more} more" if more > 0 else shown


def _cell(text: str) -> str:
    return shorten(one_line(text), MAX_CELL).replace("|", "\\|").replace("<", "&lt;")


reporter = BoundsReporter()
