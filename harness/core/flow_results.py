"""What became of the flows of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from harness.core.errors import ConfigError, suggestion
from harness.core.evidence import Missing, highest, lowest, total
from harness.core.flow import Pattern

Known = int | Missing


class FlowStatus(StrEnum):
    """How a flow ended."""

    DONE = "done"
    UNFINISHED = "unfinished"
    FAILED = "failed"
    NOT_STARTED = "not_started"


@dataclass(frozen=True, slots=True)
class Latency:
    """Completion times of messages in ps."""

    count: Known
    min_ps: Known
    mean_ps: float | Missing
    p50_ps: Known
    p90_ps: Known
    p99_ps: Known
    p999_ps: Known
    max_ps: Known


@dataclass(frozen=True, slots=True)
class FlowResult:
    """One flow; the fields are those of docs/job-format.md.

    Those from `payload_verified_bytes` to `recovery_local_ps` only hosts know, those from `messages_checked` to
    `interval_rate_max_bps` only those with the native generator.

    What the result lacks or does not know is Missing.
    """

    name: str
    src: str
    dst: str
    status: FlowStatus
    error: str | None
    start_ps: Known
    end_ps: Known
    fct_ps: Known
    message_bytes: Known
    messages_completed: Known
    bytes_sent: Known
    bytes_delivered: Known
    bytes_acked: Known
    packets_sent: Known
    packets_delivered: Known
    packets_dropped: Known
    packets_retransmitted: Known
    packets_duplicate: Known
    packets_out_of_order: Known
    packets_in_flight: Known
    ecn_marked: Known
    cnp_sent: Known
    cnp_received: Known
    rate_cuts: Known
    rate_increases: Known
    naks_sent: Known
    naks_received: Known
    timeouts: Known
    rnr_naks_sent: Known
    rnr_naks_received: Known
    payload_verified_bytes: Known
    payload_mismatched_bytes: Known
    vendor_err: Known
    recovery_ps: Known
    recovery_local_ps: Known
    messages_checked: Known
    messages_lost: Known
    messages_duplicated: Known
    messages_corrupted: Known
    messages_reordered: Known
    idle_gaps: Known
    idle_longest_ps: Known
    idle_total_ps: Known
    interval_rate_min_bps: Known
    interval_rate_mean_bps: Known
    interval_rate_max_bps: Known
    latency: Latency | Missing
    qps: tuple[Mapping[str, Any], ...]
    run_end_ps: Known

    @property
    def busy_ps(self) -> Known:
        """Time from its start to its last completion, or to the end of the run when it did not complete."""
        end = self.run_end_ps if isinstance(self.end_ps, Missing) else self.end_ps
        if isinstance(end, Missing) or isinstance(self.start_ps, Missing):
            return highest([end, self.start_ps])
        return end - self.start_ps if end > self.start_ps else Missing(f"flow {self.name} was never busy")

    @property
    def goodput_gbps(self) -> float | Missing:
        """Payload delivered per busy time, in Gb/s."""
        return gbps(self.bytes_delivered, self.busy_ps)


@dataclass(frozen=True, slots=True)
class Durations:
    """Completion times of flows; every figure is Missing when one of them did not complete."""

    values_ps: tuple[Known, ...]

    @property
    def count(self) -> int:
        """How many flows."""
        return len(self.values_ps)

    @property
    def min_ps(self) -> Known:
        """The shortest."""
        return lowest(self.values_ps)

    @property
    def max_ps(self) -> Known:
        """The longest."""
        return highest(self.values_ps)

    @property
    def mean_ps(self) -> float | Missing:
        """The mean."""
        return total(self.values_ps) / max(1, len(self.values_ps))

    def percentile_ps(self, percent: float) -> Known:
        """Return the smallest value that `percent` (0 to 100) of the flows do not exceed (nearest rank)."""
        gap = highest(self.values_ps)
        if isinstance(gap, Missing):
            return gap
        ordered = sorted(value for value in self.values_ps if isinstance(value, int))
        return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class FlowSet(Sequence[FlowResult]):
    """Flows of a run, in the job's order, and figures over them.

    `groups` are the names of the flows that each pattern of the scenario made; `patterns` are those patterns.
    """

    items: tuple[FlowResult, ...]
    patterns: tuple[Pattern, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[FlowResult]:
        return iter(self.items)

    def named(self, name: str) -> FlowResult:
        """Return one flow; raise ConfigError when there is none of that name."""
        found = next((flow for flow in self.items if flow.name == name), None)
        if found is None:
            names = [flow.name for flow in self.items]
            raise ConfigError(f"there is no flow {name!r}", hint=suggestion(name, names, "flows are"))
        return found

    def of(self, which: Pattern | str) -> FlowSet:
        """Narrow to the flows a pattern made, or to those whose names begin with a text.

        Raises ConfigError when there are none.
        """
        if isinstance(which, str):
            return self._chosen(lambda flow: flow.name.startswith(which), f"flows named {which!r}…")
        index = next((i for i, pattern in enumerate(self.patterns) if pattern is which), None)
        if index is None:
            index = next((i for i, pattern in enumerate(self.patterns) if pattern == which), None)
        if index is None:
            raise ConfigError("this pattern is not in the scenario that was run", value=which)
        names = set(self.groups[index])
        return self._chosen(lambda flow: flow.name in names, "flows of this pattern")

    def to(self, place: str) -> FlowSet:
        """Narrow to the flows that end at a host or host port."""
        return self._chosen(
            lambda flow: place in (flow.dst, flow.dst.partition(":")[0]), f"flows to {place!r}"
        )

    def sent_by(self, place: str) -> FlowSet:
        """Narrow to the flows that start at a host or host port."""
        return self._chosen(
            lambda flow: place in (flow.src, flow.src.partition(":")[0]), f"flows from {place!r}"
        )

    def _chosen(self, wanted: Callable[[FlowResult], bool], what: str) -> FlowSet:
        items = tuple(flow for flow in self.items if wanted(flow))
        if not items:
            names = ", ".join(flow.name for flow in self.items[:20])
            raise ConfigError(f"there are no {what}", hint=f"flows are {names}" if names else None)
        return FlowSet(items, self.patterns, self.groups)

    def total(self, field: str) -> Known:
        """Return the sum of a number of each flow, such as `packets_retransmitted`."""
        return total(getattr(flow, field) for flow in self.items)

    @property
    def busy_ps(self) -> Known:
        """Time from the first start to the last end."""
        starts = lowest(flow.start_ps for flow in self.items)
        ends = highest(
            flow.run_end_ps if isinstance(flow.end_ps, Missing) else flow.end_ps for flow in self.items
        )
        busy: Known = ends - starts
        return busy

    @property
    def goodput_gbps(self) -> float | Missing:
        """Payload delivered to all receivers per busy time, in Gb/s."""
        return gbps(self.total("bytes_delivered"), self.busy_ps)

    @property
    def goodputs_gbps(self) -> tuple[float | Missing, ...]:
        """Goodput of each flow."""
        return tuple(flow.goodput_gbps for flow in self.items)

    @property
    def fct(self) -> Durations:
        """Completion times."""
        return Durations(tuple(flow.fct_ps for flow in self.items))

    def jain(self) -> float | Missing:
        """Return Jain's index of the flows' goodputs: (Σx)² / (n·Σx²), 1 when all are equal (Jain 1984)."""
        rates = list(self.goodputs_gbps)
        whole, squares = total(rates), total([rate * rate for rate in rates])
        if isinstance(whole, Missing) or isinstance(squares, Missing):
            return total([whole, squares])
        if squares == 0:
            return Missing("no flow delivered anything")
        return whole**2 / (len(rates) * squares)


def gbps(payload_bytes: Known, duration_ps: Known) -> float | Missing:
    """Return Gb/s: bits per ps are Tb/s."""
    if isinstance(payload_bytes, Missing):
        return payload_bytes
    if isinstance(duration_ps, Missing):
        return duration_ps
    return payload_bytes * 8 / duration_ps * 1000 if duration_ps > 0 else Missing("no time passed")


def flow_result(data: Mapping[str, Any], run_end_ps: Known) -> FlowResult:
    """Read one flow of a result; numbers that are absent, null or no numbers become Missing."""
    name = str(data.get("name", "?"))
    known: dict[str, Any] = {key: _number(data, key, name) for key in _NUMBERS}
    for key in ("src", "dst"):
        known[key] = str(data.get(key, ""))
    return FlowResult(
        name=name,
        status=_status(data.get("status")),
        error=data.get("error"),
        latency=_latency(data.get("latency"), name),
        qps=tuple(data.get("qps") or ()),
        run_end_ps=run_end_ps,
        **known,
    )


def _status(value: Any) -> FlowStatus:
    """A status nobody knows counts as failed: it must not pass for done."""
    return FlowStatus(value) if value in FlowStatus.__members__.values() else FlowStatus.FAILED


def _number(data: Mapping[str, Any], key: str, flow: str) -> Any:
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        unknown = "is not in the result" if key not in data else "is not known, it did not complete"
        return Missing(f"{key} of flow {flow} {unknown}")
    return value if value >= 0 else Missing(f"{key} of flow {flow} is negative: it wrapped or was reset")


def _latency(value: Any, flow: str) -> Latency | Missing:
    if not isinstance(value, dict):
        return Missing(f"flow {flow} has no latency figures")
    names = [name for name in Latency.__slots__ if name != "mean_ps"]
    known = {name: _number(value, name, flow) for name in names}
    return Latency(mean_ps=_mean(value.get("mean_ps"), flow), **known)


def _mean(value: Any, flow: str) -> float | Missing:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return Missing(f"mean_ps of the latency of flow {flow} is not in the result")
    return value


_NUMBERS = tuple(
    name for name, kind in FlowResult.__annotations__.items() if kind == "Known" and name != "run_end_ps"
)
