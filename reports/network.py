"""The fabric of a run as a drawing with a table: which links its flows took, how busy they were, what pauses held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup

from harness.core.errors import ConfigError
from harness.core.network import FlowEnds, LinkUse, NetworkRecord
from harness.core.routing import Graph as Routes
from harness.core.routing import node_of
from harness.core.units import format_rate
from harness.drawing.graph import Edge, Graph, natural
from harness.drawing.use_svg import WORTH_SAYING, PortUse, draw_use
from reports.text import count, number, one_line, shorten
from reports.view import DrawingView, LinkUseView

# The busiest directions are told in a table, which a phone and a screen reader can show better than a drawing.
SHOWN_LINKS = 8
SHOWN_PAIRS = 6
# Names of nodes come from files; longer ones would burst their boxes.
MAX_NAME = 24

Wires = tuple[tuple[str, str], ...]
Ends = tuple[tuple[str, str], ...]


def drawing_view(network: NetworkRecord | None) -> DrawingView | None:
    """Format the fabric of a run; None where the record has none."""
    if network is None or not network.links:
        return None
    names = _Names((*network.hosts, *network.switches))
    ends = tuple(sorted({(flow.src, flow.dst) for flow in network.flows}))
    path = _ports_on_path(
        network.hosts, network.switches, tuple((link.a, link.b) for link in network.links), ends
    )
    ways = [way for link in network.links for way in _ways(link)]
    uses = {
        names.port(way.near): PortUse(way.load, way.held, way.dropped, on_path=way.near in path or not path)
        for way in ways
    }
    traffic = _traffic(network.flows, names)
    graph = _graph(network, names)
    svg = draw_use(graph, uses, _roles(network.flows, names), f"{graph.summary}; {traffic}")
    return DrawingView(
        svg=Markup(svg),  # noqa: S704 - draw_use escapes the names
        traffic=traffic,
        links=tuple(_busiest(ways, names)),
        note=shorten(one_line(network.left_out), 240),
    )


class _Names:
    """Names of nodes as the drawing prints them: clean, of a bounded length, still different from each other."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self._short: dict[str, str] = {}
        taken: set[str] = set()
        for place, node in enumerate(nodes):
            name = shorten(one_line(node), MAX_NAME)
            self._short[node] = f"{name}~{place}" if name in taken else name
            taken.add(self._short[node])

    def node(self, name: str) -> str:
        """A node; one that the shape does not have as it is."""
        return self._short.get(name, shorten(one_line(name), MAX_NAME))

    def port(self, port: str) -> str:
        """A port, `node:port`."""
        return f"{self.node(node_of(port))}:{shorten(one_line(port.partition(':')[2]), MAX_NAME)}"


@dataclass(frozen=True, slots=True)
class _Way:
    """One direction of a link."""

    near: str
    far: str
    rate_bps: int
    load: float | None
    held: float | None
    dropped: int | None


def _ways(link: LinkUse) -> tuple[_Way, _Way]:
    return (
        _Way(link.a, link.b, link.rate_bps, link.load[0], link.paused[0], link.dropped[0]),
        _Way(link.b, link.a, link.rate_bps, link.load[1], link.paused[1], link.dropped[1]),
    )


@lru_cache(maxsize=256)
def _ports_on_path(
    hosts: tuple[str, ...], switches: tuple[str, ...], wires: Wires, ends: Ends
) -> frozenset[str]:
    """Ports by which packets of the flows may leave on a shortest path; empty where no path is known."""
    routes = Routes(frozenset(hosts), (*hosts, *switches), wires)
    found: set[str] = set()
    for src, dst in ends:
        try:
            found.update(port for route in routes.paths(src, dst) for port in route)
        except (ConfigError, KeyError):  # a record may come from anywhere
            continue
    return frozenset(found)


def _graph(network: NetworkRecord, names: _Names) -> Graph:
    edges = []
    for link in network.links:
        nodes = (names.node(node_of(link.a)), names.node(node_of(link.b)))
        ports = (names.port(link.a), names.port(link.b))
        edges.append(Edge(nodes, ports, link.rate_bps, link.delay_ps))
    hosts, switches = (tuple(natural(map(names.node, group))) for group in (network.hosts, network.switches))
    return Graph("", hosts, switches, tuple(edges))


def _roles(flows: Sequence[FlowEnds], names: _Names) -> dict[str, str]:
    """What each host does: hosts that do different things are not folded into one box."""
    roles: dict[str, set[str]] = {}
    for flow in flows:
        roles.setdefault(names.node(node_of(flow.src)), set()).add("sends")
        roles.setdefault(names.node(node_of(flow.dst)), set()).add("receives")
    return {host: " and ".join(sorted(done)) for host, done in roles.items()}


def _traffic(flows: Sequence[FlowEnds], names: _Names) -> str:
    """Who sends to whom, in a line: `h1 to h9, h2 to h9`, of many the first few and their number."""
    pairs = [f"{names.node(node_of(flow.src))} to {names.node(node_of(flow.dst))}" for flow in flows]
    pairs = list(dict.fromkeys(pairs))
    more = f" and {len(pairs) - SHOWN_PAIRS} more" if len(pairs) > SHOWN_PAIRS else ""
    return f"{count(len(flows), 'flow')}: {', '.join(pairs[:SHOWN_PAIRS])}{more}" if pairs else "no flows"


def _busiest(ways: Sequence[_Way], names: _Names) -> Iterator[LinkUseView]:
    """Directions with traffic, pauses or drops, the busiest first."""
    used = [way for way in ways if max(way.load or 0.0, way.held or 0.0) >= WORTH_SAYING or way.dropped]
    used.sort(key=lambda way: (-(way.load or 0.0), -(way.held or 0.0), -(way.dropped or 0)))
    for way in used[:SHOWN_LINKS]:
        yield LinkUseView(
            way=f"{names.port(way.near)} → {names.port(way.far)}",
            rate=format_rate(way.rate_bps),
            load=_share(way.load),
            paused=_share(way.held),
            dropped="no data" if way.dropped is None else number(way.dropped),
        )


def _share(part: float | None) -> str:
    return "no data" if part is None else f"{part * 100:.1f}\N{NO-BREAK SPACE}%"
