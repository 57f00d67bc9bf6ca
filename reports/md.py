"""A summary in Markdown for the job page of a CI system: short, and worst first.

GitHub's flavour: pipe tables, folded details. Everything from a record is escaped, so that a name can neither end a
table, hide an address behind a text, load an image, nor call for a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
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
    what_is_missing,
)
from reports.joined import changes, differing
from reports.measurements import measurement_views
from reports.outcomes import STYLES, WORST_FIRST, worst
from reports.page import conclusion, count_views, meaning_of, name_of, stamp_of
from reports.text import count, number, one_line, plain_spaces, shorten, signed_percent, with_unit

MAX_ROWS = 25
"""Rows of a table: a summary is read on one screen, the page has the rest."""
MAX_CELL = 300
MAX_CHARACTERS = 250_000
"""GitHub takes 1 MiB a step; a character has up to four bytes."""

_SIGNS = {
    "pass": "✅",
    "marginal": "🟡",
    "fail": "❌",
    "invalid": "🟣",
    "fault": "🔧",
    "error": "💥",
    "skipped": "⏭️",
}
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|~#!&$^]")
_CALLS = re.compile(r"@(?=\w)|(?<=\w)(?=://)")
_NOTHING = "<!-- -->"
"""Between an @ and a name, or a scheme and its slashes, it stops both from becoming a link, and is not seen."""


class MarkdownReporter:
    """Prints the summary: verdicts, what needs a person, what is near a limit, coverage of the plan."""

    report_type = "Markdown"
    suffix = ".md"

    def write(self, record: RunRecord, out: TextIO) -> None:
        """Print the summary into `out`, whole sections up to `MAX_CHARACTERS`."""
        room = MAX_CHARACTERS
        for section in _sections(record):
            text = "\n".join(section) + "\n\n"
            if len(text) > room:
                out.write("The rest does not fit here: see the record.\n")
                return
            out.write(text)
            room -= len(text)


def escape(text: str) -> str:
    """Text of a record as GitHub's Markdown shows it unchanged, on one line."""
    return _CALLS.sub(lambda match: f"{match.group()}{_NOTHING}", escape_marks(text))


def escape_marks(text: str) -> str:
    """Text of a record as any Markdown shows it unchanged, but for addresses, which may become links."""
    return _SPECIAL.sub(r"\\\g<0>", one_line(plain_spaces(text)))


def cell(text: str) -> str:
    """`escape` for a cell of a table, cut to what fits there."""
    return escape(shorten(one_line(shorten(text, 4 * MAX_CELL)), MAX_CELL)) or " "


def _sections(record: RunRecord) -> Iterator[list[str]]:
    yield _head(record)
    yield from _listed("What is missing", [f"- {cell(reason)}" for reason in what_is_missing(record)])
    yield from _listed("Needs a person", _bad(record))
    yield from _listed("Without evidence", _invalid(record))
    yield from _listed("Near a limit", _marginal(record))
    yield from _side_by_side(record)
    yield from _listed("Closest to their limits", _nearest(record))
    yield from _plan(record)
    yield from _listed("Skipped", _skipped(record))
    yield _identity(record)


def _listed(title: str, lines: Sequence[str]) -> Iterator[list[str]]:
    if lines:
        yield [f"### {title}", "", *lines]


def _head(record: RunRecord) -> list[str]:
    stamp = stamp_of(record)
    lines = ["## RoCE fabric validation", ""]
    lines += [f"> **{meaning_of(stamp)}**", ">"] if stamp else []
    lines += [f"> **Defective on purpose:** {cell(', '.join(record.defects))}", ">"] if record.defects else []
    lines += [f"> {escape(conclusion(record))}", ""]
    counts = count_views(record)
    lines += _table([each.verdict for each in counts], [[each.amount for each in counts]])
    controls = sum_of_controls(record.tests)
    return [*lines, "", controls] if controls else lines


def _bad(record: RunRecord) -> list[str]:
    """What failed, with the value that decides; INVALID has a table of its own."""
    bad = [test for test in needing_a_person(record) if test.outcome is not Outcome.INVALID]
    cells = [[_verdict(test), cell(title_of(test)), *_decisive(test), _why(test)] for test in bad[:MAX_ROWS]]
    return _table(["verdict", "test", "value", "limit", "why"], cells, len(bad)) if bad else []


def _invalid(record: RunRecord) -> list[str]:
    tests = needing_a_person(record, Outcome.INVALID)
    cells = [
        [_verdict(test), cell(title_of(test)), _lines(reasons_of_invalid(test))] for test in tests[:MAX_ROWS]
    ]
    return _table(["verdict", "test", "why it shows nothing"], cells, len(tests)) if tests else []


def _marginal(record: RunRecord) -> list[str]:
    tests = needing_a_person(record, Outcome.MARGINAL)
    cells = [[_verdict(test), cell(title_of(test)), *_decisive(test)] for test in tests[:MAX_ROWS]]
    return _table(["verdict", "test", "value", "limit"], cells, len(tests)) if tests else []


