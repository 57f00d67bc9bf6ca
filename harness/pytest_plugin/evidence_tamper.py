"""Results in which one reading was tampered with; everything else is shared with the true result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.core.counters import Counter
from harness.core.flow_results import FlowSet, flow_result
from harness.core.laws import SERIES_TOLERANCE
from harness.core.port_counters import place_in_port
from harness.core.result import RunResult
from harness.core.series import Series, SeriesSet
from harness.pytest_plugin.evidence_reads import (
    ALL_COLUMNS,
    CounterRead,
    FlowRead,
    Read,
    RunRead,
    SeriesRead,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PRIORITIES = 8
GONE = object()
"""Instead of a value: the key is not there."""


class Mode(Enum):
    """What is done to a reading."""

    REMOVED = "removed"
    ABSENT = "absent"
    NEGATIVE = "negative"
    FROZEN = "frozen"

    @property
    def words(self) -> str:
        """What happened to the reading, for people."""
        return {
            Mode.REMOVED: "was removed",
            Mode.ABSENT: "was null",
            Mode.NEGATIVE: "was negative",
            Mode.FROZEN: "stood still",
        }[self]


@dataclass(frozen=True, slots=True)
class Tampering:
    """One reading of one run, what is done to it, and where: at some ports or flows."""

    run: int
    read: Read
    mode: Mode
    places: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What was done, for people: "counter pause_rx of sw1:e9 was removed"."""
        where = f" of {self.places[0]}" if len(self.places) == 1 else ""
        all_of = f" of {len(self.places)} places" if len(self.places) > 1 else ""
        return f"{self.read.words}{where}{all_of} {self.mode.words}"


def tamperings(run: int, read: Read, result: RunResult) -> Iterator[Tampering]:
    """Yield what is tried on a reading: at one place and at all, in each mode that changes anything."""
    if isinstance(read, CounterRead | FlowRead):
        values = dict(read.values)
        one = max(values, key=lambda place: values[place])
        for places in ((one,), tuple(values)) if len(values) > 1 else ((one,),):
            for mode in Mode:
                if mode is not Mode.FROZEN or (can_freeze(read) and any(values[place] for place in places)):
                    yield Tampering(run, read, mode, places)
        return
    for mode in Mode:
        if mode is not Mode.FROZEN or (isinstance(read, RunRead) or not _stands_still(read, result)):
            yield Tampering(run, read, mode)


def can_freeze(read: Read) -> bool:
    """Tell whether a reading counts something; numbers of QPs are names."""
    return not (isinstance(read, FlowRead) and read.part == "qps" and read.field != "bytes_delivered")


def moved(read: Read, result: RunResult) -> bool:
    """Tell whether a reading is other than at the start of the run."""
    if isinstance(read, CounterRead | FlowRead):
        return any(value for _, value in read.values)
    return isinstance(read, RunRead) or not _stands_still(read, result)


def _stands_still(read: SeriesRead, result: RunResult) -> bool:
    """A rate that is level from its first sample on is as good as one that stands still: both say the same."""
    samples = _samples(result.series[read.name], read.column)
    if not samples.size or np.isnan(samples).all() or (samples == samples[:1]).all():
        return True
    return read.name == "goodput_bps" and np.allclose(samples.mean(axis=0), samples[0], rtol=SERIES_TOLERANCE)


def _samples(series: Series, column: str) -> Any:
    values = np.asarray(series.values)
    return values if column == ALL_COLUMNS else values[:, series.columns.index(column)]


def tampered(result: RunResult, what: Tampering) -> RunResult:
    """Return the result with one reading tampered with."""
    read = what.read
    if isinstance(read, CounterRead):
        ports = {name: _port(result.raw["ports"][name], read, what.mode) for name in what.places}
        raw = {**result.raw, "ports": {**result.raw["ports"], **ports}}
        return _sharing(result, raw, result.flows, result.series)
    if isinstance(read, FlowRead):
        return _with_flows(result, read, what)
    if isinstance(read, RunRead):
        raw = _with(result.raw, "end_ps", _value(what.mode, 0))
        return _sharing(result, raw, None, result.series)
    return _with_series(result, read, what.mode)


