"""Counters of a run by port and priority, under the names of the vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.core.counters import Aggregation, Counter, Where
from harness.core.evidence import Missing, highest, total

PortResult = Mapping[str, Any]

_LISTS = {
    Counter.PAUSE_TX: "tx_pause",
    Counter.PAUSE_RX: "rx_pause",
    Counter.RESUME_TX: "tx_resume",
    Counter.RESUME_RX: "rx_resume",
    Counter.PAUSE_TX_DURATION: "tx_pause_duration_ps",
    Counter.PAUSE_RX_DURATION: "rx_pause_duration_ps",
    Counter.PAUSE_TRANSITIONS: "pause_transitions",
    Counter.WATCHDOG_DETECTED: "watchdog_detected",
    Counter.WATCHDOG_RESTORED: "watchdog_restored",
    Counter.ECN_MARKED: "ecn_marked",
    Counter.DROPS_WRED: "wred_dropped",
    Counter.QUEUE_MAX: "queue_max_bytes",
    Counter.INGRESS_MAX: "ingress_max_bytes",
    Counter.HEADROOM_MAX: "headroom_max_bytes",
}
"""Counter → key of a port in a result: a list of eight, by priority."""

_TOTALS = {
    Counter.TX_BYTES: "tx_bytes",
    Counter.RX_BYTES: "rx_bytes",
    Counter.TX_PACKETS: "tx_packets",
    Counter.RX_PACKETS: "rx_packets",
}
"""Counter → key of the total; the list by priority has `_prio` appended."""

_DROPS = {
    counter: counter.key.removeprefix("drops_") for counter in Counter if counter.name.startswith("DROPS_")
}
"""Counter → reason in the `drops` object."""

COUNTED = frozenset((*_LISTS, *_TOTALS, *_DROPS, Counter.DROPS)) | {
    counter for counter in Counter if counter.where is Where.HOST
}
"""Counters that a result of docs/job-format.md holds."""


def place_in_port(counter: Counter) -> tuple[str, str | None]:
    """Return where a port of a result keeps a counter: a key, and the key within its object where it is one.

    All drops together are the whole object.
    """
    if counter in _LISTS:
        return _LISTS[counter], None
    if counter in _TOTALS:
        return _TOTALS[counter], None
    if counter is Counter.DROPS:
        return "drops", None
    if counter in _DROPS:
        return "drops", _DROPS[counter]
    return "nic", counter.key


@dataclass(frozen=True, slots=True)
class CounterTable:
    """Counters over some ports and priorities: `table[Counter.DROPS]` is one number, or Missing.

    `at`, `hosts`, `switches` and `priority` narrow it. Peaks give the highest value, all others the sum. A
    port that lacks the counter makes the whole figure Missing: what is not known is not 0.
    """

    ports: Mapping[str, PortResult]
    host_ports: frozenset[str]
    only_priority: int | None = None
    reason: str = "there are no counters"

    def __getitem__(self, counter: Counter) -> int | Missing:
        """Return the figure over all ports of this table that can have the counter."""
        ports = [port for port in self.ports if self._keeps(port, counter)]
        if not ports:
            return Missing(f"{counter}: {self.reason if not self.ports else 'no port here keeps it'}")
        values = [self._value(port, counter) for port in ports]
        figure: int | Missing = (highest if counter.aggregation is Aggregation.MAX else total)(values)
        return figure

    def by_port(self, counter: Counter) -> dict[str, int | Missing]:
        """Return the figure of each port that can have the counter."""
        return {port: self._value(port, counter) for port in self.ports if self._keeps(port, counter)}

    def at(self, place: str) -> CounterTable:
        """Narrow to one port (`sw1:e1`) or to all ports of one node (`sw1`)."""
        ports = {name: port for name, port in self.ports.items() if place in (name, name.partition(":")[0])}
        return replace(self, ports=ports, reason=f"there is no port or node {place!r} here")

    def priority(self, priority: int) -> CounterTable:
        """Narrow to one priority; counters that are not kept by priority become Missing."""
        return replace(self, only_priority=priority)

    @property
    def hosts(self) -> CounterTable:
        """Only ports of hosts."""
        return self._where(lambda name: name in self.host_ports)

    @property
    def switches(self) -> CounterTable:
        """Only ports of switches."""
        return self._where(lambda name: name not in self.host_ports)

    def _where(self, wanted: Callable[[str], bool]) -> CounterTable:
        return replace(self, ports={name: port for name, port in self.ports.items() if wanted(name)})

    def _keeps(self, port: str, counter: Counter) -> bool:
        kind = Where.HOST if port in self.host_ports else Where.SWITCH
        return counter.where in (Where.ANY, kind)

    def _value(self, port: str, counter: Counter) -> int | Missing:
        found = self._raw(self.ports[port], counter)
        if isinstance(found, bool) or not isinstance(found, int | Missing):
            return Missing(f"{counter} is not in the result of {port}")
        if not isinstance(found, Missing) and found < 0:
            return Missing(f"{counter} of {port} is negative: it wrapped or was reset")
        return found

    def _raw(self, port: PortResult, counter: Counter) -> Any:
        if counter in _LISTS:
            return self._of_list(port.get(_LISTS[counter]), counter)
        if self.only_priority is None:
            return _of_port(port, counter)
        if counter in _TOTALS:
            return self._of_list(port.get(f"{_TOTALS[counter]}_prio"), counter)
        return Missing(f"{counter} is not kept by priority")

    def _of_list(self, values: Any, counter: Counter) -> Any:
        if not isinstance(values, list) or len(values) != 8:
            return None
        if self.only_priority is not None:
            return values[self.only_priority]
        return _reduced(values, max if counter.aggregation is Aggregation.MAX else sum)


def _of_port(port: PortResult, counter: Counter) -> Any:
    """Return what a port keeps as one number."""
    if counter in _TOTALS:
        return port.get(_TOTALS[counter])
    if counter is Counter.DROPS:
        return _sum(port.get("drops"))
    if counter in _DROPS:
        return _mapping(port.get("drops")).get(_DROPS[counter])
    return _mapping(port.get("nic")).get(counter.key)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _sum(drops: Any) -> int | None:
    return _reduced(list(drops.values()), sum) if isinstance(drops, dict) and drops else None


def _reduced(values: Sequence[Any], reduce: Callable[[Sequence[int]], int]) -> int | None:
    """Join whole numbers; one that is absent leaves nothing, one that is negative makes the whole negative."""
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return None
    return min(values) if min(values) < 0 else reduce(values)
