"""The topology and flow files of the HPCC ns-3 simulator: numbers and words in a fixed order.

Topology: `nodes switches links`, the switches' numbers, then `a b rate delay packet_error_rate` per link.
Nodes are numbered from 0; those not named as switches are hosts. Flows: their number, then
`source target priority_group target_port bytes start_seconds` each, in order of start.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.analysis import ns3time
from harness.core.errors import ConfigError
from harness.importers.hpcc_config import parse_rate

MAX_NODES, MAX_LINKS, MAX_FLOWS = 65_536, 262_144, 1_000_000
"""Largest counts of a job; more is refused before anything is built."""
FIRST_PORT = 10_000
"""UDP source port of the first flow between two hosts; the next ones count up."""

_UNIT_PS = {"s": 10**12, "ms": 10**9, "us": 10**6, "ns": 10**3, "ps": 1}
_TIME = re.compile(r"([+0-9.]+)([a-z]*)")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HpccLink:
    """A link of nodes `a` and `b`: rate bit/s, delay ps, packet error rate, and the line it came from."""

    a: int
    b: int
    rate_bps: int
    delay_ps: int
    error_rate: float
    line: int


@dataclass(frozen=True, slots=True)
class HpccTopology:
    """Nodes 0 to `nodes`-1, some of them switches, and links in file order."""

    path: Path
    nodes: int
    switches: frozenset[int]
    links: tuple[HpccLink, ...]

    @property
    def hosts(self) -> list[int]:
        """Numbers of the nodes that are hosts, ascending."""
        return [node for node in range(self.nodes) if node not in self.switches]

    @property
    def neighbours(self) -> list[list[tuple[int, HpccLink]]]:
        """For each node its neighbours, highest number first, and the link to each.

        The model walks them in the order of their addresses in memory, which descend with the node number.
        """
        found: list[list[tuple[int, HpccLink]]] = [[] for _ in range(self.nodes)]
        for link in self.links:
            found[link.a].append((link.b, link))
            found[link.b].append((link.a, link))
        return [sorted(each, key=lambda item: item[0], reverse=True) for each in found]

    def ports(self) -> dict[tuple[int, int], int]:
        """Interface index at the first node of the link to the second: 1, 2, … in order of links there."""
        used: Counter[int] = Counter()
        index: dict[tuple[int, int], int] = {}
        for link in self.links:
            for here, there in ((link.a, link.b), (link.b, link.a)):
                used[here] += 1
                index[here, there] = used[here]
        return index


@dataclass(frozen=True, slots=True)
class HpccFlow:
    """A flow between hosts: priority group, bytes, start ps, UDP source port, target port, and its line."""

    src: int
    dst: int
    priority: int
    size_bytes: int
    start_ps: int
    sport: int
    dport: int
    line: int


class _Words:
    """The words of a file one after another, with the line of each; knows how to complain."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the file: {error}", file=path) from error
        lines = text.splitlines()
        self.line = 1
        self._words: Iterator[tuple[int, str]] = (
            (number, word) for number, line in enumerate(lines, start=1) for word in line.split()
        )

    def next(self, what: str, parse: Callable[[str], T]) -> T:
        """The next word as `what`; raises ConfigError at the end of the file or when it does not parse."""
        found = next(self._words, None)
        if found is None:
            raise ConfigError(f"the file ends where {what} should be", file=self.path, line=self.line)
        self.line, word = found
        try:
            return parse(word)
        except (ValueError, OverflowError) as error:
            raise self.error(what, str(error), word) from error

    def count(self, what: str, limit: int) -> int:
        """The next word as a count of at most `limit`."""
        number = self.next(what, _whole)
        if number > limit:
            raise self.error(what, f"at most {limit} are possible", number)
        return number

    def error(self, what: str, message: str, value: object) -> ConfigError:
        """Make an error about the word read last."""
        return ConfigError(message, file=self.path, line=self.line, key=what, value=value)


def read_topology(path: Path, *, error_rate: float, resolution_ps: int) -> HpccTopology:
    """Read a topology; links without an error rate of their own get `error_rate`. Raises ConfigError."""
    words = _Words(path)
    nodes = words.count("number of nodes", MAX_NODES)
    switch_count = words.count("number of switches", nodes)
    link_count = words.count("number of links", MAX_LINKS)
    switches = frozenset(words.next("switch", _below(nodes)) for _ in range(switch_count))
    links: list[HpccLink] = []
    met: set[frozenset[int]] = set()
    for _ in range(link_count):
        link = _read_link(words, nodes, error_rate, resolution_ps)
        pair = frozenset((link.a, link.b))
        if pair in met:
            message = "a second link between the same nodes; the simulator would route over the last one only"
            raise words.error("link", message, f"{link.a} {link.b}")
        met.add(pair)
        links.append(link)
    topology = HpccTopology(path, nodes, switches, tuple(links))
    _check_hosts(topology)
    return topology