def _sharing(
    result: RunResult, raw: Mapping[str, Any], flows: FlowSet | None, series: SeriesSet | None
) -> RunResult:
    """Return a result of these raw readings; flows and series that are given are not read again."""
    made = RunResult(result.job, raw, result.folder, result.scenario, result.expansion)
    if flows is not None:
        vars(made)["flows"] = flows
    if series is not None:
        vars(made)["series"] = series
    return made


def _with(mapping: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    changed = {**mapping, key: value}
    if value is GONE:
        del changed[key]
    return changed


def _value(mode: Mode, frozen: Any) -> Any:
    return {Mode.REMOVED: GONE, Mode.ABSENT: None, Mode.NEGATIVE: -1, Mode.FROZEN: frozen}[mode]


# ---- counters ----


def _port(port: Mapping[str, Any], read: CounterRead, mode: Mode) -> dict[str, Any]:
    key, part = place_in_port(read.counter)
    if part is not None:
        return {**port, key: _with(port[key], part, _value(mode, 0))}
    if read.counter is Counter.DROPS:
        return _with(port, key, _drops(port[key], mode))
    by_priority = f"{key}_prio"
    if by_priority in port:  # a counter with a total beside its priorities
        if mode is Mode.FROZEN:
            return {**port, key: 0, by_priority: [0] * PRIORITIES}
        if read.priority is None:
            return _with(port, key, _value(mode, 0))
        key = by_priority
    return _with(port, key, _lanes(port[key], read.priority, mode))


def _drops(drops: Mapping[str, int], mode: Mode) -> Any:
    if mode is Mode.NEGATIVE:
        return {**drops, max(drops, key=lambda reason: drops[reason]): -1}
    return _value(mode, dict.fromkeys(drops, 0))


def _lanes(lanes: list[int], priority: int | None, mode: Mode) -> Any:
    if mode is Mode.REMOVED or (mode is Mode.ABSENT and priority is None):
        return _value(mode, None)
    if mode is Mode.FROZEN:
        return [0] * PRIORITIES
    index = lanes.index(max(lanes)) if priority is None else priority
    return [*lanes[:index], _value(mode, 0), *lanes[index + 1 :]]


# ---- flows ----


def _with_flows(result: RunResult, read: FlowRead, what: Tampering) -> RunResult:
    places = frozenset(what.places)
    changed = {
        flow["name"]: _flow(flow, read, what.mode) for flow in result.raw["flows"] if flow["name"] in places
    }
    raw = {**result.raw, "flows": [changed.get(flow["name"], flow) for flow in result.raw["flows"]]}
    end_ps = result.end_ps
    items = tuple(
        flow_result(changed[flow.name], end_ps) if flow.name in places else flow for flow in result.flows
    )
    return _sharing(result, raw, replace(result.flows, items=items), result.series)


def _flow(flow: Mapping[str, Any], read: FlowRead, mode: Mode) -> dict[str, Any]:
    value = _value(mode, 0)
    if read.part == "latency":
        return {**flow, "latency": _with(flow["latency"], read.field, value)}
    if read.part == "qps":
        return {**flow, "qps": [_with(pair, read.field, value) for pair in flow["qps"]]}
    made = _with(flow, read.field, value)
    if read.field == "bytes_delivered" and mode is Mode.FROZEN:  # the same reading, by QP
        known = [pair for pair in flow.get("qps") or () if isinstance(pair.get(read.field), int)]
        made["qps"] = [{**pair, read.field: 0} for pair in known] or flow.get("qps")
    return made


# ---- series ----


def _with_series(result: RunResult, read: SeriesRead, mode: Mode) -> RunResult:
    true = result.series
    if mode in (Mode.REMOVED, Mode.ABSENT):
        table = GONE if mode is Mode.REMOVED else {**true.tables[read.name], "file": None}
        tables = _with(true.tables, read.name, table)
        raw = {**result.raw, "series": {**result.raw["series"], "tables": tables}}
        return _sharing(result, raw, result.flows, SeriesSet.of_result(raw["series"], result.folder))
    series = true[read.name]
    values = np.array(series.values)
    index = slice(None) if read.column == ALL_COLUMNS else series.columns.index(read.column)
    values[:, index] = values[:1, index] if mode is Mode.FROZEN else -1
    loaded = {**{name: true[name] for name in true}, read.name: replace(series, values=values)}
    made = SeriesSet(true.folder, true.tables, true.time_file, true.reason, loaded)
    return _sharing(result, result.raw, result.flows, made)
