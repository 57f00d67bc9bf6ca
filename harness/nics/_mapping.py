"""How a driver that only reads counters is written: a table from the vocabulary to a device's own names.

Every figure is the difference of two readings. A counter that is absent from either, or went down without being
narrow enough to have wrapped, is left out of the result: it is never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.core.capability import Capability
from harness.core.counters import Counter, Where
from harness.core.errors import ConfigError
from harness.nics import Json, Reading
from harness.transport.remote import Remote

PRIORITIES = 8

_LISTS: Mapping[Counter, str] = {
    Counter.PAUSE_TX: "tx_pause",
    Counter.PAUSE_RX: "rx_pause",
    Counter.PAUSE_TX_DURATION: "tx_pause_duration_ps",
    Counter.PAUSE_RX_DURATION: "rx_pause_duration_ps",
    Counter.PAUSE_TRANSITIONS: "pause_transitions",
    Counter.TX_BYTES: "tx_bytes_prio",
    Counter.RX_BYTES: "rx_bytes_prio",
    Counter.TX_PACKETS: "tx_packets_prio",
    Counter.RX_PACKETS: "rx_packets_prio",
}
"""Counter → key of a list of eight in a port of a result."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a raw counter stands in a reading: a group and a name there, or an index of a list.

    `bits` is its width: a narrower one than 64 wraps, or sticks at its highest value when it `saturates`.
    The figure is its difference times `factor`. Some counters are only shown while a feature is on: where one is
    in neither reading, its figure is 0 as long as `unmoved` stood still.
    """

    group: str
    name: str
    bits: int = 64
    factor: int = 1
    saturates: bool = False
    index: int | None = None
    unmoved: Source | None = None

    def read(self, reading: Reading) -> int | None:
        """Return the raw value, None when it is not there."""
        group = reading.get(self.group)
        value = group.get(self.name) if isinstance(group, Mapping) else None
        if self.index is not None:
            value = value[self.index] if isinstance(value, list) and len(value) == PRIORITIES else None
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

    def is_told(self, reading: Reading) -> bool:
        """Whether a reading has it, or what stands for it."""
        return self.read(reading) is not None or (self.unmoved is not None and self.unmoved.is_told(reading))

    def delta(self, before: Reading, after: Reading) -> int | None:
        """Return the difference in the unit of the vocabulary, None when it cannot be known."""
        earlier, later = self.read(before), self.read(after)
        if earlier is None and later is None and self.unmoved is not None:
            return 0 if self.unmoved.delta(before, after) == 0 else None
        if earlier is None or later is None or (self.saturates and later == 2**self.bits - 1):
            return None
        if later < earlier and (self.bits >= 64 or self.saturates or earlier >= 2**self.bits):
            return None
        return (later - earlier + (2**self.bits if later < earlier else 0)) * self.factor


Sources = tuple[Source, ...]
"""Raw counters whose sum is one counter of the vocabulary; a list by priority has one for each of the eight."""


def hw(name: str, bits: int = 64) -> Sources:
    """A counter of `/sys/class/infiniband/DEV/ports/N/hw_counters`."""
    return (Source("hw_counters", name, bits),)


def netdev(*names: str) -> Sources:
    """Counters of `/sys/class/net/DEV/statistics`."""
    return tuple(Source("netdev", name) for name in names)


def ethtool(*names: str) -> Sources:
    """Counters of `ethtool -S`."""
    return tuple(Source("ethtool", name) for name in names)


def ethtool_by_priority(template: str, factor: int = 1, unmoved: Sources | None = None) -> Sources:
    """Counters of `ethtool -S` with the number of the priority in their names."""
    idle = unmoved or (None,) * PRIORITIES
    return tuple(
        Source("ethtool", template.format(p), factor=factor, unmoved=idle[p]) for p in range(PRIORITIES)
    )


def dcb_pfc(name: str) -> Sources:
    """Counters of `dcb pfc show`, by priority."""
    return tuple(Source("dcb_pfc", name, index=p) for p in range(PRIORITIES))


class MappedNic:
    """A NIC whose driver is its tables; implements `harness.nics.NicDriver`."""

    name: ClassVar[str]
    table: ClassVar[Mapping[Counter, Sources]] = {}
    by_priority: ClassVar[Mapping[Counter, Sources]] = {}
    deviations: ClassVar[Mapping[str, str]] = {}
    more_capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(self, reading: Reading, kernel: str) -> None:
        del kernel  # no table depends on it yet
        self._table = _present(self.table, reading)
        self._by_priority = _present(self.by_priority, reading)

    @property
    def offered(self) -> frozenset[Counter]:
        """What is mapped and was there at the first look."""
        lists = {counter for counter in self._by_priority if counter not in _TOTALS}
        drops = {Counter.DROPS} if any(map(_is_drop, self._table)) else set()
        return frozenset({*self._table, *lists, *drops})

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Counters, when there are any that only a NIC has, and what the driver adds."""
        own = any(counter.where is Where.HOST for counter in self.offered)
        by_priority = any(counter in self._by_priority for counter in _TOTALS)
        counters = {Capability.HOST_COUNTERS} if own else set()
        return (
            self.more_capabilities | counters | ({Capability.PER_PRIORITY_COUNTERS} if by_priority else set())
        )

    def counters(self, before: Reading, after: Reading) -> Json:
        """Return what became of the counters between two readings, as keys of a host port of a result."""
        found = {counter: _total(sources, before, after) for counter, sources in self._table.items()}
        known = {counter: value for counter, value in found.items() if value is not None}
        port: Json = {c.key: v for c, v in known.items() if c in _TOTALS}
        port["nic"] = {c.key: v for c, v in known.items() if c.where is Where.HOST}
        drops = {c.key.removeprefix("drops_"): v for c, v in known.items() if _is_drop(c)}
        if drops and len(drops) == sum(map(_is_drop, found)):  # a sum over some of them would pass for all
            port["drops"] = drops
        lists = {counter: _each(sources, before, after) for counter, sources in self._by_priority.items()}
        return port | {_LISTS[counter]: values for counter, values in lists.items() if values is not None}

    def configure(self, remote: Remote, netdev: str, nic: Mapping[str, Any]) -> None:
        """Refuse what is asked of the NIC itself and nobody here can set; MTU and timers are the agent's."""
        del remote
        asked = {
            "pfc.priorities": (nic["pfc"]["priorities"], []),
            "cc.algorithm": (nic["cc"]["algorithm"], "none"),
            "loss_recovery": (nic["loss_recovery"], "go_back_n"),
            "rx.drain_bps": (nic["rx"]["drain_bps"], 0),
            "nak_interval_ps": (nic["nak_interval_ps"], 0),
        }
        for key, (value, as_it_is) in asked.items():
            if value != as_it_is:
                hint = f"driver {self.name} leaves it as it is; {as_it_is!r} stands for that"
                raise ConfigError(
                    f"{netdev}: cannot be set on this NIC", key=f"nic.{key}", value=value, hint=hint
                )

    def restore(self, remote: Remote, netdev: str) -> None:
        """Nothing was changed."""


_TOTALS = (Counter.TX_BYTES, Counter.RX_BYTES, Counter.TX_PACKETS, Counter.RX_PACKETS)


def _is_drop(counter: Counter) -> bool:
    return counter.name.startswith("DROPS_")


def _present(table: Mapping[Counter, Sources], reading: Reading) -> dict[Counter, Sources]:
    return {
        counter: sources
        for counter, sources in table.items()
        if all(source.is_told(reading) for source in sources)
    }


def _total(sources: Iterable[Source], before: Reading, after: Reading) -> int | None:
    values = [source.delta(before, after) for source in sources]
    return None if None in values else sum(value for value in values if value is not None)


def _each(sources: Iterable[Source], before: Reading, after: Reading) -> list[int] | None:
    values = [source.delta(before, after) for source in sources]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None
