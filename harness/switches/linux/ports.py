"""The ports of one switch: their names in the topology and on the machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.core.errors import ConfigError
from harness.core.topology import Topology

NETDEV = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
"""Names that Linux (IFNAMSIZ 16), nft and tc all take without quoting."""


@dataclass(frozen=True, slots=True)
class SwitchPort:
    """One linked port: `place` is `sw1:e1`, `index` counts from 0 and is in the names of our nft objects."""

    index: int
    place: str
    netdev: str
    rate_bps: int

    @property
    def key(self) -> str:
        """Its name in nft, where port names of vendors may not be identifiers."""
        return f"p{self.index}"


def ports_of(node: str, netdevs: Mapping[str, str], topology: Topology) -> tuple[SwitchPort, ...]:
    """Return the linked ports of a switch; raise ConfigError for names that cannot be."""
    places = [port for port in topology.switch_ports if port.partition(":")[0] == node]
    if not places:
        raise ConfigError(f"topology {topology.name!r} has no linked port of {node!r}", key="switches")
    return tuple(_port(index, place, netdevs, topology) for index, place in enumerate(places))


def _port(index: int, place: str, netdevs: Mapping[str, str], topology: Topology) -> SwitchPort:
    node, _, name = place.partition(":")
    netdev = netdevs.get(name, "")
    if not NETDEV.fullmatch(netdev):
        key = f"switches.{node}.ports.{name}"
        raise ConfigError("not a Linux network device", key=key, value=netdev, hint="such as swp1 or enp3s0")
    return SwitchPort(index, place, netdev, topology.link(place).rate)
