from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from harness.drawing.graph import Graph
from harness.drawing.svg import draw_svg
from harness.tests.drawing.shapes import leaf_spine, link, ring, star

NS = "{http://www.w3.org/2000/svg}"


def parse(graph: Graph) -> ET.Element:
    return ET.fromstring(draw_svg(graph))


def rectangles(root: ET.Element) -> list[tuple[float, float, float, float]]:
    keys = ("x", "y", "width", "height")
    return [tuple(float(rect.attrib[key]) for key in keys) for rect in root.iter(f"{NS}rect")]  # type: ignore[misc]


@pytest.mark.parametrize("graph", [star(9), leaf_spine(4, 4, 2), leaf_spine(16, 16, 16), ring(6)])
def test_boxes_do_not_overlap_and_stay_inside(graph: Graph) -> None:
    root = parse(graph)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    boxes = rectangles(root)

    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)
    overlaps = [
        (a, b)
        for number, a in enumerate(boxes)
        for b in boxes[number + 1 :]
        if a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
    ]
    assert overlaps == []


def test_every_link_is_a_line_until_hosts_are_folded() -> None:
    assert len(list(parse(leaf_spine(4, 4, 2)).iter(f"{NS}path"))) == 16 + 8
    assert len(list(parse(leaf_spine(16, 16, 16)).iter(f"{NS}path"))) == 16 + 256


def test_a_folded_box_says_how_many_it_stands_for() -> None:
    texts = [text.text for text in parse(leaf_spine(16, 16, 16)).iter(f"{NS}text")]

    assert texts.count("16 hosts") == 16
    assert "h241 … h256" in texts


def test_names_are_escaped() -> None:
    graph = Graph('a<b>"&', ("h&1",), ("s<1",), (link("h&1", "s<1"),))

    texts = [text.text for text in parse(graph).iter(f"{NS}text")]

    assert 'a<b>"&' in texts
    assert "h&1" in texts


def test_the_legend_counts_links_by_rate() -> None:
    texts = [text.text for text in parse(leaf_spine(4, 4, 2)).iter(f"{NS}text")]

    assert "16 x 100Gbps 1us" in texts
    assert "8 x 400Gbps 1us" in texts


def test_the_same_graph_gives_the_same_bytes() -> None:
    assert draw_svg(leaf_spine(4, 4, 2)) == draw_svg(leaf_spine(4, 4, 2))
