"""A topology as text: a row of boxes per tier, and between the rows what runs there."""

from __future__ import annotations

from collections import defaultdict

from harness.drawing.graph import Edge, Graph
from harness.drawing.tiers import Tiers, arrange, label_counts

MARGIN = 9
"""Columns left of the boxes, for the name of the tier."""

NAMED_LINKS = 12
"""Links within one tier (a ring) are named one by one up to this many, then counted."""


def draw_text(graph: Graph, width: int = 100) -> str:
    """Draw for a terminal of ``width`` columns; rows that are wider are continued below."""
    # Text has no lines from host to switch: with several leaves, hosts are folded by what they hang on.
    leaves = {tuple(sorted(graph.neighbours()[host])) for host in graph.hosts}
    tiers = arrange(graph, fold_above=0) if len(leaves) > 1 else arrange(graph)
    height = {
        name: level for level, row in enumerate(tiers.rows) for index in row for name in _names(tiers, index)
    }
    lines = [f"{graph.name}: {graph.summary}", ""]
    for level in range(len(tiers.rows) - 1, -1, -1):
        lines += _row(tiers, level, width)
        lines += _within(graph, height, level)
        lines += _below(graph, height, level)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _names(tiers: Tiers, index: int) -> tuple[str, ...]:
    return tiers.boxes[index].members


def _row(tiers: Tiers, level: int, width: int) -> list[str]:
    """The boxes of one tier; a box is three lines, a wide tier several rows of them."""
    labels = [f" {_caption(tiers, index)} " for index in tiers.rows[level]]
    title = "hosts" if level == 0 else f"tier {level}"
    lines: list[str] = []
    for chunk in _chunks(labels, width - MARGIN):
        head = title if not lines else ""
        top = " ".join(f"┌{'─' * len(label)}┐" for label in chunk)
        middle = " ".join(f"│{label}│" for label in chunk)
        bottom = " ".join(f"└{'─' * len(label)}┘" for label in chunk)
        lines += [" " * MARGIN + top, head.ljust(MARGIN) + middle, " " * MARGIN + bottom]
    return lines


def _caption(tiers: Tiers, index: int) -> str:
    box = tiers.boxes[index]
    where = (
        f" on {' '.join(box.on)}" if box.is_host and len(tiers.rows) > 1 and len(tiers.rows[1]) > 1 else ""
    )
    count = f" ({len(box.members)})" if len(box.members) > 2 else ""
    return f"{box.label}{count}{where}"


def _chunks(labels: list[str], width: int) -> list[list[str]]:
    """Cut a row of boxes into rows that fit; a box wider than the terminal stands alone."""
    chunks: list[list[str]] = [[]]
    used = 0
    for label in labels:
        need = len(label) + 3  # two sides and a gap
        if chunks[-1] and used + need > width + 1:
            chunks.append([])
            used = 0
        chunks[-1].append(label)
        used += need
    return chunks


def _within(graph: Graph, height: dict[str, int], level: int) -> list[str]:
    """Links between nodes of the same tier: rings, switch pairs, hosts back to back."""
    edges = [edge for edge in graph.edges if height[edge.nodes[0]] == height[edge.nodes[1]] == level]
    if not edges:
        return []
    if len(edges) <= NAMED_LINKS:
        return [f"{' ' * MARGIN}  ─ {edge.ports[0]} ─ {edge.ports[1]}  {edge.label}" for edge in edges]
    return [f"{' ' * MARGIN}  ─ {len(edges)} links within this tier: {', '.join(label_counts(edges))}"]


def _below(graph: Graph, height: dict[str, int], level: int) -> list[str]:
    """What runs from this tier to lower ones, one line for each tier reached."""
    by_tier: dict[int, list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        low, high = sorted(height[name] for name in edge.nodes)
        if high == level and low != high:
            by_tier[low].append(edge)
    lines = []
    for low in sorted(by_tier, reverse=True):
        skip = "" if low == level - 1 else f" (to {'hosts' if low == 0 else f'tier {low}'})"
        mesh = _mesh(graph, by_tier[low], height, level, low)
        lines.append(f"{' ' * MARGIN}  │ {', '.join(label_counts(by_tier[low]))}{mesh}{skip}")
    return lines


def _mesh(graph: Graph, edges: list[Edge], height: dict[str, int], high: int, low: int) -> str:
    """Say so when every node above is linked with every node below."""
    above = {name for name in graph.switches if height[name] == high}
    below = {name for name in (*graph.hosts, *graph.switches) if height[name] == low}
    pairs = {frozenset(edge.nodes) for edge in edges}
    full = len(pairs) == len(above) * len(below) and len(above) > 1 and len(below) > 1
    return ", each to each" if full else ""
