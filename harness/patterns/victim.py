"""An incast, and flows that did nothing to deserve it: head-of-line blocking made visible."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from harness.core.errors import ConfigError
from harness.core.flow import Flow
from harness.core.validation import model
from harness.patterns import Hosts, Messages, MessageSize, host_of, one_to_many

if TYPE_CHECKING:
    from harness.core.topology import Topology


class Shares(StrEnum):
    """What a victim flow shares with the incast."""

    NOTHING = "nothing"  # its own sender, its own receiver, no link of the incast
    SENDER = "sender"  # the NIC of the incast's first sender
    UPLINK = "uplink"  # its own sender and receiver, and a link between switches that the incast may cross


@model
class Victim(Messages):
    """An incast of `senders` to `receiver` (default: the last host), and a victim flow for each of `shares`.

    Victims send `victim_size` (default: `size`) between hosts that the incast does not use, but for a victim
    that shares the sender.
    """

    senders: Hosts
    size: MessageSize
    receiver: str | None = None
    shares: tuple[Shares, ...] = (Shares.NOTHING, Shares.SENDER)
    victim_size: MessageSize | None = None

    def flow_count(self, topology: Topology) -> int:
        """Number of flows: one a sender and one a victim."""
        return len(self.shares) + len(self._ends(topology)[1])

    def flows(self, topology: Topology, seed: int) -> list[Flow]:
        """Flows `victim-incast-0` …, then `victim-nothing`, `victim-sender`, `victim-uplink` as asked for.

        Raises ConfigError when the topology has no free hosts, or no place, for a victim.
        """
        receiver, senders = self._ends(topology)
        draw = self.random(seed)
        made = [self.repeat(f"incast-{i}", src, receiver, self.size, draw) for i, src in enumerate(senders)]
        victims = self._victims(topology, senders, receiver)
        size = self.victim_size or self.size
        return made + [self.repeat(kind.value, *victims[kind], size, draw) for kind in self.shares]

    def _ends(self, topology: Topology) -> tuple[str, list[str]]:
        return one_to_many(topology, self.receiver, self.senders, keys=("receiver", "senders"), default=-1)

    def _victims(
        self, topology: Topology, senders: Sequence[str], receiver: str
    ) -> dict[Shares, tuple[str, str]]:
        """Source and target of each victim; the pickiest ones choose first among the free hosts."""
        if len(set(self.shares)) < len(self.shares):
            raise ConfigError("a kind of victim is asked for twice", key="shares")
        used = {host_of(port) for port in (*senders, receiver)}
        hot = {link for src in senders for link in _links(topology, src, receiver)}
        ends: dict[Shares, tuple[str, str]] = {}
        for kind in sorted(self.shares, key=_PICKIEST_FIRST.index):
            free = [port for port in topology.host_ports if host_of(port) not in used]
            ends[kind] = _place(topology, kind, free, senders[0], hot)
            used |= {host_of(port) for port in ends[kind]}
        return ends


_PICKIEST_FIRST = (Shares.UPLINK, Shares.NOTHING, Shares.SENDER)


def _links(topology: Topology, src: str, dst: str) -> set[str]:
    """Directed links of all shortest paths between two host ports, each named by the port it leaves."""
    return {port for route in topology.paths(src, dst) for port in route}


def _place(
    topology: Topology, kind: Shares, free: Sequence[str], sender: str, hot: set[str]
) -> tuple[str, str]:
    sources = [sender] if kind is Shares.SENDER else free
    for src in sources:
        for dst in free:
            if host_of(src) != host_of(dst) and _fits(kind, _links(topology, src, dst), hot):
                return src, dst
    hint = f"topology {topology.name} has {len(free)} host ports that the incast leaves free"
    raise ConfigError(
        f"no place for a victim that shares {kind.value}", key="shares", value=kind.value, hint=hint
    )


def _fits(kind: Shares, links: set[str], hot: set[str]) -> bool:
    if kind is Shares.UPLINK:
        return bool(links & hot)
    return kind is Shares.SENDER or not links & hot
