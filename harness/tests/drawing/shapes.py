"""Graphs to draw, made without the topology model so that a picture's test fails for pictures alone."""

from __future__ import annotations

from harness.core.units import GBPS, US
from harness.drawing.graph import Edge, Graph, natural


def star(hosts: int) -> Graph:
    """One switch."""
    names = tuple(f"h{index}" for index in range(1, hosts + 1))
    return Graph("star", names, ("sw1",), tuple(link(name, "sw1") for name in names))


def leaf_spine(leaves: int, hosts_per_leaf: int, spines: int) -> Graph:
    """Two tiers, 100 Gb/s below and 400 Gb/s above."""
    hosts: list[str] = []
    edges: list[Edge] = []
    for leaf in range(1, leaves + 1):
        for _ in range(hosts_per_leaf):
            hosts.append(f"h{len(hosts) + 1}")
            edges.append(link(hosts[-1], f"leaf{leaf}"))
        edges += [link(f"leaf{leaf}", f"spine{spine}", 400 * GBPS) for spine in range(1, spines + 1)]
    switches = [f"leaf{i}" for i in range(1, leaves + 1)] + [f"spine{i}" for i in range(1, spines + 1)]
    return Graph("pod", tuple(hosts), tuple(natural(switches)), tuple(edges))


def ring(switches: int) -> Graph:
    """A ring of switches with a host each."""
    names = [f"s{index}" for index in range(switches)]
    around = [link(a, b, 400 * GBPS) for a, b in zip(names, names[1:] + names[:1], strict=True)]
    down = [link(f"h{index}", name) for index, name in enumerate(names)]
    return Graph("ring", tuple(f"h{index}" for index in range(switches)), tuple(names), tuple(down + around))


def link(a: str, b: str, rate_bps: int = 100 * GBPS) -> Edge:
    """A link whose port names do not matter."""
    return Edge((a, b), (f"{a}:p", f"{b}:p"), rate_bps, 1 * US)
