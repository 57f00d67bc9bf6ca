"""A result seen through its job: readings by place and by role, None where there is none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.core.series import Array, Series, SeriesSet

PRIORITIES = 8

SENDER, RECEIVER = "src", "dst"
"""Ends of a flow: who asked for it, and of whom."""

DATA_SENDER, DATA_RECEIVER = "data_src", "data_dst"
"""Ends of its data: those of a read change places."""

RESPONDED = ("read", "atomic", "compare_swap", "fetch_add")
"""Verbs whose data comes as a response."""

LARGEST_PACKET = 9000
"""Bytes: a packet may be counted at the very time of a sample."""

DRAIN_SAMPLES = 3
"""Samples that a queue must take to drain before one of them surely sees it."""


@dataclass(frozen=True, slots=True)
class FlowFacts:
    """One flow of a result, with what the job asked of it."""

    raw: Mapping[str, Any]
    asked: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.raw.get("name"))

    @property
    def src(self) -> str:
        """The port that asked for it."""
        return str(self.raw.get("src"))

    @property
    def error(self) -> str | None:
        """Why it failed; None when it did not."""
        found = self.raw.get("error")
        return None if found is None else str(found)

    @property
    def is_response(self) -> bool:
        """Whether its data comes as a response."""
        return self.asked.get("verb") in RESPONDED

    @property
    def is_reliable(self) -> bool:
        """Whether what is lost is sent again."""
        return self.asked.get("transport", "rc") not in ("uc", "ud")

    @property
    def is_done(self) -> bool:
        """Whether it came to its end."""
        return self.raw.get("status") == "done"

    @property
    def asked_start_ps(self) -> int:
        """Before when it must not start."""
        return int(self.asked.get("start_ps") or 0)

    def end(self, role: str) -> str:
        """Return the port of one of its ends."""
        if role in (SENDER, RECEIVER):
            return str(self.raw.get(role))
        is_source = (role == DATA_SENDER) != self.is_response
        return str(self.raw.get(SENDER if is_source else RECEIVER))

    def count(self, key: str) -> int | None:
        """Return a figure of it."""
        return whole(self.raw.get(key))

    def latency(self, key: str) -> float | None:
        """Return a figure of its latency."""
        found = self.raw.get("latency")
        value = found.get(key) if isinstance(found, dict) else None
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def of_qps(self, key: str) -> list[int]:
        """Return a figure of each of its QPs; nothing when one does not have it."""
        known = [whole(pair.get(key)) for pair in self.raw.get("qps") or ()]
        return [] if None in known else [value for value in known if value is not None]


class Facts:
    """Readings of one run.

    Every method returns None where a reading is absent or no whole number, so that nothing is concluded from it.
    """

    def __init__(
        self, job: Mapping[str, Any], raw: Mapping[str, Any], series: SeriesSet | None = None
    ) -> None:
        self._job = job
        self._raw = raw
        self._series = series
        self.ports: Mapping[str, Mapping[str, Any]] = raw.get("ports") or {}
        self.simulated = raw.get("simulated") is not False

    # ---- the shape ----

    @cached_property
    def host_ports(self) -> tuple[str, ...]:
        """Ports of hosts that have counters."""
        hosts = {node["name"] for node in self._job.get("nodes") or () if node.get("kind") == "host"}
        return tuple(port for port in self.ports if port.partition(":")[0] in hosts)

    @cached_property
    def switch_ports(self) -> tuple[str, ...]:
        """Ports of switches that have counters."""
        hosts = frozenset(self.host_ports)
        return tuple(port for port in self.ports if port not in hosts)

    @cached_property
    def links(self) -> tuple[tuple[str, str], ...]:
        """Both directions of each link whose ends have counters."""
        ends = [(link["a"], link["b"]) for link in self._job.get("links") or ()]
        both = [pair for a, b in ends for pair in ((a, b), (b, a))]
        return tuple((a, b) for a, b in both if a in self.ports and b in self.ports)

    @property
    def count_of_switches(self) -> int:
        """How many switches have counters; at least one."""
        return max(1, len({port.partition(":")[0] for port in self.switch_ports}))

    def is_host(self, port: str) -> bool:
        """Tell whether a port is that of a host."""
        return port in self.host_ports

    @cached_property
    def _rates(self) -> dict[str, int]:
        links = self._job.get("links") or ()
        return {end: int(link["rate_bps"]) for link in links for end in (link["a"], link["b"])}

    @cached_property
    def fastest_bps(self) -> int:
        """Rate of the fastest link."""
        return max(self._rates.values(), default=0)

    # ---- what the scenario did ----

    @cached_property
    def _events(self) -> list[Mapping[str, Any]]:
        return list(self._job.get("events") or ())

    def has_impairment(self, *actions: str) -> bool:
        """Tell whether the scenario does one of these to packets."""
        return any(event.get("action") in actions for event in self._events)

    @cached_property
    def repeats_selectively(self) -> bool:
        """Whether a host keeps packets that come after a gap."""
        blocks = (self._job, *(self._job.get("nodes") or ()), *self._events)
        return any((block.get("nic") or {}).get("loss_recovery") == "selective_repeat" for block in blocks)

    @cached_property
    def _starts_over(self) -> bool:
        """Whether a host takes a message from its start again, and forgets what it had of it."""
        blocks = (self._job, *(self._job.get("nodes") or ()), *self._events)
        return any((block.get("nic") or {}).get("loss_recovery") == "go_back_0" for block in blocks)

    @cached_property
    def is_steady(self) -> bool:
        """Whether no configuration and no link changes during the run."""
        return not any(str(event.get("kind")).startswith(("qos", "link_")) for event in self._events)

    @cached_property
    def _troubled(self) -> frozenset[str]:
        """Ends of links that fail by the scenario or lose frames by errors, and their peers."""
        ports = {
            str(event.get("port")) for event in self._events if str(event.get("kind")).startswith("link_")
        }
        ends = [(link, (link["a"], link["b"])) for link in self._job.get("links") or ()]
        return frozenset(
            end for link, both in ends for end in both if link.get("ber") or ports.intersection(both)
        )

    def is_troubled(self, port: str) -> bool:
        """Tell whether frames may be lost on the link of a port."""
        return port in self._troubled or any(
            self.dropped_for(port, reason) for reason in ("link_down", "bit_error")
        )

    def drops_on_order_at(self, port: str) -> bool:
        """Tell whether the scenario drops packets that this port sends."""
        names = {str(event.get("flow")) for event in self._events if event.get("action") == "drop"}
        return any(flow.name in names and flow.end(DATA_SENDER) == port for flow in self.flows)

    # ---- counters ----

    def count(self, port: str, key: str) -> int | None:
        """Return what a port keeps as one number."""
        return whole(self.ports[port].get(key)) if port in self.ports else None

    def lanes(self, port: str, key: str) -> list[int] | None:
        """Return what a port keeps by priority."""
        found = self.ports[port].get(key) if port in self.ports else None
        if not isinstance(found, list) or len(found) != PRIORITIES:
            return None
        return found if all(whole(value) is not None for value in found) else None

    def lane_sum(self, port: str, key: str) -> int | None:
        """Return the sum over priorities."""
        lanes = self.lanes(port, key)
        return None if lanes is None else sum(lanes)

    def pairs(self, ports: Iterable[str], one: str, other: str) -> Iterator[tuple[str, int, int, int]]:
        """Yield port, priority and both counters, for each priority where one of them is not 0."""
        for port in ports:
            first, second = self.lanes(port, one), self.lanes(port, other)
            if first is None or second is None or not (any(first) or any(second)):
                continue
            for priority in range(PRIORITIES):
                yield port, priority, first[priority], second[priority]

    def nic(self, port: str, key: str) -> int | None:
        """Return a counter of a NIC."""
        found = self.ports[port].get("nic")
        return whole(found.get(key)) if isinstance(found, dict) else None

    def drops(self, port: str) -> int | None:
        """Return the drops of a port, for whatever reason."""
        found = self.ports[port].get("drops")
        if not isinstance(found, dict) or not found:
            return None
        known = [whole(value) for value in found.values()]
        return None if None in known else sum(value for value in known if value is not None)

    def dropped_for(self, port: str, reason: str) -> int | None:
        """Return the drops of a port for one reason."""
        found = self.ports[port].get("drops") if port in self.ports else None
        return whole(found.get(reason)) if isinstance(found, dict) else None

    @cached_property
    def sum_of_drops(self) -> int:
        """All drops that are known."""
        return sum(self.drops(port) or 0 for port in self.ports)

    @cached_property
    def sum_of_egress_drops(self) -> int:
        """Drops of switches on the way out, of packets that came in at any port and were never held."""
        return sum(
            self.dropped_for(port, reason) or 0
            for port in self.switch_ports
            for reason in ("egress_limit", "wred", "no_route", "watchdog", "link_down")
        )

    def sum_of_ports(self, ports: Iterable[str], key: str) -> int | None:
        """Return the sum of a counter by priority over ports."""
        return _sum(self.lane_sum(port, key) for port in ports)

    def sum_of_nics(self, key: str) -> int | None:
        """Return the sum of a counter over all NICs."""
        return _sum(self.nic(port, key) for port in self.host_ports)

    def account(self, key: str) -> int | None:
        """Return a figure of the account that the simulator keeps of all packets."""
        found = self._raw.get("conservation")
        return whole(found.get(key)) if isinstance(found, dict) else None

    @property
    def in_flight(self) -> int | None:
        """Packets on their way when the run ended."""
        return self.account("packets_in_flight")

    @property
    def end_ps(self) -> int | None:
        """When the run ended."""
        return whole(self._raw.get("end_ps"))

    # ---- flows ----

    @cached_property
    def flows(self) -> tuple[FlowFacts, ...]:
        """All flows."""
        asked = {flow.get("name"): flow for flow in self._job.get("flows") or ()}
        return tuple(FlowFacts(raw, asked.get(raw.get("name"), {})) for raw in self._raw.get("flows") or ())

    @cached_property
    def _by_name(self) -> dict[str, FlowFacts]:
        return {flow.name: flow for flow in self.flows}

    def flow(self, name: str) -> FlowFacts | None:
        """Return a flow by its name."""
        return self._by_name.get(name)

    @cached_property
    def _by_end(self) -> dict[tuple[str, str], list[FlowFacts]]:
        found: dict[tuple[str, str], list[FlowFacts]] = defaultdict(list)
        for flow in self.flows:
            for role in (SENDER, RECEIVER, DATA_SENDER, DATA_RECEIVER):
                found[role, flow.end(role)].append(flow)
        return found

    def flow_sum(self, key: str, role: str, port: str, *, responses: bool | None = None) -> int | None:
        """Return the sum of a figure over flows that have this port as an end; `responses` chooses kinds of verbs."""
        flows = self._by_end.get((role, port), ())
        return _sum((flow.count(key) for flow in flows if responses in (None, flow.is_response)), empty=0)

    def has_responses(self, port: str) -> bool:
        """Tell whether a port is an end of a flow whose data comes as a response."""
        return any(
            flow.is_response for role in (SENDER, RECEIVER) for flow in self._by_end.get((role, port), ())
        )

    def sum_of_flows(self, key: str) -> int | None:
        """Return the sum of a figure over all flows."""
        return _sum((flow.count(key) for flow in self.flows), empty=0)

    # ---- series ----

    @property
    def series_names(self) -> tuple[str, ...]:
        """Names of the series that were recorded."""
        return () if self._series is None else tuple(self._series)

    @cached_property
    def sample_ps(self) -> int:
        """Interval of the series."""
        found = self._raw.get("series")
        return int(found.get("every_ps") or 0) if isinstance(found, dict) else 0

    @cached_property
    def _time_ps(self) -> Array:
        series = (self._series[name] for name in self.series_names) if self._series is not None else iter(())
        return next((each.time_ps for each in series if each.missing is None), np.zeros(0, dtype=np.int64))

    def _table(self, name: str) -> Series | None:
        """Return a series that has samples."""
        if self._series is None or name not in self._series:
            return None
        series = self._series[name]
        return series if series.missing is None and len(series.time_ps) and series.columns else None

    def columns(self, name: str) -> Iterator[tuple[str, Array]]:
        """Yield the columns of a series."""
        series = self._table(name)
        if series is not None:
            for index, column in enumerate(series.columns):
                yield column, np.asarray(series.values[:, index])

    def sums_over_time(self, name: str) -> Iterator[tuple[str, float]]:
        """Yield each column of a series with the sum of sample times interval."""
        series = self._table(name)
        if series is not None:
            sums = np.diff(series.time_ps, prepend=0) @ np.asarray(series.values)
            yield from zip(series.columns, (float(value) for value in sums), strict=True)

    def negative_columns(self, name: str) -> list[str]:
        """Return columns of a series that hold a sample below zero."""
        series = self._table(name)
        return [] if series is None else _chosen(series, (np.asarray(series.values) < 0).any(axis=0))

    def falling_columns(self, name: str) -> list[str]:
        """Return columns of a series that ever fall."""
        series = self._table(name)
        if series is None:
            return []
        values = np.asarray(series.values)
        return _chosen(series, (values[1:] < values[:-1]).any(axis=0))

    @staticmethod
    def changes(samples: Array) -> int:
        """Return how often a column changes, gaps left out."""
        finite = samples[np.isfinite(samples)]
        return int(np.count_nonzero(finite[1:] != finite[:-1]))

    @staticmethod
    def falls(samples: Array) -> bool:
        """Tell whether a column ever falls."""
        finite = samples[np.isfinite(samples)]
        return bool((finite[1:] < finite[:-1]).any())

    def frames_after_last_sample(self, port: str) -> float:
        """Return how many frames the link of a port carries after the last sample, of its mean size less a quarter."""
        packets, size = self.count(port, "tx_packets"), self.count(port, "tx_bytes")
        if not packets or not size or self.end_ps is None or not len(self._time_ps):
            return float("inf")
        left_ps = max(0, self.end_ps - int(self._time_ps[-1]))
        return left_ps * self._rates.get(port, 0) / (8e12 * 0.75 * size / packets) + 1

    @cached_property
    def surplus_bytes(self) -> float:
        """By how much samples of goodput may exceed the payload: by what was forgotten, else by rounding."""
        return float("inf") if self._starts_over else 1.0

    def bytes_after_last_sample(self, port: str) -> float | None:
        """Return how many bytes may reach a host's port after the last sample; None when that cannot be told.

        A host that takes in data late, or all that it held at once, is not bound by its link.
        """
        kinds = {str(event.get("kind")) for event in self._events}
        is_late = self.repeats_selectively or self._has_buffer(port) or kinds & {"drain_rate", "link_rate"}
        if is_late or self.end_ps is None or not len(self._time_ps):
            return None
        left_ps = max(0, self.end_ps - int(self._time_ps[-1]))
        if self._goes_on_after_its_end:  # and so do the samples, to the last packet
            left_ps = max(left_ps, self.sample_ps)
        return left_ps * self._rates.get(port, 0) / 8e12 + LARGEST_PACKET

    @cached_property
    def _goes_on_after_its_end(self) -> bool:
        """Whether packets arrive after the end: datagrams are done when they were sent, a duration may have a drain."""
        if self._job.get("until") == "duration":
            return bool(self._job.get("drain_ps"))
        return not all(flow.is_reliable for flow in self.flows)

    def _has_buffer(self, port: str) -> bool:
        """Tell whether a host's port takes in data more slowly than it comes."""
        nodes = [node for node in self._job.get("nodes") or () if node.get("name") == port.partition(":")[0]]
        blocks = [*(node.get("nic") or {} for node in nodes), self._job.get("nic") or {}]
        return any((block.get("rx") or {}).get("drain_bps") for block in blocks)

    def shared_peak(self, switch: str) -> int | None:
        """Return the highest use of the shared buffer of a switch."""
        found = (self._raw.get("switches") or {}).get(switch)
        return whole(found.get("shared_max_bytes")) if isinstance(found, dict) else None

    def reserve_and_shared_peak(self, switch: str) -> int | None:
        """Return the most bytes that one priority of a port can hold outside of headroom."""
        reserve, peak = whole(self.buffer_of(switch, "reserve_bytes")), self.shared_peak(switch)
        if reserve is None or peak is None or not self.is_steady or self.buffer_of(switch, "model") == "hpcc":
            return None
        return reserve + peak

    def buffer_of(self, switch: str, key: str) -> object:
        """Return a key of a switch's buffer as the job has it: its own, else that of all switches."""
        nodes: list[Mapping[str, Any]] = [
            node for node in self._job.get("nodes") or () if node.get("name") == switch
        ]
        blocks = [*(node.get("switch") or {} for node in nodes), self._job.get("switch") or {}]
        found = ((block.get("buffer") or {}).get(key) for block in blocks)
        return next((value for value in found if value is not None), None)

    def queued(self, switch: str) -> Array | None:
        """Return what all sampled queues of a switch hold at each sample."""
        columns = [samples for name, samples in self.columns("queue_bytes") if name.startswith(f"{switch}:")]
        return np.sum(columns, axis=0) if columns else None

    def outside_shared(self, switch: str) -> int | None:
        """Return the most bytes that a switch holds outside of its shared buffer or its sampled queues."""
        reserve = whole(self.buffer_of(switch, "reserve_bytes"))
        if reserve is None or self.buffer_of(switch, "model") == "hpcc":
            return None
        sampled = {name for name, _ in self.columns("queue_bytes")}
        held = 0
        for port in (port for port in self.switch_ports if port.partition(":")[0] == switch):
            lanes = [self.lanes(port, f"{kind}_max_bytes") for kind in ("ingress", "headroom", "queue")]
            if any(lane is None for lane in lanes):
                return None
            ingress, headroom, queues = (lane or [] for lane in lanes)
            held += sum(min(reserve, each) for each in ingress) + sum(headroom)
            held += sum(each for priority, each in enumerate(queues) if f"{port}/{priority}" not in sampled)
        return held

    def drains_slowly(self, place: str, peak_bytes: int) -> bool:
        """Tell whether that many bytes at a port or a switch are seen in several samples, and none is discarded."""
        ports = [port for port in self.ports if place in (port, port.partition(":")[0])]
        rate = sum(self._rates.get(port, 0) for port in ports)
        if not rate or not self.sample_ps or self._raw.get("ended") != "done":
            return False
        if any(self.is_troubled(port) or self.dropped_for(port, "watchdog") != 0 for port in ports):
            return False
        return peak_bytes * 8e12 / rate > DRAIN_SAMPLES * self.sample_ps


def _chosen(series: Series, wanted: Any) -> list[str]:
    return [column for column, is_wanted in zip(series.columns, wanted, strict=True) if is_wanted]


def whole(value: object) -> int | None:
    """Return a whole number that is not negative; None for everything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _sum(values: Iterable[int | None], empty: int | None = None) -> int | None:
    """Return the sum; None when one is not known, `empty` when there are none."""
    known = list(values)
    if not known:
        return empty
    return None if None in known else sum(value for value in known if value is not None)
