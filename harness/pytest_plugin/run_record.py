"""One run of a test as the record keeps it: the scenario, headline figures, short series."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import PydanticUserError
from pydantic_core import PydanticSerializationError

from harness.core.counters import Counter
from harness.core.events import event_to_fields
from harness.core.evidence import Missing
from harness.core.pattern_files import pattern_name
from harness.core.record import Figure, ScenarioRecord, SeriesRecord
from harness.core.series import Series
from harness.pytest_plugin.host_facts import facts_of, figures_of, not_offered, notes_of
from harness.pytest_plugin.network_record import network_of
from harness.pytest_plugin.thresholds import threshold_figures
from reports.decimate import decimate, decimate_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.core.errors import HarnessError
    from harness.core.result import RunResult
    from harness.core.scenario import Scenario
    from harness.core.series import Array

# What a report draws; other series stay in the folder of the run.
SERIES = ("goodput_bps", "cc_rate_bps", "queue_bytes", "pause_fraction")
MAX_POINTS = 2000
# A table of a large fabric has thousands of columns; the record keeps those with the highest peaks.
MAX_COLUMNS = 16
# Of queue pairs each has a line while lines can still be told apart; of more the spread tells more.
MAX_QPS = 32
BY_QP, QP_SPREAD = "qp_goodput_bps", "qp_spread_bps"
SPREAD = ("fastest QP", "median QP", "slowest QP")
ALL_FLOWS = "all flows"
"""Name of the column with the sum over all flows, those that are not kept among them."""

# Cumulative counters of a result are kept as what was counted in each interval, by node: a sum would hide its bursts.
_RATES = {"ecn_marked": "mark_rate", "cnp_sent": "cnp_rate"}

_COUNTERS = (
    ("frames dropped", Counter.DROPS, ""),
    ("pause frames", Counter.PAUSE_TX, ""),
    ("packets ECN-marked", Counter.ECN_MARKED, ""),
    ("CNPs", Counter.CNP_SENT, ""),
    ("packets sent again", Counter.RETRANSMITTED, ""),
    ("deepest queue", Counter.QUEUE_MAX, "B"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Which run of a test, and where it ran."""

    number: int
    topology: str
    simulated: bool


def finished_run(place: Place, scenario: Scenario, result: RunResult, wall_s: float) -> ScenarioRecord:
    """Keep what a report needs of a run; the series are shortened so that their peaks stay."""
    return replace(
        _asked(place, scenario, wall_s),
        simulated=result.simulated,
        ended=result.ended,
        figures=_figures(result),
        invalid_reasons=tuple(result.invalid_reasons),
        series=tuple(part for series in _series(result) for part in series_records(series)),
        network=network_of(result),
        notes=notes_of(result),
    )


def _series(result: RunResult) -> Iterator[Series]:
    """What is worth drawing of a run, with the sum over its flows and with rates instead of counts."""
    for name in _worth_drawing(result):
        series = result.series[name]
        yield with_total(series) if name == "goodput_bps" else series
    yield from by_qp(result.series[BY_QP])
    for counted, name in _RATES.items():
        yield rate_by_node(result.series[counted], name)


def with_total(series: Series) -> Series:
    """Add the sum of all columns, where there are several."""
    if series.missing is not None or len(series.columns) < 2:
        return series
    values = np.asarray(series.values, dtype=np.float64)
    total = values.sum(axis=1, keepdims=True)
    return replace(series, columns=(*series.columns, ALL_FLOWS), values=np.hstack([values, total]))


def by_qp(series: Series) -> Iterator[Series]:
    """Yield how far apart QPs are at each instant and, where they are few, each of them.

    Nothing when each flow has one: then they are the flows.
    """
    if series.missing is not None or not any(column.endswith("[1]") for column in series.columns):
        return
    values = np.asarray(series.values, dtype=np.float64)
    figures = (np.max(values, axis=1), np.median(values, axis=1), np.min(values, axis=1))
    yield replace(series, name=QP_SPREAD, columns=SPREAD, values=np.stack(figures, axis=1))
    if len(series.columns) <= MAX_QPS:
        yield series


def rate_by_node(series: Series, name: str) -> Series:
    """Turn counts by port that only grow into events a second by node; absent where nothing was counted."""
    time_ps = np.asarray(series.time_ps, dtype=np.float64)
    if series.missing is not None or len(time_ps) < 2:
        return Series.absent(name, "nothing was counted over time")
    grown = np.diff(np.asarray(series.values, dtype=np.float64), axis=0, prepend=0.0)
    nodes = tuple(dict.fromkeys(column.partition(":")[0] for column in series.columns))
    places = [
        [i for i, column in enumerate(series.columns) if column.partition(":")[0] == node] for node in nodes
    ]
    by_node = np.stack([grown[:, place].sum(axis=1) for place in places], axis=1)
    if not np.nansum(np.abs(by_node)):
        return Series.absent(name, "nothing was counted")
    seconds = np.diff(time_ps, prepend=0.0) / 1e12
    seconds[0] = seconds[0] or seconds[1]
    return Series(name, "1/s", series.time_ps, nodes, by_node / seconds[:, np.newaxis])


