"""Measurements as a plain-text table that fits the width it is given."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

from reports.text import plain_spaces, shorten
from reports.view import MeasurementView

_GAP = "  "
# Narrower than this, columns would be cut to nothing: each measurement then takes a few lines of its own.
MIN_TABLE_WIDTH = 64
_MIN_NAME_WIDTH = 16
_READABLE_NAME_WIDTH = 56
MAX_LINES = 12
"""Lines of one text: an error of a megabyte must not push the verdict out of sight."""


def measurement_table(measurements: Sequence[MeasurementView], width: int, indent: str = "") -> list[str]:
    """Return the lines of a table, one row a measurement in the given order, each at most `width` columns wide.

    Why a value is INVALID and where an unsatisfied value comes from stand under its row.
    """
    if not measurements:
        return []
    room = max(width - len(indent), 20)
    lines = _rows(measurements, room) if room >= MIN_TABLE_WIDTH else _stacked(measurements, room)
    return [plain_spaces(f"{indent}{line}").rstrip() for line in lines]


def margin_table(rows: Sequence[tuple[str, str, str, str]], width: int) -> list[str]:
    """Return lines of margin, what was measured, value and limit, one a row, or two where the width is too small."""
    margin_width, value_width, limit_width = (
        max((display_width(row[column]) for row in rows), default=0) for column in (0, 2, 3)
    )
    room = width - margin_width - value_width - limit_width - 3 * len(_GAP)
    longest = max((display_width(row[1]) for row in rows), default=0)
    if room < min(longest, _READABLE_NAME_WIDTH):
        return [line for row in rows for line in _margin_stacked(row, margin_width, width)]
    name_width = min(room, longest)
    return [
        plain_spaces(
            _GAP.join(
                (
                    pad(margin, margin_width, right=True),
                    pad(cut(name, name_width), name_width),
                    pad(value, value_width, right=True),
                    limit,
                )
            )
        )
        for margin, name, value, limit in rows
    ]


def _margin_stacked(row: tuple[str, str, str, str], margin_width: int, width: int) -> Iterator[str]:
    margin, name, value, limit = (plain_spaces(text) for text in row)
    indent = " " * (margin_width + len(_GAP))
    yield cut(f"{pad(margin, margin_width, right=True)}{_GAP}{name}", width)
    yield cut(f"{indent}{value} ({limit})", width)


def display_width(text: str) -> int:
    """Columns of a terminal that `text` takes: wide East Asian characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def cut(text: str, width: int) -> str:
    """Shorten `text` to `width` columns with an ellipsis; text that fits stays as it is."""
    if display_width(text) <= width:
        return text
    kept = ""
    for character in text:
        if display_width(kept + character) > width - 1:
            break
        kept += character
    return f"{kept}…"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Fill with blanks up to `width` columns."""
    blanks = " " * (width - display_width(text))
    return f"{blanks}{text}" if right else f"{text}{blanks}"


def _rows(measurements: Sequence[MeasurementView], width: int) -> Iterator[str]:
    cells = [("verdict", "measurement", "value", "limit", "margin")]
    cells += [(m.verdict, m.name, m.value, m.limit, m.margin) for m in measurements]
    widths = [max(display_width(row[column]) for row in cells) for column in range(5)]
    fixed = sum(widths) - widths[1] + len(_GAP) * 4
    if width - fixed < _MIN_NAME_WIDTH:
        yield from _stacked(measurements, width)
        return
    widths[1] = min(widths[1], width - fixed)
    yield _row(cells[0], widths)
    yield _GAP.join("-" * column for column in widths)
    for row, measurement in zip(cells[1:], measurements, strict=True):
        yield _row(row, widths)
        yield from _details(measurement, width, " " * (widths[0] + len(_GAP)), cut_name=widths[1])


def _row(cells: tuple[str, ...], widths: Sequence[int]) -> str:
    verdict, name, *numbers = cells
    left = [pad(verdict, widths[0]), pad(cut(name, widths[1]), widths[1])]
    return _GAP.join(left + [pad(text, widths[i], right=True) for i, text in enumerate(numbers, 2)])


def _stacked(measurements: Sequence[MeasurementView], width: int) -> Iterator[str]:
    for m in measurements:
        yield from _wrapped(f"{m.verdict}  {m.name}", width, "")
        value = f"{m.value} (limit {m.limit}{f', margin {m.margin}' if m.margin else ''})"
        yield from _wrapped(value, width, "  ")
        yield from _details(m, width, "  ", cut_name=None)


def _details(measurement: MeasurementView, width: int, indent: str, *, cut_name: int | None) -> Iterator[str]:
    if cut_name is not None and display_width(measurement.name) > cut_name:
        yield from _wrapped(measurement.name, width, indent)
    if measurement.reason:
        yield from _wrapped(measurement.reason, width, indent)
    if measurement.style in ("fail", "invalid"):
        if measurement.evidence:
            yield from _wrapped(f"from {measurement.evidence}", width, indent)
        if measurement.source:
            yield from _wrapped(f"expected from {measurement.source}", width, indent)


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    shown = shorten(text, MAX_LINES * width)
    # textwrap counts characters; wide ones take two columns, so half as many are sure to fit.
    room = width if display_width(shown) <= len(shown) else width // 2
    return textwrap.wrap(
        shown,
        room,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
        max_lines=MAX_LINES,
        placeholder=" …",
    )
