"""Files that Allure reads beside its results: tables, properties, categories."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.core.record import SeriesRecord
from reports.text import one_line, plain_spaces, shorten
from reports.view import MeasurementView

MAX_CELL = 2000

# A spreadsheet would run such a cell as a formula; signed numbers and limits such as "= 0" are none.
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[=+-]? ?[\d.,]+(e[+-]?\d+)?( [^\s=()]+)?")

_RULES = (
    ("Limit exceeded", "failed", r"FAIL\b"),
    ("Invalid evidence", "failed", r"INVALID\b"),
    ("Lab fault", "broken", r"LAB FAULT\b"),
    ("Incomplete session", "broken", r"INCOMPLETE\b"),
    ("Error of a test", "broken", r"ERROR\b"),
    ("Known deviation", "skipped", r"[\s\S]*known deviation"),
    ("Not offered by this fabric", "skipped", r"[\s\S]*does not offer"),
    ("Near the limit", "passed", r"MARGINAL\b"),
)
CATEGORIES: tuple[dict[str, Any], ...] = tuple(
    {"name": name, "messageRegex": rf"{words}[\s\S]*", "matchedStatuses": [status]}
    for name, status, words in _RULES
)
"""By status and the first word of the message; Allure takes the first that matches.

The expressions match a whole message, as Allure 2 asks for.
"""


def configuration() -> dict[str, Any]:
    """`allurerc.json`: Allure 3 reads categories from its configuration and not from the results."""
    rules = [
        {
            "name": each["name"],
            "matchers": {"statuses": each["matchedStatuses"], "message": f"^{each['messageRegex']}"},
            "groupByMessage": True,
        }
        for each in CATEGORIES
    ]
    return {"name": "RoCE fabric validation", "categories": {"rules": rules}}


def properties(facts: Mapping[str, str]) -> str:
    """`environment.properties`: ASCII, one line a fact, the rest as escapes of Java property files."""
    lines = [
        f"{_escaped(one_line(name), r' :=#!')}={_escaped(one_line(text), '')}\n"
        for name, text in facts.items()
        if text
    ]
    return "".join(lines)


def _escaped(text: str, special: str) -> str:
    return "".join(
        f"\\{character}" if character in special or character == "\\" else _ascii(character)
        for character in shorten(plain_spaces(text), MAX_CELL)
    )


def _ascii(character: str) -> str:
    if character.isascii():
        return character
    units = character.encode("utf-16-be")  # Java escapes are UTF-16: two of them beyond U+FFFF
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def measurement_csv(views: Iterable[MeasurementView]) -> str:
    """Measurements as a table with a head, which Allure shows as one."""
    head = ("verdict", "measurement", "value", "limit", "margin", "limit from", "value from", "why")
    rows = (
        (
            view.verdict,
            view.name,
            view.value,
            view.limit,
            view.margin,
            view.source,
            view.evidence,
            view.reason,
        )
        for view in views
    )
    return _csv([head, *(tuple(safe_cell(text) for text in row) for row in rows)])


def series_csv(series: SeriesRecord) -> str:
    """A time series: a column of microseconds, then one a line of the chart, in the unit of the series."""
    unit = f" ({one_line(series.unit)})" if series.unit else ""
    head = ["time (us)", *(safe_cell(f"{one_line(name)}{unit}") for name in series.columns)]
    times = (f"{time / 1e6:.6f}".rstrip("0").rstrip(".") for time in series.time_ps)
    values = (tuple(f"{value:.6g}" for value in sample) for sample in zip(*series.values, strict=True))
    return _csv([head, *((time, *sample) for time, sample in zip(times, values, strict=True))])


def safe_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    cell = shorten(plain_spaces(one_line(text)), MAX_CELL)
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def _csv(rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
