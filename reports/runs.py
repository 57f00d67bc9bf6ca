"""One executed scenario in words and charts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from harness.core.errors import ConfigError
from harness.core.evidence import Missing
from harness.core.record import Figure, ScenarioRecord, SeriesRecord
from harness.core.units import parse_duration
from reports.chart import (
    SCALED_UNITS,
    ChartView,
    Column,
    Moment,
    Threshold,
    constant_level,
    line_chart,
    si_text,
)
from reports.text import clean, number, one_line, with_unit
from reports.view import FigureView, RunView

# Series of a result (docs/job-format.md) in the order of the page: title, unit on the axis, factor to that unit.
_CHARTS = {
    "goodput_bps": ("Goodput by flow", "b/s", 1.0),
    "cc_rate_bps": ("Rate allowed by congestion control, by flow", "b/s", 1.0),
    "queue_bytes": ("Depth of egress queues", "B", 1.0),
    "pause_fraction": ("Time kept from sending by pause", "%", 100.0),
}
_QUEUES = "queue_bytes"


def run_view(run: ScenarioRecord) -> RunView:
    """Format one run; what its scenario text does not tell is simply not drawn."""
    fields = _fields(run.scenario)
    drawn = list(_charts(run.series, _thresholds(run.figures), _moments(fields)))
    return RunView(
        title=f"Run {run.number}: {one_line(run.title)}" if run.title else f"Run {run.number}",
        scenario=tuple(_scenario_lines(run, fields)),
        figures=tuple(_figure(figure) for figure in run.figures),
        notes=tuple(f"Not valid as evidence: {one_line(reason)}" for reason in run.invalid_reasons),
        events=tuple(one_line(event) for event in run.events),
        charts=tuple(chart for chart in drawn if isinstance(chart, ChartView)),
        constant=tuple(text for text in drawn if isinstance(text, str)),
        simulated=run.simulated,
    )


def _fields(scenario: str) -> Mapping[str, Any]:
    """Keys of the scenario text; nothing when it is no mapping (a record may come from anywhere)."""
    try:
        fields = yaml.safe_load(scenario)
    except yaml.YAMLError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _scenario_lines(run: ScenarioRecord, fields: Mapping[str, Any]) -> Iterable[str]:
    """A line a pattern, a line of QoS, what else was asked."""
    if not fields:
        yield from (clean(line) for line in run.scenario.splitlines() if line.strip())
        return
    for pattern in _dicts(fields.get("traffic")):
        yield _words(
            {"traffic": pattern.get("pattern", ""), **{k: v for k, v in pattern.items() if k != "pattern"}}
        )
    qos = fields.get("qos")
    if isinstance(qos, dict):
        yield from (f"{one_line(str(name))}: {_words(block) or 'defaults'}" for name, block in qos.items())
    rest = {
        key: value
        for key, value in fields.items()
        if key not in ("traffic", "qos", "events", "name", "topology")
    }
    if rest:
        yield _words(rest)


def _words(value: object) -> str:
    """Nested plain data on one line: `kmin 400KB, kmax 1600KB`."""
    if isinstance(value, dict):
        return ", ".join(
            f"{one_line(str(key)).replace('_', ' ')} {_words(item)}" for key, item in value.items()
        )
    if isinstance(value, list):
        return "[" + "; ".join(_words(item) for item in value) + "]"
    return one_line(str(value))


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _figure(figure: Figure) -> FigureView:
    value = figure.value
    if value is None or isinstance(value, Missing):
        return FigureView(one_line(figure.name), "no data")
    if figure.unit in SCALED_UNITS and math.isfinite(value):
        return FigureView(one_line(figure.name), si_text(value, figure.unit))
    return FigureView(one_line(figure.name), with_unit(number(value), one_line(figure.unit)))


def _moments(fields: Mapping[str, Any]) -> list[Moment]:
    """Events of the scenario with a readable time, in order of time; the numbers on the charts follow the list."""
    found = []
    for event in _dicts(fields.get("events")):
        at = _at_ps(event.get("at"))
        if at is not None:
            found.append(Moment(_words({k: v for k, v in event.items() if k != "at"}), at))
    return sorted(found, key=lambda moment: moment.time_ps)


def _thresholds(figures: Sequence[Figure]) -> list[Threshold]:
    """Kmin and Kmax, which a run with marking has among its figures."""
    return [
        Threshold(one_line(figure.name), float(figure.value))
        for figure in figures
        if figure.name.startswith(("Kmin", "Kmax")) and isinstance(figure.value, int | float)
    ]


def _at_ps(value: object) -> float | None:
    try:
        return float(parse_duration(str(value)))
    except ConfigError:
        return None


def _charts(
    series: Sequence[SeriesRecord], thresholds: Sequence[Threshold], moments: Sequence[Moment]
) -> Iterable[ChartView | str]:
    """A chart for each known series, or a sentence where nothing moved."""
    for name, (title, unit, factor) in _CHARTS.items():
        columns = [column for table in series if table.name == name for column in _columns(table, factor)]
        level = constant_level(columns)
        if level is not None:
            yield f"{title}: {si_text(level, unit)} throughout."
            continue
        lines = thresholds if name == _QUEUES else ()
        chart = line_chart(title, unit, columns, thresholds=lines, moments=moments)
        if chart is not None:
            yield chart


def _columns(table: SeriesRecord, factor: float) -> Iterable[Column]:
    time_ps = np.asarray(table.time_ps, dtype=np.float64)
    for name, values in zip(table.columns, table.values, strict=False):
        if len(values) == len(time_ps):
            yield Column(one_line(name), time_ps, np.asarray(values, dtype=np.float64) * factor)
