"""A topology in use, as an SVG fragment for a page: how busy each direction of each link was, where pauses held it.

The page brings the style sheet (classes `topo`, `use`, `l0` to `l4`, `held`, `lost`, `box`, `host`, `name`, `note`).
Nothing depends on colour alone: busy lines are thicker, figures stand beside the lines, and each has a `<title>`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import hypot

from harness.core.units import format_rate
from harness.drawing.graph import Edge, Graph
from harness.drawing.svg import ARC_RISE, BOX_HEIGHT, MARGIN, Place, draw_boxes, places_of
from harness.drawing.tiers import Tiers, arrange

LEVELS = (0.005, 0.25, 0.6, 0.95)
"""Parts of the line rate from which a line has the next of five styles: idle, light, busy, very busy, full."""

LABELLED_LINES = 40
APART = 5.0  # pixels between the two directions of a link
# A pause or a drop is worth a word from here on: less than this prints as 0 %.
WORTH_SAYING = 0.0005


@dataclass(frozen=True, slots=True)
class PortUse:
    """What left a port: part of the line rate, part of the time it was held by pauses, frames it dropped."""

    load: float | None = None
    held: float | None = None
    dropped: int | None = None
    on_path: bool = True
    """Whether packets of a flow leave by this port on their way; what returns (acknowledgements) is off the path."""


def draw_use(graph: Graph, uses: Mapping[str, PortUse], roles: Mapping[str, str], label: str) -> str:
    """Return `<svg class="topo">`; hosts of different `roles` (sender, receiver, …) are never folded into one box.

    `uses` is by port (`node:port`), `label` the words for people who do not see the picture.
    """
    tiers = arrange(graph, roles=roles)
    places, width, height = places_of(tiers, top=MARGIN)
    lines = _directions(tiers)
    body = [_line(tiers, places, way, edges, uses) for way, edges in lines]
    labels = [text for _, text in body if text]
    labels = labels if len(labels) <= LABELLED_LINES else []
    head = (
        f'<svg class="topo" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        f'role="img" aria-label="{escape(label)}">'
    )
    return "".join([head, *(line for line, _ in body), *draw_boxes(tiers, places), *labels, "</svg>"])


Way = tuple[int, int]
"""From one box to another."""


def _directions(tiers: Tiers) -> list[tuple[Way, list[tuple[Edge, str]]]]:
    """Both directions of every bundle, with its edges and the port by which each of them is entered."""
    box_of = {name: index for index, box in enumerate(tiers.boxes) for name in box.members}
    found: dict[Way, list[tuple[Edge, str]]] = defaultdict(list)
    for edge in tiers.graph.edges:
        a, b = (box_of[name] for name in edge.nodes)
        found[a, b].append((edge, edge.ports[0]))
        found[b, a].append((edge, edge.ports[1]))
    return sorted(found.items(), key=lambda item: item[0])


def _line(
    tiers: Tiers,
    places: Mapping[int, Place],
    way: Way,
    edges: Sequence[tuple[Edge, str]],
    uses: Mapping[str, PortUse],
) -> tuple[str, str]:
    """The drawn direction with its tooltip, and the figures beside it, which are drawn last, above all lines."""
    found = [uses.get(port, PortUse()) for _, port in edges]
    load = _most(use.load for use in found)
    held = _most(use.held for use in found)
    dropped = sum(use.dropped or 0 for use in found)
    names = " to ".join(tiers.boxes[index].label for index in way)
    path = _path(places[way[0]], places[way[1]])
    title = escape(f"{names}: {'; '.join(_words(edges, load, held, dropped))}")
    marks = {"held": _is_worth(held), "off": not any(use.on_path for use in found)}
    classes = " ".join(["use", f"l{level(load)}", *(name for name, holds in marks.items() if holds)])
    line = f'<g><title>{title}</title><path class="{classes}" d="{path.d}"/></g>'
    return line, _figures(path, None if marks["off"] else load, held, dropped)


def level(load: float | None) -> int:
    """Which of the five styles a line has; an unknown load looks idle and says so in its tooltip."""
    return sum((load or 0.0) >= bound for bound in LEVELS)


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _is_worth(held: float | None) -> bool:
    return held is not None and held >= WORTH_SAYING


def _words(
    edges: Sequence[tuple[Edge, str]], load: float | None, held: float | None, dropped: int
) -> list[str]:
    rate = format_rate(edges[0][0].rate_bps)
    what = rate if len(edges) == 1 else f"the busiest of {len(edges)} links of {rate}"
    words = [f"{what} {'load not known' if load is None else f'{_percent(load)} busy'}"]
    words += [f"held by pauses {_percent(held)} of the time"] if held is not None and _is_worth(held) else []
    return words + ([f"{dropped} frames dropped"] if dropped else [])


def _percent(part: float) -> str:
    return f"{part * 100:.1f} %" if part < 0.1 else f"{part * 100:.0f} %"


@dataclass(frozen=True, slots=True)
class _Path:
    """A line from box to box: SVG path data, and a point near its start for what is said of it."""

    d: str
    x: float
    y: float


def _path(start: Place, end: Place) -> _Path:
    """A straight line, moved a little to its own right so that the two directions stand apart; an arc within a tier."""
    if start.y == end.y:
        side = 1.0 if start.x < end.x else -1.0
        rise = start.y - ARC_RISE - side * APART
        middle = (start.x + end.x) / 2
        d = f"M{start.x:.1f} {start.y:.1f}C{start.x:.1f} {rise:.1f} {end.x:.1f} {rise:.1f} {end.x:.1f} {end.y:.1f}"
        return _Path(d, middle, start.y - 0.75 * ARC_RISE - side * (APART + 4))
    down = start.y < end.y
    y1, y2 = (start.y + BOX_HEIGHT, end.y) if down else (start.y, end.y + BOX_HEIGHT)
    length = hypot(end.x - start.x, y2 - y1)
    dx, dy = -(y2 - y1) / length * APART / 2, (end.x - start.x) / length * APART / 2
    x1, x2 = start.x + dx, end.x + dx
    # Near the lower end lines are further apart; figures of the two directions stand one above the other.
    share = 0.72 if down else 0.24
    d = f"M{x1:.1f} {y1 + dy:.1f}L{x2:.1f} {y2 + dy:.1f}"
    return _Path(d, x1 + (x2 - x1) * share, y1 + (y2 - y1) * share)


def _figures(path: _Path, load: float | None, held: float | None, dropped: int) -> str:
    """What is worth reading without a pointer: a load that is not idle, pauses (two bars, as on a player), drops."""
    said = [("load", _percent(load))] if load is not None and level(load) else []
    said += (
        [("held", f"\N{DOUBLE VERTICAL LINE}\N{NO-BREAK SPACE}{_percent(held)}")]
        if held is not None and _is_worth(held)
        else []
    )
    said += [("lost", f"dropped {dropped:,}")] if dropped else []
    return "".join(
        f'<text class="figure {style}" x="{path.x:.1f}" y="{path.y + 12 * row:.1f}">{escape(text)}</text>'
        for row, (style, text) in enumerate(said)
    )
