from __future__ import annotations

import pytest

from harness.drawing.graph import Graph
from harness.drawing.text import draw_text
from harness.tests.drawing.shapes import leaf_spine, ring, star


def test_a_small_star_as_it_is_printed() -> None:
    assert draw_text(star(2)) == (
        "star: 2 hosts, 1 switch, 2 links\n"
        "\n"
        "         ┌─────┐\n"
        "tier 1   │ sw1 │\n"
        "         └─────┘\n"
        "           │ 2 x 100Gbps 1us\n"
        "         ┌────┐ ┌────┐\n"
        "hosts    │ h1 │ │ h2 │\n"
        "         └────┘ └────┘\n"
    )


def test_a_full_mesh_is_told_from_a_partial_one() -> None:
    full = leaf_spine(3, 2, 2)
    partial = Graph(full.name, full.hosts, full.switches, full.edges[:-1])

    assert "6 x 400Gbps 1us, each to each" in draw_text(full)
    assert "5 x 400Gbps 1us" in draw_text(partial)
    assert "each to each" not in draw_text(partial)


def test_hosts_are_named_with_their_leaf() -> None:
    assert "h4 … h6 (3) on leaf2" in draw_text(leaf_spine(2, 3, 2))


def test_links_within_a_tier_are_named_until_there_are_many() -> None:
    assert "s3:p ─ s0:p  400Gbps 1us" in draw_text(ring(4))
    assert "20 links within this tier: 20 x 400Gbps 1us" in draw_text(ring(20))


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize(
    "graph", [star(24), leaf_spine(16, 16, 16), ring(30)], ids=lambda graph: graph.summary
)
def test_no_line_is_wider_than_the_terminal(graph: Graph, width: int) -> None:
    assert max(len(line) for line in draw_text(graph, width).splitlines()) <= width


def test_every_switch_of_a_large_fabric_is_in_the_picture() -> None:
    graph = leaf_spine(16, 16, 16)
    drawn = draw_text(graph, 100)

    assert [name for name in graph.switches if f" {name} " not in drawn] == []
