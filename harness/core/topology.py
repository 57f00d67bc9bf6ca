"""Shapes of fabrics: hosts, switches, ports and links; no addresses.

A topology file lists nodes and links, or names a regular shape under `generate`:

    name: dumbbell
    nodes:
      h1: {kind: host, nics: {p0: {rate: 100Gbps}}}
      sw1: {kind: switch, buffer: 32MB}
    links:
      - {endpoints: ["h1:p0", "sw1:e1"], rate: 100Gbps, delay: 1us}

A port is written `node:port`. The order of a node's ports is that of its `ports` or `nics`, then that of the
links.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, PlainSerializer, TypeAdapter, ValidationInfo, model_validator

from harness.core.blocks import NicBlock, SwitchBlock, given
from harness.core.errors import ConfigError, suggestion
from harness.core.routing import Graph, Route, check_connected
from harness.core.shapes import Shape, generate
from harness.core.units import GBPS, US, Bytes, Duration, LinkSpeed, Rate
from harness.core.validation import check_name, model
from harness.core.yamlio import Document, load_yaml, validate

MAX_NODES, MAX_LINKS = 65_536, 262_144
"""Most nodes and links of one job: those of roce-sim (`JOB_MAX_NODES`, `JOB_MAX_LINKS`)."""

MAX_BIT_ERROR_RATE = 0.1
"""More than this leaves no packet whole; such a number is a slip."""


class NodeKind(StrEnum):
    """What a node does with packets: hosts end flows and never forward."""

    HOST = "host"
    SWITCH = "switch"


@model
class NicPort:
    """One port of a host; `rate` None takes that of its link."""

    rate: Rate | None = None


@model
class Node:
    """A host or a switch. `nic` and `switch` override keys of the job's blocks for this node alone."""

    kind: NodeKind
    nics: Mapping[str, NicPort] = Field(default_factory=dict)
    ports: tuple[str, ...] = ()
    buffer: Bytes | None = None
    nic: Annotated[NicBlock | None, PlainSerializer(given)] = None
    switch: Annotated[SwitchBlock | None, PlainSerializer(given)] = None

    @model_validator(mode="after")
    def _fits_kind(self) -> Node:
        of_switch: dict[str, object] = {"buffer": self.buffer, "switch": self.switch, "ports": self.ports}
        of_host: dict[str, object] = {"nics": self.nics, "nic": self.nic}
        foreign = of_switch if self.kind is NodeKind.HOST else of_host
        for key, value in foreign.items():
            if value:
                raise ConfigError(f"a {self.kind} has no {key!r}", key=key)
        if self.buffer == 0:
            raise ConfigError("a switch needs a buffer above zero", key="buffer", value=0)
        return self