def _worth_drawing(result: RunResult) -> list[str]:
    """Names of series; the rate that congestion control allows says nothing where no host has any."""
    hosts = [result.job, *result.job.get("nodes", ())]
    blocks = [(host.get("nic") or {}).get("cc") or {} for host in hosts]
    controlled = any(block.get("algorithm", "none") != "none" for block in blocks)
    return [name for name in SERIES if controlled or name != "cc_rate_bps"]


def failed_run(place: Place, scenario: Scenario, error: HarnessError, wall_s: float) -> ScenarioRecord:
    """Keep what was asked of a run that gave no result, and why it gave none."""
    return replace(_asked(place, scenario, wall_s), ended="error", invalid_reasons=(str(error),))


def _asked(place: Place, scenario: Scenario, wall_s: float) -> ScenarioRecord:
    return ScenarioRecord(
        number=place.number,
        title=title_of(scenario),
        scenario=text_of(scenario),
        topology=place.topology,
        simulated=place.simulated,
        wall_s=round(wall_s, 6),
        events=tuple(_event_lines(scenario)),
    )


def tool_of(result: RunResult) -> dict[str, str]:
    """Name and version of what made the result, as it says itself, and what its hosts are; nothing when it does not."""
    tool = result.raw.get("simulator") or result.raw.get("executor")
    if not isinstance(tool, dict) or not {"name", "version"} <= tool.keys():
        return {}
    return {str(tool["name"]): str(tool["version"]), **facts_of(result)}


def title_of(scenario: Scenario) -> str:
    """The name of the scenario, else the names of its patterns."""
    return scenario.name or ", ".join(
        pattern_name(pattern).replace("_", " ") for pattern in scenario.patterns
    )


def text_of(scenario: Scenario) -> str:
    """The scenario as its file would say it; as Python shows it where a pattern of the suite's own has no such form."""
    try:
        return scenario.dump()
    except (PydanticUserError, PydanticSerializationError):
        return repr(scenario)


def _event_lines(scenario: Scenario) -> list[str]:
    """Events in order of time, in words: "2ms: link down sw1:e2"."""
    return [
        _event_line(event_to_fields(event)) for event in sorted(scenario.events, key=lambda event: event.at)
    ]


def _event_line(fields: Mapping[str, object]) -> str:
    at, *rest = fields.items()
    return f"{at[1]}: {_words(dict(rest))}"


def _words(value: object) -> str:
    """Nested plain data on one line, as people say it: `qos change h2, nic cc algorithm none`."""
    if isinstance(value, dict):
        return ", ".join(f"{str(key).replace('_', ' ')} {_words(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " and ".join(_words(item) for item in value)
    return str(value)


def _figures(result: RunResult) -> tuple[Figure, ...]:
    figures = [Figure("goodput", result.goodput_gbps, "Gb/s")]
    figures += [
        Figure(name, result.counters[counter], unit)
        for name, counter, unit in _COUNTERS
        if counter.key not in not_offered(result)
    ]
    end = result.end_ps
    duration = end if isinstance(end, Missing) else end / 1e9
    whole = Figure("duration of the run", duration, "ms")
    return (*figures, whole, *figures_of(result), *threshold_figures(result.job))


def series_records(series: Series) -> list[SeriesRecord]:
    """Shorten a series: complete columns share one table, a column with gaps gets one of its own without them."""
    if series.missing is not None or not len(series.time_ps):
        return []
    values = np.asarray(series.values, dtype=np.float64)
    chosen = _loudest(values, MAX_QPS if series.name == BY_QP else MAX_COLUMNS)
    whole = [index for index in chosen if np.isfinite(values[:, index]).all()]
    parts = [_shared(series, values, whole)] if whole else []
    return parts + [_alone(series, values, index) for index in chosen if index not in whole]


def _loudest(values: Array, most: int) -> list[int]:
    """Indices of the columns with the highest peaks, in the order of the table; none for a column without samples."""
    finite = np.where(np.isfinite(values), values, -np.inf)
    peaks = finite.max(axis=0)
    order = [int(index) for index in np.argsort(-peaks, kind="stable") if peaks[index] > -np.inf]
    return sorted(order[:most])


def _shared(series: Series, values: Array, columns: list[int]) -> SeriesRecord:
    time_ps, kept = decimate_table(series.time_ps, values[:, columns], MAX_POINTS)
    return _record(series, [series.columns[index] for index in columns], time_ps, kept)


def _alone(series: Series, values: Array, index: int) -> SeriesRecord:
    finite = np.isfinite(values[:, index])
    time_ps, kept = decimate(np.asarray(series.time_ps)[finite], values[finite, index], MAX_POINTS)
    return _record(series, [series.columns[index]], time_ps, kept[:, np.newaxis])


def _record(series: Series, columns: list[str], time_ps: Array, values: Array) -> SeriesRecord:
    return SeriesRecord(
        name=series.name,
        unit=series.unit,
        columns=tuple(columns),
        time_ps=tuple(int(time) for time in time_ps),
        values=tuple(tuple(float(f"{value:.6g}") for value in column) for column in values.T),
        reduced_from=len(series.time_ps),
    )
