"""Results that note what is read of them: which counter of which ports, which figure of which flow, which series."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.core.evidence import Missing
from harness.core.flow_results import FlowResult, FlowSet, Latency
from harness.core.port_counters import CounterTable, place_in_port
from harness.core.result import RunResult
from harness.core.series import Series, SeriesSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.core.counters import Counter

WORDS = frozenset({"name", "src", "dst", "status", "error", "vendor_err"})
"""What a flow says in words: it is no count, and its absence makes the flow a failed one."""

ALL_COLUMNS = "*"


@dataclass(frozen=True, slots=True)
class CounterRead:
    """A counter of some ports, at one priority or in all."""

    counter: Counter
    priority: int | None
    values: tuple[tuple[str, int], ...]
    """Port and what was read there."""

    @property
    def key(self) -> str:
        """Name of the reading, as laws call it."""
        place, part = place_in_port(self.counter)
        return f"{place}.{part}" if place == "nic" else place

    @property
    def words(self) -> str:
        """Name of the reading, for people."""
        return str(self.counter) if self.priority is None else f"{self.counter} of priority {self.priority}"


@dataclass(frozen=True, slots=True)
class FlowRead:
    """A figure of some flows, with its value; `part` is the object within the flow that holds it."""

    part: str
    field: str
    values: tuple[tuple[str, float], ...]

    @property
    def key(self) -> str:
        """Name of the reading, as laws call it."""
        return "flow." + (f"{self.part}." if self.part else "") + self.field

    words = key


@dataclass(frozen=True, slots=True)
class RunRead:
    """When the run ended."""

    key: str = "end_ps"
    words: str = "end_ps of the run"


@dataclass(frozen=True, slots=True)
class SeriesRead:
    """A column of a series, or all of them."""

    name: str
    column: str

    @property
    def key(self) -> str:
        """Name of the reading, as laws call it."""
        return f"series.{self.name}"

    @property
    def words(self) -> str:
        """Name of the reading, for people."""
        of = "" if self.column == ALL_COLUMNS else f" of {self.column}"
        return f"series {self.name}{of}"


Read = CounterRead | FlowRead | RunRead | SeriesRead


class Log:
    """What was read of one result so far, each once, in the order of the first time."""

    def __init__(self) -> None:
        self._others: dict[Read, None] = {}
        self._flows: dict[tuple[str, str], dict[str, float]] = {}

    def counter(self, table: CounterTable, counter: Counter, values: Mapping[str, int | Missing]) -> None:
        """Note a counter, unless the evidence is missing as it is."""
        known = tuple((port, value) for port, value in values.items() if not isinstance(value, Missing))
        if known and len(known) == len(values):
            self._others.setdefault(CounterRead(counter, table.only_priority, known))

    def flow(self, part: str, name: str, flow: str, value: Any) -> None:
        """Note a figure of a flow, unless there is none."""
        if name == "run_end_ps":
            self._others.setdefault(RunRead())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            self._flows.setdefault((part, name), {})[flow] = value

    def series(self, name: str, column: str = ALL_COLUMNS) -> None:
        """Note a series or one of its columns."""
        self._others.setdefault(SeriesRead(name, column))

    @property
    def reads(self) -> tuple[Read, ...]:
        """Everything that was read."""
        flows = (FlowRead(part, name, tuple(values.items())) for (part, name), values in self._flows.items())
        return (*self._others, *flows)


@dataclass(frozen=True, slots=True)
class WatchedTable(CounterTable):
    """Counters that note which of them are read."""

    log: Log = field(default_factory=Log)

    def __getitem__(self, counter: Counter) -> int | Missing:
        """Return the figure, and note it."""
        self.log.counter(self, counter, CounterTable.by_port(self, counter))
        return CounterTable.__getitem__(self, counter)

    def by_port(self, counter: Counter) -> dict[str, int | Missing]:
        """Return the figure of each port, and note it."""
        found = CounterTable.by_port(self, counter)
        self.log.counter(self, counter, found)
        return found


class WatchedLatency(Latency):
    """Latency figures of a flow that note which of them are read."""

    __slots__ = ("flow", "log")
    flow: str
    log: Log

    def __getattribute__(self, name: str) -> Any:
        """Return a figure, and note it."""
        value = object.__getattribute__(self, name)
        if name in _LATENCY:
            object.__getattribute__(self, "log").flow(
                "latency", name, object.__getattribute__(self, "flow"), value
            )
        return value


class WatchedFlow(FlowResult):
    """A flow that notes which of its figures are read."""

    __slots__ = ("log",)
    log: Log

    def __getattribute__(self, name: str) -> Any:
        """Return a figure, and note it."""
        value = object.__getattribute__(self, name)
        if name in _FIGURES:
            object.__getattribute__(self, "log").flow("", name, object.__getattribute__(self, "name"), value)
        return value


class WatchedQp(dict[str, Any]):
    """A QP of a flow that notes which of its figures are read."""

    def __init__(self, pair: Mapping[str, Any], flow: str, log: Log) -> None:
        super().__init__(pair)
        self._flow, self._log = flow, log

    def __getitem__(self, key: str) -> Any:
        """Return a figure, and note it."""
        value = super().__getitem__(key)
        self._log.flow("qps", key, self._flow, value)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """Return a figure or what stands for it, and note it."""
        return self[key] if key in self else default  # noqa: SIM401 - `get` of a dict would note nothing


class WatchedSeries(Series):
    """A series that notes which of its columns are read."""

    __slots__ = ("log",)
    log: Log

    def column(self, name: str) -> Any:
        """Return one column's samples, and note it."""
        self.log.series(self.name, name)
        return Series.column(self, name)

    def between(self, start_ps: int = 0, end_ps: int | None = None) -> Series:
        """Return a part of the samples, which notes what is read, too."""
        return _watched_series(Series.between(self, start_ps, end_ps), self.log)