@model
class Link:
    """A full-duplex link: the same rate both ways. `ber` is the bit error rate."""

    endpoints: tuple[str, str]
    rate: LinkSpeed
    delay: Duration = US
    ber: Annotated[float, Field(ge=0, le=MAX_BIT_ERROR_RATE, allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _sound(self) -> Link:
        if self.endpoints[0] == self.endpoints[1]:
            raise ConfigError("a link joins two ports", key="endpoints", value=self.endpoints[0])
        return self

    @property
    def rate_gbps(self) -> float:
        """Rate in Gb/s."""
        return self.rate / GBPS


@model
class Topology:
    """Nodes and the links between their ports, checked on creation.

    Raises:
        ConfigError: an endpoint that dangles, a port or link used twice, a rate of 0, no hosts, hosts
        without a path.
    """

    file_keys: ClassVar[tuple[str, ...]] = ("generate",)

    name: str = ""
    nodes: Mapping[str, Node] = Field(default_factory=dict)
    links: tuple[Link, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, data: object, info: ValidationInfo) -> object:
        if isinstance(data, dict) and "generate" in data:
            for key in ("nodes", "links"):
                if key in data:
                    raise ConfigError(f"either generate or {key}", key=key)
            shape = generate(data["generate"], info.context)
            rest = {key: value for key, value in data.items() if key != "generate"}
            return {**rest, "nodes": _nodes(shape), "links": _links(shape)}
        return data

    @model_validator(mode="after")
    def _check(self) -> Topology:
        if len(self.nodes) > MAX_NODES:
            raise ConfigError(
                "too many nodes", key="nodes", value=len(self.nodes), hint=f"at most {MAX_NODES}"
            )
        if len(self.links) > MAX_LINKS:
            raise ConfigError(
                "too many links", key="links", value=len(self.links), hint=f"at most {MAX_LINKS}"
            )
        if not self.hosts:
            raise ConfigError("a topology without hosts", key="nodes", hint="add nodes of kind host")
        for name, node in self.nodes.items():
            check_name(name, "a node")
            for port in (*node.nics, *node.ports):
                check_name(port, f"a port of {name}")
        self._check_links()
        check_connected(self._graph)
        return self

    def _check_links(self) -> None:
        used: dict[str, int] = {}
        for index, link in enumerate(self.links):
            for port in link.endpoints:
                self._check_endpoint(index, link, port)
                if port in used:
                    self._refuse_second_use(index, link, port, used[port])
            used.update(dict.fromkeys(link.endpoints, index))

    def _refuse_second_use(self, index: int, link: Link, port: str, first: int) -> None:
        key = f"links[{index}]"
        if set(link.endpoints) == set(self.links[first].endpoints):
            raise ConfigError(
                f"duplicate link: the same as links[{first}]", key=key, value=list(link.endpoints)
            )
        raise ConfigError(f"port {port!r} is used twice: by links[{first}] and links[{index}]", key=key)

    def _check_endpoint(self, index: int, link: Link, port: str) -> None:
        where = f"links[{index}].endpoints"
        node, _, name = port.partition(":")
        if not name:
            raise ConfigError("an endpoint is written node:port", key=where, value=port)
        if node not in self.nodes:
            hint = suggestion(node, self.nodes, "nodes are")
            raise ConfigError(
                f"dangling endpoint: there is no node {node!r}", key=where, value=port, hint=hint
            )
        check_name(name, f"{where}: the port")
        declared = self.nodes[node].nics or self.nodes[node].ports
        if declared and name not in declared:
            hint = suggestion(name, declared, "its ports are")
            raise ConfigError(
                f"dangling endpoint: {node!r} has no port {name!r}", key=where, value=port, hint=hint
            )
        nic = self.nodes[node].nics.get(name)
        if nic is not None and nic.rate is not None and nic.rate < link.rate:
            raise ConfigError("the link is faster than the NIC port", key=where, value=port)

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """Names of the hosts, in the file's order."""
        return tuple(name for name, node in self.nodes.items() if node.kind is NodeKind.HOST)

    @cached_property
    def switches(self) -> tuple[str, ...]:
        """Names of the switches, in the file's order."""
        return tuple(name for name, node in self.nodes.items() if node.kind is NodeKind.SWITCH)

    @cached_property
    def _ports(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, dict[str, None]] = {
            name: dict.fromkeys((*node.nics, *node.ports)) for name, node in self.nodes.items()
        }
        for link in self.links:
            for endpoint in link.endpoints:
                node, _, port = endpoint.partition(":")
                found[node][port] = None
        return {name: tuple(ports) for name, ports in found.items()}

    def ports(self, node: str) -> tuple[str, ...]:
        """Return the names of a node's ports (`p0`), in the order of their interface indices."""
        if node not in self._ports:
            raise ConfigError(f"there is no node {node!r}", hint=suggestion(node, self.nodes, "nodes are"))
        return self._ports[node]

    @cached_property
    def host_ports(self) -> tuple[str, ...]:
        """The linked ports of all hosts, written `h1:p0`, in order."""
        ports = (f"{host}:{port}" for host in self.hosts for port in self._ports[host])
        return tuple(port for port in ports if port in self._link_of)

    @cached_property
    def switch_ports(self) -> tuple[str, ...]:
        """The linked ports of all switches, written `sw1:e1`, in order."""
        ports = (f"{switch}:{port}" for switch in self.switches for port in self._ports[switch])
        return tuple(port for port in ports if port in self._link_of)

    @cached_property
    def _link_of(self) -> dict[str, Link]:
        return {port: link for link in self.links for port in link.endpoints}

    @cached_property
    def _graph(self) -> Graph:
        return Graph(frozenset(self.hosts), self.nodes, [link.endpoints for link in self.links])

    def link(self, port: str) -> Link:
        """Return the link at a port; raise ConfigError when there is none."""
        if port not in self._link_of:
            raise ConfigError(
                f"there is no link at {port!r}", hint=suggestion(port, self._link_of, "ports are")
            )
        return self._link_of[port]

    def peer(self, port: str) -> str:
        """Return the port at the other end."""
        a, b = self.link(port).endpoints
        return b if port == a else a

    def host_port(self, host: str) -> str:
        """Return a host's first linked port; a host port is returned as it is."""
        if host in self._link_of and host.partition(":")[0] in self.hosts:
            return host
        if host not in self.hosts:
            raise ConfigError(f"there is no host {host!r}", hint=suggestion(host, self.hosts, "hosts are"))
        return next(f"{host}:{port}" for port in self._ports[host] if f"{host}:{port}" in self._link_of)

    def line_rate_bps(self, port: str) -> int:
        """Return the rate of the link at a port, in bit/s."""
        return self.link(port).rate

    @cached_property
    def line_rate_gbps(self) -> float:
        """Rate of the slowest host port, in Gb/s of wire bits."""
        return min(self.line_rate_bps(port) for port in self.host_ports) / GBPS

    @cached_property
    def rates_bps(self) -> tuple[int, ...]:
        """The different link rates, ascending, in bit/s."""
        return tuple(sorted({link.rate for link in self.links}))

    def paths(self, src: str, dst: str) -> tuple[Route, ...]:
        """Return all shortest paths between two host ports, each as the ports packets leave by.

        `("h1:p0", "leaf1:e9", "spine1:e2", "leaf2:e1")`: each port stands for one direction of one link. A
        host name means its first port. Hosts never forward. Raises ConfigError when there is no path.
        """
        return self._graph.paths(self.host_port(src), self.host_port(dst))

    @classmethod
    def load(cls, name_or_path: str | Path) -> Topology:
        """Read a topology by name (`topologies/<name>.yaml`) or from a file.

        Raise ConfigError when it is wrong.
        """
        path = find(name_or_path)
        return cls.from_document(load_yaml(path), default_name=path.stem)

    @classmethod
    def from_document(cls, document: Document, default_name: str = "") -> Topology:
        """Build a topology from a file that was read; a file without `name` is named by `default_name`."""
        if isinstance(document.data, dict):
            document.data.setdefault("name", default_name)
        return validate(document, cls)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of topology files."""
        schema = _ADAPTER.json_schema()
        schema["properties"]["generate"] = Shape.json_schema()
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Topology", **schema}


_ADAPTER: TypeAdapter[Topology] = TypeAdapter(Topology)


def find(name_or_path: str | Path) -> Path:
    """Return the file of a topology; a name is looked up in ./topologies, then among the installed ones."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if not path.is_file():
            raise ConfigError("there is no such topology file", file=path)
        return path
    for folder in _folders():
        if (folder / f"{name_or_path}.yaml").is_file():
            return folder / f"{name_or_path}.yaml"
    raise ConfigError(
        f"there is no topology named {str(name_or_path)!r}",
        key="topology",
        hint=suggestion(name_or_path, available(), "there are"),
    )


def available() -> list[str]:
    """Return the names of all topologies that can be loaded by name, sorted."""
    return sorted({path.stem for folder in _folders() for path in folder.glob("*.yaml")})


def _folders() -> list[Path]:
    """The user's folder first; then that of the source tree or, once installed, the copy in the package."""
    package = Path(__file__).resolve().parents[1]
    return [
        folder
        for folder in (Path("topologies"), package / "topologies", package.parent / "topologies")
        if folder.is_dir()
    ]


def _nodes(shape: Shape) -> dict[str, object]:
    hosts: dict[str, object] = {name: {"kind": "host"} for name in shape.hosts}
    return hosts | {name: {"kind": "switch", "buffer": _text(shape.buffer)} for name in shape.switches}


def _links(shape: Shape) -> list[object]:
    return [
        {"endpoints": list(wire.endpoints), "rate": f"{wire.rate}bps", "delay": f"{wire.delay}ps"}
        for wire in shape.wires
    ]


def _text(size: int | None) -> str | None:
    return None if size is None else f"{size}B"
