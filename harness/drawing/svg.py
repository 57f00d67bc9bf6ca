"""A topology as SVG: tiers in rows, hosts at the bottom, links between. One self-contained file, no scripts.

Colours follow the reader's light or dark preference; every box and bundle has a ``<title>`` that browsers
show on hover. Text never depends on colour alone: boxes are labelled and links carry their rate.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from math import log10

from harness.core.units import format_rate
from harness.drawing.graph import Graph
from harness.drawing.tiers import Box, Bundle, Tiers, arrange

BOX_HEIGHT = 34
ROW_GAP = 120
BOX_GAP = 14
MARGIN = 24
ARC_RISE = 34  # of the control points of links within a tier
TITLE_HEIGHT = 62
LEGEND_ROW = 20
CHARACTER_WIDTH = 7.6  # of the 13 px font below, generous, since fonts differ
MIN_BOX_WIDTH = 52.0
LABEL_BUNDLES = 16  # with more lines than this, rates stand in the legend and the titles alone
DENSE_BUNDLES = 64  # with more, lines let each other shine through
MAX_ROW_BOXES = 64  # wider rows would need to be read with a magnifying glass; they wrap

STYLE = """
svg { font: 13px system-ui, sans-serif; background: #fff; }
.title { font-size: 17px; font-weight: 600; fill: #1a1f24; }
.sub, .note { fill: #57606a; } .note { font-size: 11px; }
.box { fill: #eef4fb; stroke: #2f6db3; } .host { fill: #f1f6ee; stroke: #4b8b3b; }
.name { fill: #1a1f24; text-anchor: middle; }
.link { fill: none; stroke: #8a949e; } .dense { stroke-opacity: 0.4; }
.rate { fill: #57606a; font-size: 11px; text-anchor: middle; paint-order: stroke; }
.rate { stroke: #fff; stroke-width: 4px; }
@media (prefers-color-scheme: dark) {
  svg { background: #14181d; } .title, .name { fill: #e6edf3; } .sub, .note, .rate { fill: #9aa5b1; }
  .box { fill: #1c2b3d; stroke: #6aa6e8; } .host { fill: #1f2d1c; stroke: #7fbf6c; }
  .link { stroke: #66707b; } .rate { stroke: #14181d; }
}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a box stands: centre, top and width in pixels."""

    x: float
    y: float
    width: float


def draw_svg(graph: Graph) -> str:
    """Return the whole SVG document."""
    tiers = arrange(graph)
    places, width, height = places_of(tiers)
    body = [*_title(graph), *_links(tiers, places), *draw_boxes(tiers, places), *_legend(tiers, height)]
    height += LEGEND_ROW * len(_rates(graph)) + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(graph.name)}: {graph.summary}">'
    )
    return "\n".join([head, f"<style>{STYLE}</style>", *body, "</svg>", ""])


def _box_width(box: Box) -> float:
    longest = max(len(box.label), len(box.note))
    return max(MIN_BOX_WIDTH, longest * CHARACTER_WIDTH + 14)


def _lines(tiers: Tiers) -> list[list[int]]:
    """Rows of boxes from top to bottom; a tier of very many boxes takes several rows."""
    lines = []
    for row in reversed(tiers.rows):
        lines += [list(row[start : start + MAX_ROW_BOXES]) for start in range(0, len(row), MAX_ROW_BOXES)]
    return lines


def places_of(tiers: Tiers, top: float = TITLE_HEIGHT + MARGIN) -> tuple[dict[int, Place], float, float]:
    """Give each row equal columns over the width of the widest; return places, width and height used."""
    lines = _lines(tiers)
    widest = [max(_box_width(tiers.boxes[index]) for index in line) for line in lines]
    total = max([len(line) * (width + BOX_GAP) for line, width in zip(lines, widest, strict=True)] + [360.0])
    places: dict[int, Place] = {}
    y = float(top)
    for line, width in zip(lines, widest, strict=True):
        column = total / len(line)
        for position, index in enumerate(line):
            places[index] = Place(MARGIN + column * (position + 0.5), y, width)
        y += BOX_HEIGHT + ROW_GAP
    return places, total + 2 * MARGIN, y - ROW_GAP + MARGIN


def _title(graph: Graph) -> list[str]:
    return [
        f'<text class="title" x="{MARGIN}" y="{MARGIN + 8}">{escape(graph.name)}</text>',
        f'<text class="sub" x="{MARGIN}" y="{MARGIN + 28}">{graph.summary}</text>',
    ]


def draw_boxes(tiers: Tiers, places: dict[int, Place]) -> list[str]:
    """A rectangle, name and tooltip for each box."""
    drawn = []
    for index, box in enumerate(tiers.boxes):
        place = places[index]
        kind = "box host" if box.is_host else "box"
        left, middle = place.x - place.width / 2, place.y + BOX_HEIGHT / 2 + (0 if box.note else 4)
        title = ", ".join(box.members)
        drawn.append(
            f'<g><title>{escape(title)}</title><rect class="{kind}" x="{left:.1f}" y="{place.y:.1f}" '
            f'width="{place.width:.1f}" height="{BOX_HEIGHT}" rx="5"/>'
            f'<text class="name" x="{place.x:.1f}" y="{middle:.1f}">{escape(box.label)}</text>'
            f"{_note(box, place)}</g>"
        )
    return drawn


def _note(box: Box, place: Place) -> str:
    if not box.note:
        return ""
    y = place.y + BOX_HEIGHT - 6
    return f'<text class="note" text-anchor="middle" x="{place.x:.1f}" y="{y:.1f}">{box.note}</text>'


def _links(tiers: Tiers, places: dict[int, Place]) -> list[str]:
    """Lines between boxes, faster ones thicker; labelled on the line while there are few."""
    slowest = min((edge.rate_bps for edge in tiers.graph.edges), default=1)
    labelled = len(tiers.bundles) <= LABEL_BUNDLES
    style = "link dense" if len(tiers.bundles) > DENSE_BUNDLES else "link"
    drawn = []
    for bundle in tiers.bundles:
        a, b = (places[index] for index in bundle.boxes)
        names = " - ".join(tiers.boxes[index].label for index in bundle.boxes)
        stroke = 1.0 + 1.6 * log10(bundle.rate_bps / slowest)
        drawn.append(
            f"<g><title>{escape(names)}: {escape(', '.join(bundle.labels))}</title>"
            f'<path class="{style}" stroke-width="{stroke:.1f}" d="{_path(a, b)}"/>'
            f"{_rate(a, b, bundle) if labelled else ''}</g>"
        )
    return drawn


def _path(a: Place, b: Place) -> str:
    """A straight line between tiers; within one, an arc above the boxes so that it crosses none."""
    if a.y == b.y:
        rise = a.y - ARC_RISE
        return f"M{a.x:.1f} {a.y:.1f} C{a.x:.1f} {rise:.1f} {b.x:.1f} {rise:.1f} {b.x:.1f} {b.y:.1f}"
    top, bottom = (a, b) if a.y < b.y else (b, a)
    return f"M{top.x:.1f} {top.y + BOX_HEIGHT:.1f} L{bottom.x:.1f} {bottom.y:.1f}"


def _rate(a: Place, b: Place, bundle: Bundle) -> str:
    """The label of one line, nearer to its lower end, where lines are further apart."""
    if a.y == b.y:
        x, y = (a.x + b.x) / 2, a.y - 0.75 * ARC_RISE + 4  # the top of the curve
    else:
        top, bottom = (a, b) if a.y < b.y else (b, a)
        x = top.x + (bottom.x - top.x) * 0.72
        y = top.y + BOX_HEIGHT + (bottom.y - top.y - BOX_HEIGHT) * 0.72
    rate = format_rate(bundle.rate_bps // bundle.links)
    text = rate if bundle.links == 1 else f"{bundle.links} x {rate}"
    return f'<text class="rate" x="{x:.1f}" y="{y:.1f}">{text}</text>'


def _rates(graph: Graph) -> list[tuple[str, int]]:
    return Counter(edge.label for edge in graph.edges).most_common()


def _legend(tiers: Tiers, height: float) -> list[str]:
    lines = []
    for number, (label, count) in enumerate(_rates(tiers.graph)):
        y = height + LEGEND_ROW * number
        lines.append(f'<text class="note" x="{MARGIN}" y="{y:.0f}">{count} x {escape(label)}</text>')
    return lines
