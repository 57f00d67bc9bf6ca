"""Fabrics and flow lists of the benchmark, as parts of a job (docs/job-format.md).

Hosts are ``h0…``; a leaf's hosts are consecutive. Every link runs at 100 Gb/s with 1 µs of propagation,
as in the published runs.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field

LINK_RATE_BPS = 100_000_000_000
LINK_DELAY_PS = 1_000_000

Flow = dict[str, object]


@dataclass(slots=True)
class Shape:
    """Nodes and links, grown link by link so that port names follow the order of cabling."""

    hosts: list[str] = field(default_factory=list)
    ports: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    links: list[dict[str, object]] = field(default_factory=list)

    def add_host(self, switch: str) -> None:
        """Add the next host and cable it to ``switch``."""
        name = f"h{len(self.hosts)}"
        self.hosts.append(name)
        self.cable(name, switch)

    def cable(self, a: str, b: str) -> None:
        """Join the next free port of ``a`` to the next free port of ``b``."""
        ends = []
        for node in (a, b):
            port = f"p{len(self.ports[node])}"
            self.ports[node].append(port)
            ends.append(f"{node}:{port}")
        self.links.append({"a": ends[0], "b": ends[1], "rate_bps": LINK_RATE_BPS, "delay_ps": LINK_DELAY_PS})

    def nodes(self) -> list[dict[str, object]]:
        """The ``nodes`` of a job: hosts first, then switches."""
        switches = [name for name in self.ports if name not in set(self.hosts)]
        listed = [(name, "host") for name in self.hosts] + [(name, "switch") for name in switches]
        return [{"name": name, "kind": kind, "ports": self.ports[name]} for name, kind in listed]


def star(hosts: int) -> Shape:
    """One switch with ``hosts`` hosts."""
    shape = Shape()
    for _ in range(hosts):
        shape.add_host("sw")
    return shape


def leaf_spine(leaves: int, hosts_per_leaf: int, spines: int) -> Shape:
    """Two tiers, one link from every leaf to every spine."""
    shape = Shape()
    for leaf in range(leaves):
        for _ in range(hosts_per_leaf):
            shape.add_host(f"leaf{leaf}")
    for leaf in range(leaves):
        for spine in range(spines):
            shape.cable(f"leaf{leaf}", f"spine{spine}")
    return shape


def incast(shape: Shape, size_bytes: int) -> list[Flow]:
    """Every host but the last sends to the last."""
    *senders, receiver = shape.hosts
    return [_flow(src, receiver, size_bytes) for src in senders]


def permutation(shape: Shape, size_bytes: int, *, flows_per_host: int = 1, seed: int = 1) -> list[Flow]:
    """Every host sends to another and receives from another: ``flows_per_host`` random cycles."""
    rng = random.Random(seed)
    flows: list[Flow] = []
    for index in range(flows_per_host):
        order = shape.hosts[:]
        rng.shuffle(order)
        pairs = zip(order, order[1:] + order[:1], strict=True)
        flows += [_flow(src, dst, size_bytes, index) for src, dst in pairs]
    return flows


def all_to_all(shape: Shape, size_bytes: int) -> list[Flow]:
    """Every host sends to every other at once."""
    return [_flow(src, dst, size_bytes) for src in shape.hosts for dst in shape.hosts if src != dst]


def _flow(src: str, dst: str, size_bytes: int, index: int = 0) -> Flow:
    return {
        "name": f"{src}>{dst}#{index}",
        "src": f"{src}:p0",
        "dst": f"{dst}:p0",
        "verb": "write",
        "message_bytes": size_bytes,
        "priority": 3,
    }
