"""The charts of a run as data for the script of the page: all on one time axis, short enough for a page.

Values are already in the unit of their axis, so that the script only draws. Each line keeps the smallest and the
largest sample of every span of time (reports.decimate): a peak is never lost, however few points a long session
leaves each line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from harness.core.record import RunRecord
from reports.chart import (
    Axis,
    Band,
    Column,
    Moment,
    Panel,
    Threshold,
    drawable,
    time_axis,
    to_draw,
    value_axis,
)
from reports.decimate import FloatArray, decimate, decimate_table

# More lines than this on one chart cannot be told apart, even when a reader may switch them on and off.
MAX_LINES = 16
# About two points (smallest and largest) for each pixel of a wide page.
MAX_POINTS = 2000
MIN_POINTS = 120

# Points that all charts of a page may have together; measured by `python -m bench report` to keep 25 MB.
LIVE_POINTS, STATIC_POINTS = 1_500_000, 500_000
_STATIC_MAX, _STATIC_MIN = 600, 80


@dataclass(frozen=True, slots=True)
class Points:
    """How many points each line of a page may have: in the data of the script, and in the printed drawing."""

    live: int = MAX_POINTS
    static: int = _STATIC_MAX


def points_for(record: RunRecord) -> Points:
    """Share the room of a page between all lines of its runs."""
    tables = [table for test in record.tests for run in test.runs for table in run.series]
    # A line that is zero throughout is told and not drawn.
    lines = sum(any(column) for table in tables for column in table.values)
    if not lines:
        return Points()
    return Points(
        live=max(MIN_POINTS, min(MAX_POINTS, LIVE_POINTS // lines)),
        static=max(_STATIC_MIN, min(_STATIC_MAX, STATIC_POINTS // lines)),
    )


def figure_json(panels: Sequence[Panel], moments: Sequence[Moment], max_points: int) -> Markup:
    """Return the JSON of one run's figure, safe within a script element; "" when there is nothing to draw."""
    if not panels:
        return Markup()
    every = [column for panel in panels for column in panel.columns]
    x = time_axis(every, moments)
    times = _Times(x)
    data = {
        "unit": x.unit,
        "range": [_number(x.low / x.scale), _number(x.high / x.scale)],
        "panels": [_panel(panel, times, max_points) for panel in panels],
        "times": times.lists,
        "events": [
            {"n": str(number), "text": moment.label, "at": _number(moment.time_ps / x.scale)}
            for number, moment in enumerate(moments, 1)
        ],
    }
    return script_json(data)


def script_json(data: object) -> Markup:
    """JSON for `<script type="application/json">`: nothing in it can end the element or start another."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - no character is left that HTML knows


class _Times:
    """Lists of times that lines share: each is written once."""

    def __init__(self, axis: Axis) -> None:
        self._scale = axis.scale
        self._known: dict[bytes, int] = {}
        self.lists: list[list[float]] = []

    def index(self, time_ps: FloatArray) -> int:
        key = time_ps.tobytes()
        if key not in self._known:
            self._known[key] = len(self.lists)
            self.lists.append([_number(time / self._scale) for time in time_ps])
        return self._known[key]


def _panel(panel: Panel, times: _Times, max_points: int) -> dict[str, Any]:
    chosen, left_out = to_draw(panel.columns, MAX_LINES)
    levels, too_high = drawable(panel.thresholds, chosen)
    total = [panel.total] if panel.total is not None else []
    y = value_axis(panel.unit, [*chosen, *total], levels, panel.bands)
    return {
        "title": panel.title,
        "unit": y.unit,
        "top": _number(y.high / y.scale),
        "bottom": _number(y.low / y.scale),
        "lines": [
            _line(column.name, *short, y, times)
            for column, short in zip([*chosen, *total], shortened([*chosen, *total], max_points), strict=True)
        ],
        "levels": [_level(level, y) for level in levels],
        "bands": [_band(band, y) for band in panel.bands],
        "notes": [note for note in (left_out, *too_high) if note],
    }


def _line(name: str, time_ps: FloatArray, values: FloatArray, y: Axis, times: _Times) -> dict[str, Any]:
    kept = ~np.isnan(values)
    return {
        "name": name,
        "t": times.index(time_ps[kept]),
        "v": [_number(float(value) / y.scale, 4) for value in values[kept]],
    }


def shortened(columns: Sequence[Column], max_points: int) -> list[tuple[FloatArray, FloatArray]]:
    """Reduce columns so that those which had their samples at the same times still have: times are written once."""
    groups: dict[bytes, list[int]] = {}
    for index, column in enumerate(columns):
        whole = not np.isnan(column.values).any()
        groups.setdefault(column.time_ps.tobytes() if whole else b"%d" % index, []).append(index)
    found: dict[int, tuple[FloatArray, FloatArray]] = {}
    for members in groups.values():
        first = columns[members[0]]
        if len(members) == 1:
            found[members[0]] = decimate(first.time_ps, first.values, max_points)
            continue
        time_ps, values = decimate_table(
            first.time_ps, np.stack([columns[index].values for index in members], axis=1), max_points
        )
        found |= {index: (time_ps, values[:, place]) for place, index in enumerate(members)}
    return [found[index] for index in range(len(columns))]


def _level(level: Threshold, y: Axis) -> dict[str, Any]:
    return {"name": level.label, "at": _number(level.value / y.scale, 4)}


def _band(band: Band, y: Axis) -> dict[str, Any]:
    low, high = (None if edge is None else _number(edge / y.scale) for edge in (band.low, band.high))
    return {"name": band.label, "low": low, "high": high}


def _number(value: float, digits: int = 6) -> float | int:
    """As short as JSON can say it with so many significant digits."""
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
