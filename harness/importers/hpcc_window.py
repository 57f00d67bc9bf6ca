"""The windows that the HPCC ns-3 simulator gives to flows: bandwidth-delay products of its own making.

For each pair of hosts it walks breadth first from the receiver: the round trip is twice the propagation
delays plus the serialisation of one payload per link (one way, whole nanoseconds each), the bandwidth the
least on the way; the window is their product in whole bytes. With a global window every flow gets the
largest of all pairs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from harness.importers.hpcc_files import HpccLink, HpccTopology

NS_PER_S = 10**9
PS_PER_NS = 1000


@dataclass(frozen=True, slots=True)
class _Way:
    """A path so far: propagation and serialisation in ns, least rate in bit/s (0: no link yet)."""

    delay_ns: int = 0
    serialise_ns: int = 0
    rate_bps: int = 0

    def window_bytes(self) -> int:
        return (2 * self.delay_ns + self.serialise_ns) * self.rate_bps // NS_PER_S // 8


Neighbours = list[list[tuple[int, HpccLink]]]


def pair_windows(topology: HpccTopology, payload_bytes: int, receiver: int) -> dict[int, int]:
    """Window in bytes of a flow to `receiver` from each other host."""
    return _windows_to(receiver, topology, payload_bytes, topology.neighbours)


def _windows_to(
    receiver: int, topology: HpccTopology, payload_bytes: int, neighbours: Neighbours
) -> dict[int, int]:
    ways = _walk(topology, payload_bytes, receiver, neighbours)
    return {host: ways[host].window_bytes() for host in topology.hosts if host in ways and host != receiver}


def global_window(topology: HpccTopology, payload_bytes: int) -> int:
    """The largest window in bytes of all pairs of hosts; 0 when there is no pair."""
    neighbours = topology.neighbours
    per_host = (_windows_to(host, topology, payload_bytes, neighbours).values() for host in topology.hosts)
    return max((window for windows in per_host for window in windows), default=0)


def _walk(topology: HpccTopology, payload_bytes: int, start: int, neighbours: Neighbours) -> dict[int, _Way]:
    ways = {start: _Way()}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        way = ways[here]
        for there, link in neighbours[here]:
            if there in ways:
                continue
            ways[there] = _Way(
                way.delay_ns + link.delay_ps // PS_PER_NS,
                way.serialise_ns + payload_bytes * NS_PER_S * 8 // link.rate_bps,
                min(way.rate_bps or link.rate_bps, link.rate_bps),
            )
            if there in topology.switches:  # hosts forward nothing
                queue.append(there)
    return ways