def read_flows(path: Path, topology: HpccTopology, *, resolution_ps: int) -> tuple[HpccFlow, ...]:
    """Read as many flows as the file announces, as the simulator does; raises ConfigError."""
    words = _Words(path)
    count = words.count("number of flows", MAX_FLOWS)
    flows: list[HpccFlow] = []
    between: Counter[tuple[int, int]] = Counter()
    for _ in range(count):
        flow = _read_flow(words, topology, between, resolution_ps)
        if flows and flow.start_ps < flows[-1].start_ps:
            raise words.error("start", "flows must be in order of start", flow.start_ps / ns3time.PS_PER_S)
        flows.append(flow)
    return tuple(flows)


def _read_link(words: _Words, nodes: int, error_rate: float, resolution_ps: int) -> HpccLink:
    a, b = words.next("link end", _below(nodes)), words.next("link end", _below(nodes))
    line = words.line
    if a == b:
        raise words.error("link", "a link from a node to itself", a)
    rate = words.next("link rate", _positive_rate)
    delay = words.next("link delay", lambda text: _delay(text, resolution_ps))
    own = words.next("packet error rate", _probability)
    return HpccLink(a, b, rate, delay, own or error_rate, line)


def _read_flow(
    words: _Words, topology: HpccTopology, between: Counter[tuple[int, int]], resolution_ps: int
) -> HpccFlow:
    src = words.next("flow source", _below(topology.nodes))
    line = words.line
    dst = words.next("flow target", _below(topology.nodes))
    priority = words.next("priority group", _priority)
    dport = words.next("target port", _whole)
    size = words.next("flow size", _size)
    start_ps = words.next("start", lambda text: ns3time.seconds_ps(float(text), resolution_ps))
    for node in (src, dst):
        if node in topology.switches:
            raise words.error("flow", "a switch sends and receives nothing; flows are between hosts", node)
    if src == dst:
        raise words.error("flow", "a flow from a host to itself", src)
    sport = FIRST_PORT + between[src, dst]
    between[src, dst] += 1
    if sport > 0xFFFF:
        raise words.error("flow", "more flows between two hosts than there are UDP ports", f"{src} {dst}")
    return HpccFlow(src, dst, priority, size, start_ps, sport, dport, line)


def _check_hosts(topology: HpccTopology) -> None:
    links: Counter[int] = Counter()
    for link in topology.links:
        links.update((link.a, link.b))
    if not topology.hosts:
        raise ConfigError("every node is a switch; there is no host", file=topology.path)
    for host in topology.hosts:
        if links[host] != 1:
            message = "only hosts with one link are supported"
            raise ConfigError(message, file=topology.path, key=f"host {host}", value=f"{links[host]} links")


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("not a whole number from 0")
    return int(text)


def _below(nodes: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = _whole(text)
        if number >= nodes:
            raise ValueError(f"no such node; they are 0 to {nodes - 1}")
        return number

    return parse


def _priority(text: str) -> int:
    number = _whole(text)
    if not 1 <= number <= 7:
        raise ValueError("priority groups of flows are 1 to 7; 0 is the control queue")
    return number


def _size(text: str) -> int:
    number = _whole(text)
    if not 0 < number < 2**32:
        raise ValueError("a flow has 1 to 4294967295 bytes")
    return number


def _positive_rate(text: str) -> int:
    rate = parse_rate(text)
    if not 0 < rate < 2**63:
        raise ValueError("a link rate is above 0")
    return rate


def _delay(text: str, resolution_ps: int) -> int:
    match = _TIME.fullmatch(text)
    unit = match[2] or "s" if match else ""
    if match is None or unit not in _UNIT_PS:
        raise ValueError("not a time such as 1us or 0.001ms")
    return ns3time.steps(float(match[1]), _UNIT_PS[unit], resolution_ps) * resolution_ps


def _probability(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or not 0 <= value < 1:
        raise ValueError("a packet error rate is from 0 to below 1")
    return value
