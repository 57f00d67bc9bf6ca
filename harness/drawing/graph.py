"""The part of a topology that a picture needs: nodes, their kind, and what runs between them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.core.units import format_duration, format_rate

if TYPE_CHECKING:
    from harness.core.topology import Topology


@dataclass(frozen=True, slots=True)
class Edge:
    """One link: its two node names, its two ports (`node:port`), rate in bit/s and delay in ps."""

    nodes: tuple[str, str]
    ports: tuple[str, str]
    rate_bps: int
    delay_ps: int

    @property
    def label(self) -> str:
        """Rate and delay as people write them: ``100Gbps 1us``."""
        return f"{format_rate(self.rate_bps)} {format_duration(self.delay_ps)}"


@dataclass(frozen=True, slots=True)
class Graph:
    """Hosts and switches by name, in natural order, and the links between them."""

    name: str
    hosts: tuple[str, ...]
    switches: tuple[str, ...]
    edges: tuple[Edge, ...]

    def neighbours(self) -> dict[str, set[str]]:
        """The nodes at the other end of each node's links; a node without links has an empty set."""
        found: dict[str, set[str]] = defaultdict(set, {name: set() for name in (*self.hosts, *self.switches)})
        for edge in self.edges:
            a, b = edge.nodes
            found[a].add(b)
            found[b].add(a)
        return dict(found)

    @property
    def summary(self) -> str:
        """One line of counts: ``9 hosts, 1 switch, 9 links``."""
        counts = ((self.hosts, "host", "s"), (self.switches, "switch", "es"), (self.edges, "link", "s"))
        return ", ".join(
            f"{len(things)} {word}{'' if len(things) == 1 else many}" for things, word, many in counts
        )


def graph_of(topology: Topology) -> Graph:
    """Reduce a topology to what is drawn."""
    kinds = {name: str(node.kind) for name, node in topology.nodes.items()}
    edges = []
    for link in topology.links:
        a, b = link.endpoints
        nodes = (a.partition(":")[0], b.partition(":")[0])
        edges.append(Edge(nodes, (a, b), link.rate, link.delay))
    return Graph(
        name=topology.name,
        hosts=tuple(natural(name for name, kind in kinds.items() if kind == "host")),
        switches=tuple(natural(name for name, kind in kinds.items() if kind != "host")),
        edges=tuple(edges),
    )


def natural(names: Iterable[str]) -> list[str]:
    """Sort so that ``h2`` comes before ``h10``."""
    return sorted(names, key=_natural_key)


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
