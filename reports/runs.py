"""One executed scenario in words and charts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from harness.core.evidence import Missing
from harness.core.record import Figure, ScenarioRecord, TestRecord
from reports.chart import SCALED_UNITS, line_chart, si_text
from reports.live import Points, figure_json
from reports.network import drawing_view
from reports.panels import moments_of, panels_of
from reports.text import clean, number, one_line, with_unit
from reports.view import FigureView, RunView


def run_view(run: ScenarioRecord, test: TestRecord | None = None, points: Points | None = None) -> RunView:
    """Format one run of a test; what its scenario text does not tell is simply not drawn."""
    fields, points = _fields(run.scenario), points or Points()
    measurements, runs = (test.measurements, len(test.runs)) if test is not None else ((), 1)
    panels, still = panels_of(run, measurements, runs)
    moments = moments_of(fields, _words)
    charts = [line_chart(panel, moments=moments, max_points=points.static) for panel in panels]
    return RunView(
        title=f"Run {run.number}: {one_line(run.title)}" if run.title else f"Run {run.number}",
        scenario=tuple(_scenario_lines(run, fields)),
        figures=tuple(_figure(figure) for figure in run.figures),
        notes=tuple(f"Not valid as evidence: {one_line(reason)}" for reason in run.invalid_reasons),
        remarks=tuple(one_line(note) for note in run.notes),
        events=tuple(one_line(event) for event in run.events),
        drawing=drawing_view(run.network),
        charts=tuple(chart for chart in charts if chart is not None),
        live=figure_json(panels, moments, points.live),
        constant=tuple(still),
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
