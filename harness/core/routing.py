"""Shortest paths through switches, and whether all hosts reach each other. Ports are written `node:port`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from harness.core.errors import ConfigError

Route = tuple[str, ...]
"""The ports that packets leave by, from the source's to the last switch's."""

MAX_PATHS = 100_000
"""Most equal-cost paths listed between two hosts; more are a topology that nobody can read."""


class Graph:
    """Ports and wires of a topology, for questions about paths; answers are kept."""

    def __init__(self, hosts: frozenset[str], nodes: Iterable[str], wires: Sequence[tuple[str, str]]) -> None:
        self.hosts = hosts
        self.nodes = tuple(nodes)
        self.wires = wires
        self._exits: dict[str, list[tuple[str, str]]] = {name: [] for name in self.nodes}
        for a, b in wires:
            self._exits[node_of(a)].append((a, b))
            self._exits[node_of(b)].append((b, a))
        self._distance: dict[str, dict[str, int]] = {}

    def paths(self, src: str, dst: str) -> tuple[Route, ...]:
        """Return all shortest paths from one host port to another; raise ConfigError when there is none."""
        if node_of(src) == node_of(dst):
            raise ConfigError(f"source and target are the same host: {src!r} and {dst!r}")
        ways = self._ways(src, dst)
        if not ways:
            raise ConfigError(f"there is no path from {src!r} to {dst!r}")
        return tuple(ways)

    def _ways(self, src: str, dst: str) -> list[Route]:
        """Walk from the source, always one step nearer to the target port."""
        left = self._distances(dst)
        peer = dict(self._exits[node_of(src)])[src]
        if peer == dst:
            return [(src,)]
        ways: list[tuple[Route, str]] = [((src,), node_of(peer))] if node_of(peer) in left else []
        for remaining in range(left.get(node_of(peer), 0), 0, -1):
            ways = [
                ((*route, exit_), node_of(entry))
                for route, node in ways
                for exit_, entry in self._exits[node]
                if (entry == dst if remaining == 1 else left.get(node_of(entry)) == remaining - 1)
            ]
            if len(ways) > MAX_PATHS:
                raise ConfigError(f"more than {MAX_PATHS} equal paths from {src!r} to {dst!r}")
        return [route for route, _ in ways]

    def _distances(self, dst: str) -> dict[str, int]:
        """Return for each switch its links to the target port; only switches forward."""
        if dst not in self._distance:
            first = node_of(dict(self._exits[node_of(dst)])[dst])
            found = {} if first in self.hosts else {first: 1}
            queue = deque(found)
            while queue:
                node = queue.popleft()
                for _, entry in self._exits[node]:
                    other = node_of(entry)
                    if other not in found and other not in self.hosts:
                        found[other] = found[node] + 1
                        queue.append(other)
            self._distance[dst] = found
        return self._distance[dst]

    def islands(self) -> Mapping[str, frozenset[str]]:
        """Return for each host the islands its ports are in.

        An island is a connected group of switches, or one direct wire.
        """
        island = self._switch_islands()
        found: dict[str, set[str]] = {host: set() for host in self.hosts}
        for a, b in self.wires:
            for near, far in ((node_of(a), node_of(b)), (node_of(b), node_of(a))):
                if near in self.hosts:
                    found[near].add(island.get(far, f"{a}-{b}"))
        return {host: frozenset(names) for host, names in found.items()}

    def _switch_islands(self) -> dict[str, str]:
        island: dict[str, str] = {}
        for start in self.nodes:
            if start in island or start in self.hosts:
                continue
            island[start] = start
            stack = [start]
            while stack:
                for _, entry in self._exits[stack.pop()]:
                    other = node_of(entry)
                    if other not in island and other not in self.hosts:
                        island[other] = start
                        stack.append(other)
        return island


def check_connected(graph: Graph) -> None:
    """Raise ConfigError unless every host has a path to every other."""
    islands = graph.islands()
    hosts = [name for name in graph.nodes if name in islands]
    lonely = next((host for host in hosts if not islands[host]), None)
    if lonely is not None:
        raise ConfigError(f"host {lonely!r} has no link", key="links", hint="every host needs one")
    kinds: dict[frozenset[str], str] = {}
    for host in hosts:
        kinds.setdefault(islands[host], host)
    several = list(kinds.items())
    for index, (ours, host) in enumerate(several):
        for theirs, other in several[index + 1 :]:
            if not ours & theirs:
                raise ConfigError(
                    f"there is no path from {host!r} to {other!r}",
                    key="links",
                    hint="hosts do not forward packets",
                )


def node_of(port: str) -> str:
    """Return the node of a port."""
    return port.partition(":")[0]
