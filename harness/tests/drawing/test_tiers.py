from __future__ import annotations

from harness.drawing.graph import Graph, natural
from harness.drawing.tiers import arrange
from harness.tests.drawing.shapes import leaf_spine, link, ring, star


def row_names(graph: Graph, **options: int) -> list[list[str]]:
    tiers = arrange(graph, **options)
    return [[tiers.boxes[index].label for index in row] for row in tiers.rows]


def test_names_sort_by_their_numbers() -> None:
    assert natural(["h10", "h2", "h1", "a3b2", "a3b10", "a"]) == ["a", "a3b2", "a3b10", "h1", "h2", "h10"]


def test_hosts_stand_below_leaves_and_leaves_below_spines() -> None:
    assert row_names(leaf_spine(2, 2, 2)) == [
        ["h1", "h2", "h3", "h4"],
        ["leaf1", "leaf2"],
        ["spine1", "spine2"],
    ]


def test_switches_of_a_ring_share_a_tier() -> None:
    assert row_names(ring(4)) == [["h0", "h1", "h2", "h3"], ["s0", "s1", "s2", "s3"]]


def test_hosts_wired_alike_are_folded_when_there_are_many() -> None:
    assert row_names(leaf_spine(2, 16, 2))[0] == ["h1 … h16", "h17 … h32"]
    assert len(row_names(leaf_spine(2, 12, 2))[0]) == 24


def test_a_folded_pair_of_boxes_keeps_all_its_links() -> None:
    graph = leaf_spine(2, 16, 3)

    tiers = arrange(graph)

    assert sum(bundle.links for bundle in tiers.bundles) == len(graph.edges) == 38
    assert sum(bundle.rate_bps for bundle in tiers.bundles) == sum(edge.rate_bps for edge in graph.edges)


def test_hosts_on_two_switches_stay_apart_from_hosts_on_one() -> None:
    edges = (link("h1", "s1"), link("h1", "s2"), link("h2", "s1"), link("h3", "s1"), link("h4", "s2"))
    graph = Graph("dual", ("h1", "h2", "h3", "h4"), ("s1", "s2"), edges)

    assert sorted(row_names(graph, fold_above=0)[0]) == ["h1", "h2 … h3", "h4"]


def test_a_switch_that_reaches_no_host_is_still_drawn() -> None:
    graph = Graph("odd", ("h1", "h2"), ("s1", "s2"), (link("h1", "h2"), link("s1", "s2")))

    assert row_names(graph) == [["h1", "h2"], ["s1", "s2"]]


def test_counts_are_spelled_in_singular_and_plural() -> None:
    assert star(1).summary == "1 host, 1 switch, 1 link"
    assert leaf_spine(2, 1, 1).summary == "2 hosts, 3 switches, 4 links"
