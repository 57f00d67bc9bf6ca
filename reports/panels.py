"""The charts of one run: which series, in which unit, beside which thresholds and limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.core.errors import ConfigError
from harness.core.measure import Measurement
from harness.core.record import Figure, ScenarioRecord, SeriesRecord
from harness.core.units import parse_duration
from reports.bands import bands_of, wants_total
from reports.chart import Column, Moment, Panel, Threshold, constant_level, si_text
from reports.text import one_line

# Series of a record (docs/record-format.md) in the order of the page: title, unit on the axis, factor to that unit.
CHARTS = {
    "goodput_bps": ("Goodput by flow", "b/s", 1.0),
    "qp_spread_bps": ("Goodput of queue pairs: the fastest, the median, the slowest", "b/s", 1.0),
    "qp_goodput_bps": ("Goodput by queue pair", "b/s", 1.0),
    "cc_rate_bps": ("Rate allowed by congestion control, by flow", "b/s", 1.0),
    "queue_bytes": ("Depth of egress queues", "B", 1.0),
    "pause_fraction": ("Time kept from sending by pause", "%", 100.0),
}
# Two series on one chart: both are events a second at a node.
MARKS = ("Packets marked and CNPs sent", {"mark_rate": "marks", "cnp_rate": "CNPs"}, "1/s")
TOTAL = "all flows"

_QUEUES = "queue_bytes"
_LEVELS = ("Kmin", "Kmax", "XOFF")


def panels_of(
    run: ScenarioRecord, measurements: Sequence[Measurement] = (), runs: int = 1
) -> tuple[list[Panel], list[str]]:
    """The charts of a run, and a sentence on each series in which nothing moved.

    `measurements` are those of the whole test, `runs` is how many runs it has: a limit is shown beside its own run.
    """
    panels, still = [], []
    for name in CHARTS:
        panel = _panel(run, name, measurements, runs)
        level = constant_level(panel.columns)
        if level is not None:
            still.append(f"{panel.title}: {si_text(level, panel.unit)} throughout.")
        elif panel.columns:
            panels.append(panel)
    marks = tuple(_marks(run.series))
    return panels + ([Panel(MARKS[0], MARKS[2], marks)] if marks else []), still


def moments_of(fields: Mapping[str, Any], words: Any) -> list[Moment]:
    """Events of the scenario with a readable time, in order of time; the numbers on the charts follow the list."""
    events = fields.get("events")
    found = []
    for event in events if isinstance(events, list) else []:
        at = _at_ps(event.get("at")) if isinstance(event, dict) else None
        if at is not None:
            found.append(Moment(words({k: v for k, v in event.items() if k != "at"}), at))
    return sorted(found, key=lambda moment: moment.time_ps)


def _panel(run: ScenarioRecord, name: str, measurements: Sequence[Measurement], runs: int) -> Panel:
    title, unit, factor = CHARTS[name]
    columns = [column for table in run.series if table.name == name for column in _columns(table, factor)]
    totals = [column for column in columns if column.name == TOTAL]
    wanted = totals and wants_total(measurements, run.number, runs)
    return Panel(
        title=title,
        unit=unit,
        columns=tuple(column for column in columns if column.name != TOTAL),
        thresholds=tuple(_thresholds(run.figures)) if name == _QUEUES else (),
        bands=bands_of(name, measurements, run.number, runs),
        total=totals[0] if wanted else None,
    )


def _marks(series: Sequence[SeriesRecord]) -> Iterable[Column]:
    for table in series:
        what = MARKS[1].get(table.name)
        if what is not None:
            for column in _columns(table, 1.0):
                yield Column(f"{what}, {column.name}", column.time_ps, column.values)


def _thresholds(figures: Sequence[Figure]) -> Iterable[Threshold]:
    """Kmin and Kmax, which a run with marking has among its figures, and XOFF of one with PFC."""
    for figure in figures:
        if figure.name.startswith(_LEVELS) and isinstance(figure.value, int | float):
            yield Threshold(one_line(figure.name), float(figure.value))


def _at_ps(value: object) -> float | None:
    try:
        return float(parse_duration(str(value)))
    except ConfigError:
        return None


def _columns(table: SeriesRecord, factor: float) -> Iterable[Column]:
    time_ps = np.asarray(table.time_ps, dtype=np.float64)
    for name, values in zip(table.columns, table.values, strict=False):
        if len(values) == len(time_ps) and len(values):
            yield Column(one_line(name), time_ps, np.asarray(values, dtype=np.float64) * factor)
