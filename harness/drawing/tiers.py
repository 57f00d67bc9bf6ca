"""Put the nodes of a topology into tiers and fold hosts that are wired alike.

Hosts stand in tier 0; a switch stands one above the lowest thing it is wired to, counted from the hosts:
leaves 1, spines 2, and so on.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass

from harness.drawing.graph import Edge, Graph, natural

FOLD_ABOVE_HOSTS = 24
"""With more hosts than this, hosts on the same switches are drawn as one box."""


@dataclass(frozen=True, slots=True)
class Box:
    """What is drawn as one rectangle: a node, or several hosts that are wired alike."""

    members: tuple[str, ...]
    is_host: bool
    on: tuple[str, ...] = ()  # hosts: the switches they hang on

    @property
    def label(self) -> str:
        """The name, or the first and last names of a folded group."""
        if len(self.members) == 1:
            return self.members[0]
        return f"{self.members[0]} … {self.members[-1]}"

    @property
    def note(self) -> str:
        """How many nodes the box stands for; empty for one."""
        return f"{len(self.members)} hosts" if len(self.members) > 1 else ""


@dataclass(frozen=True, slots=True)
class Bundle:
    """All links between two boxes: how many, and their rates and delays with counts."""

    boxes: tuple[int, int]
    links: int
    labels: tuple[str, ...]
    rate_bps: int  # of all links together


@dataclass(frozen=True, slots=True)
class Tiers:
    """Boxes by tier, bottom (hosts) first, and the bundles between them; bundles name boxes by index."""

    graph: Graph
    boxes: tuple[Box, ...]
    rows: tuple[tuple[int, ...], ...]
    bundles: tuple[Bundle, ...]


def arrange(
    graph: Graph, fold_above: int = FOLD_ABOVE_HOSTS, roles: Mapping[str, str] | None = None
) -> Tiers:
    """Decide tiers, folding and order; deterministic for equal graphs. Hosts of different `roles` never share a box."""
    neighbours = graph.neighbours()
    heights = _heights(graph, neighbours)
    groups = _host_groups(graph, neighbours, roles or {}, fold=len(graph.hosts) > fold_above)
    boxes = [Box(group, True, tuple(natural(neighbours[group[0]]))) for group in groups]
    boxes += [Box((name,), False) for name in graph.switches]
    rows: dict[int, list[int]] = defaultdict(list)
    for index, box in enumerate(boxes):
        rows[0 if box.is_host else heights[box.members[0]]].append(index)
    ordered = tuple(tuple(rows[height]) for height in sorted(rows))
    return Tiers(graph, tuple(boxes), ordered, tuple(_bundles(graph, boxes)))


def _heights(graph: Graph, neighbours: dict[str, set[str]]) -> dict[str, int]:
    """Distance of every node from the nearest host; switches that reach none stand on tier 1."""
    heights = dict.fromkeys(graph.hosts, 0)
    queue = deque(graph.hosts)
    while queue:
        name = queue.popleft()
        for other in neighbours[name]:
            if other not in heights:
                heights[other] = heights[name] + 1
                queue.append(other)
    return {name: heights.get(name, 1) for name in (*graph.hosts, *graph.switches)}


def _host_groups(
    graph: Graph, neighbours: dict[str, set[str]], roles: Mapping[str, str], *, fold: bool
) -> list[tuple[str, ...]]:
    """Hosts in the order of the switches they hang on, so that links cross little; folded when asked."""
    place = {name: index for index, name in enumerate(graph.switches)}
    groups: dict[tuple[tuple[int, ...], str], list[str]] = defaultdict(list)
    for host in graph.hosts:
        switches = tuple(sorted(place.get(name, -1) for name in neighbours[host]))
        groups[switches, roles.get(host, "") if fold else ""].append(host)
    if fold:
        return [tuple(groups[key]) for key in sorted(groups)]
    return [(host,) for key in sorted(groups) for host in groups[key]]


def _bundles(graph: Graph, boxes: list[Box]) -> list[Bundle]:
    box_of = {name: index for index, box in enumerate(boxes) for name in box.members}
    between: dict[tuple[int, int], list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        a, b = sorted(box_of[name] for name in edge.nodes)
        between[a, b].append(edge)
    return [
        Bundle(pair, len(edges), label_counts(edges), sum(edge.rate_bps for edge in edges))
        for pair, edges in sorted(between.items())
    ]


def label_counts(edges: list[Edge]) -> tuple[str, ...]:
    """Rates and delays of links, the commonest first: ``16 x 100Gbps 1us``; a single link has no count."""
    counts = Counter(edge.label for edge in edges)
    return tuple(label if number == 1 else f"{number} x {label}" for label, number in counts.most_common())