@dataclass(frozen=True, slots=True)
class WatchedSet(SeriesSet):
    """Series that note which of them are read."""

    log: Log = field(default_factory=Log)

    def __getitem__(self, name: str) -> Series:
        """Return a series, and note it."""
        found = SeriesSet.__getitem__(self, name)
        if found.missing is None:
            self.log.series(name)
        return _watched_series(found, self.log)


@dataclass(frozen=True)
class WatchedResult(RunResult):
    """A result that notes what is read of it."""

    log: Log = field(default_factory=Log)

    @cached_property
    def flows(self) -> FlowSet:
        """All flows, watched."""
        flows = super().flows
        return FlowSet(tuple(_watched_flow(flow, self.log) for flow in flows), flows.patterns, flows.groups)

    @cached_property
    def counters(self) -> CounterTable:
        """All counters, watched."""
        found = super().counters
        return WatchedTable(found.ports, found.host_ports, reason=found.reason, log=self.log)

    @cached_property
    def series(self) -> SeriesSet:
        """All series, watched."""
        found = super().series
        loaded = found._loaded  # noqa: SLF001 - the series that are in memory are shared, not read again
        return WatchedSet(found.folder, found.tables, found.time_file, found.reason, loaded, self.log)


def watch(result: RunResult) -> WatchedResult:
    """Return the same result, which notes what is read of it."""
    return WatchedResult(result.job, result.raw, result.folder, result.scenario, result.expansion)


_LATENCY = frozenset(each.name for each in fields(Latency))
_FIGURES = frozenset(each.name for each in fields(FlowResult)) - WORDS - {"latency", "qps"}


def _watched_flow(flow: FlowResult, log: Log) -> FlowResult:
    values = {each.name: getattr(flow, each.name) for each in fields(FlowResult)}
    values["qps"] = tuple(WatchedQp(pair, flow.name, log) for pair in flow.qps)
    if not isinstance(flow.latency, Missing):
        latency = WatchedLatency(**{each.name: getattr(flow.latency, each.name) for each in fields(Latency)})
        _attach(latency, flow=flow.name, log=log)
        values["latency"] = latency
    watched = WatchedFlow(**values)
    _attach(watched, log=log)
    return watched


def _watched_series(series: Series, log: Log) -> Series:
    watched = WatchedSeries(**{each.name: getattr(series, each.name) for each in fields(Series)})
    _attach(watched, log=log)
    return watched


def _attach(target: object, **values: object) -> None:
    """Set attributes of a frozen value that nobody else holds yet."""
    for name, value in values.items():
        object.__setattr__(target, name, value)