def _decisive(test: TestRecord) -> tuple[str, str]:
    """Value and limit of the measurements that decide, up to three."""
    views = [view for view in measurement_views(test.measurements) if view.verdict == test.outcome.value][:3]
    values = [f"{view.name} {view.value}" for view in views]
    margins = [f"{view.limit} ({view.margin})" if view.margin else view.limit for view in views]
    return _lines(values), _lines(margins)


def _why(test: TestRecord) -> str:
    """Where the limits that decide are from, which value and limit do not say; without such, what the test says."""
    decisive = [each for each in test.measurements if each.verdict is test.outcome.verdict]
    sources = dict.fromkeys(f"limit from {each.source}" for each in decisive if each.source)
    return _lines(list(sources)) if decisive else cell(headline_of(test))


def _nearest(record: RunRecord) -> list[str]:
    rows = nearest_to_limits(record, 10)
    cells = [
        [
            cell(row.view.margin),
            cell(row.test),
            cell(row.view.name),
            cell(row.view.value),
            cell(row.view.limit),
        ]
        for row in rows
    ]
    return _table(["margin", "test", "measurement", "value", "limit"], cells) if rows else []


def _side_by_side(record: RunRecord) -> Iterator[list[str]]:
    """What differs between the sessions of a joined record: verdicts, then values."""
    if not record.joined:
        return
    names = [cell(run.run_id) for run in record.joined]
    rows = differing(record)
    cells = [
        [
            cell(_phrase(row.nodeid)),
            *("did not run" if test is None else _verdict(test) for test in row.tests),
        ]
        for row in rows[:MAX_ROWS]
    ]
    table = (
        _table(["test", *names], cells, len(rows))
        if rows
        else ["Every test ended the same way in all sessions."]
    )
    yield from _listed("Verdicts that differ", table)
    moved = changes(record)
    cells = [
        [cell(_phrase(each.nodeid)), cell(each.name), *(_value(value, each.unit) for value in each.values),
         cell(signed_percent(each.part).lstrip("+"))]
        for each in moved[:MAX_ROWS]
    ]  # fmt: skip
    yield from _listed(
        "Values that differ",
        _table(["test", "measurement", *names, "apart"], cells, len(moved)) if moved else [],
    )


def _plan(record: RunRecord) -> Iterator[list[str]]:
    """One line of cases that passed, a table of the others; negative controls prove cases and cover none."""
    outcomes: dict[str, list[Outcome]] = {}
    for test in record.tests:
        for plan_id in test.plan_ids if not test.negative_control else ():
            outcomes.setdefault(one_line(plan_id), []).append(test.outcome)
    if not outcomes:
        return
    ran = {name: [each for each in found if each is not Outcome.SKIPPED] for name, found in outcomes.items()}
    verdicts = {name: worst(found) if found else Outcome.SKIPPED for name, found in sorted(ran.items())}
    lines = [
        f"- {_SIGNS[STYLES[outcome]]} {outcome.value}: {cell(', '.join(names))}"
        for outcome in WORST_FIRST
        if (names := [name for name, verdict in verdicts.items() if verdict is outcome])
    ]
    covered = f"{sum(bool(found) for found in ran.values())} of {count(len(ran), 'case')} shown"
    yield [
        f"<details><summary>Test plan: {covered}</summary>",
        "",
        *lines,
        "",
        "</details>",
    ]


def _skipped(record: RunRecord) -> list[str]:
    reasons = skipped_for(record.tests)
    lines = [f"- {count(amount, 'test')}: {cell(reason)}" for reason, amount in reasons[:MAX_ROWS]]
    more = len(reasons) - MAX_ROWS
    return [*lines, f"- and {count(more, 'other reason')}"] if more > 0 else lines


def _identity(record: RunRecord) -> list[str]:
    facts = [
        ("run", record.run_id),
        ("fabric", record.fabric),
        ("topology", record.topology),
        ("seed", str(record.seed)),
        ("started", record.started),
        ("finished", record.finished or "cut short"),
        *record.versions.items(),
    ]
    cells = [[cell(name), cell(value)] for name, value in facts if value]
    table = _table(["what", "which"], cells[: 2 * MAX_ROWS], len(cells))
    return ["<details><summary>What was tested, with what</summary>", "", *table, "", "</details>"]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], amount: int = 0) -> list[str]:
    """A pipe table of finished cells; `amount` is how many rows there would be."""
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    more = amount - (len(lines) - 2)
    return [*lines, "", f"… and {more:,} more."] if more > 0 else lines


def _lines(texts: Sequence[str], most: int = 3) -> str:
    """Several texts in one cell."""
    shown = [cell(text) for text in texts[:most]]
    more = len(texts) - most
    return "<br>".join([*shown, f"and {more} more"] if more > 0 else shown) or " "


def _verdict(test: TestRecord) -> str:
    control = " (negative control)" if test.negative_control else ""
    return f"{_SIGNS[STYLES[test.outcome]]} {test.outcome.value}{control}"


def _phrase(nodeid: str) -> str:
    return name_of(TestRecord(nodeid, Outcome.PASS))


def _value(value: float | None, unit: str) -> str:
    return " " if value is None else cell(with_unit(number(value), one_line(unit)))


reporter = MarkdownReporter()
