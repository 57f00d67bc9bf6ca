"""Where the nodes of a topology are and how to reach them. A site never holds a password.

A site file names the topology that lives there, then what differs from the defaults:

    topology: softroce-2
    defaults: {user: root}
    hosts:
      h1: {address: 192.0.2.11, ports: {p0: {device: mlx5_0}}}
      h2: {address: 192.0.2.12, ports: {p0: {device: mlx5_0}}}
    switches:
      sw1: {address: 192.0.2.1, os: linux, ports: {e1: swp1, e2: swp2}}

Anything about SSH that is left out comes from `~/.ssh/config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from harness.core.errors import ConfigError, suggestion
from harness.core.topology import NodeKind, Topology
from harness.core.units import MS, Dscp, Duration
from harness.core.validation import check_name, model
from harness.core.yamlio import load_yaml, validate

TcpPort = Annotated[int, Field(ge=1, le=65535, strict=True)]

MAY_DISTURB = "ROCE_I_OWN_THIS_FABRIC"
"""Environment variable: 1 allows what disturbs others on a real fabric (BMWG: never on a production network)."""

DEFAULT_DSCP: Mapping[int, int] = {0: 0, 1: 8, 2: 16, 3: 26, 4: 34, 5: 46, 6: 48, 7: 56}
"""Priority → DSCP.

26 for RoCE and 48 for CNPs are what NVIDIA's guides use; the others are code points of RFC 4594 whose upper
three bits are the priority, which is what NICs that trust DSCP map by default.
"""


@model
class Login:
    """How to log in over SSH; None leaves it to `~/.ssh/config` and then to OpenSSH's default."""

    port: TcpPort | None = None
    user: str | None = None
    identity: Path | None = None
    known_hosts: Path | None = None
    ssh_config: Path | None = None


@model
class Access(Login):
    """How to reach a machine: its address, and how to log in there."""

    address: str | None = None


@model
class RdmaPort:
    """One NIC port of a host as its operating system names it.

    `device` None is found by `netdev` (and the other way round); `port` is that of the RDMA device. `gid` is
    an index of the GID table only where a lab must pin it: normally the entry is chosen by RoCE version and
    address family.
    """

    device: str | None = None
    port: Annotated[int, Field(ge=1, le=255, strict=True)] = 1
    netdev: str | None = None
    gid: Annotated[int, Field(ge=0, le=65535, strict=True)] | None = None
    roce: Literal["v1", "v2"] = "v2"
    family: Literal["ipv4", "ipv6"] = "ipv4"

    @model_validator(mode="after")
    def _named(self) -> RdmaPort:
        if self.device is None and self.netdev is None:
            raise ConfigError("which RDMA device?", key="device", hint="device: mlx5_0, or netdev: ens1f0")
        return self


@model
class SiteHost(Access):
    """A host: how to reach it, its RDMA ports by the names of the topology, and its Python."""

    ports: Mapping[str, RdmaPort] = field(kw_only=True)
    python: str | None = None
    numa_node: Annotated[int, Field(ge=0, le=1023, strict=True)] | None = None


@model
class SiteSwitch(Access):
    """A switch: how to reach it, its operating system (a module of `harness.switches`), its port names."""

    os: str = field(kw_only=True)
    ports: Mapping[str, str] = field(kw_only=True)


@model
class SiteDefaults(Login):
    """What holds for every machine that does not say otherwise."""

    python: str = "python3"


@model
class Site:
    """Where one topology lives.

    `dscp` maps priorities to DSCP for the priorities whose mapping differs from `DEFAULT_DSCP`;
    `max_start_skew` is how far apart hosts may start before a run is no evidence. Switches that are left out
    are not touched: what needs them is then not offered.
    """

    topology: str
    hosts: Mapping[str, SiteHost]
    switches: Mapping[str, SiteSwitch] = Field(default_factory=dict)
    defaults: SiteDefaults = Field(default_factory=SiteDefaults)
    dscp: Mapping[Annotated[int, Field(ge=0, le=7)], Dscp] = Field(default_factory=dict)
    max_start_skew: Duration = 5 * MS

    @model_validator(mode="after")
    def _sound(self) -> Site:
        if not self.hosts:
            raise ConfigError("a site without hosts", key="hosts")
        for name in (*self.hosts, *self.switches):
            check_name(name, "a node")
        return self

    @classmethod
    def load(cls, path: str | Path) -> Site:
        """Read a site file; raise ConfigError with file, line and key when it is wrong."""
        return validate(load_yaml(path), cls)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of site files."""
        schema = TypeAdapter(cls).json_schema()
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Site", **schema}

    def check(self, topology: Topology) -> None:
        """Raise ConfigError unless the site has every host and host port of the topology, and nothing else."""
        self._check_nodes(topology, NodeKind.HOST, self.hosts, complete=True)
        self._check_nodes(topology, NodeKind.SWITCH, self.switches, complete=False)

    def _check_nodes(
        self, topology: Topology, kind: NodeKind, here: Mapping[str, SiteHost | SiteSwitch], *, complete: bool
    ) -> None:
        key = f"{kind.value}s" if kind is NodeKind.HOST else "switches"
        there = topology.hosts if kind is NodeKind.HOST else topology.switches
        for name, node in here.items():
            if name not in there:
                hint = suggestion(name, there, f"its {key} are")
                raise ConfigError(
                    f"topology {topology.name!r} has no such {kind.value}", key=f"{key}.{name}", hint=hint
                )
            self._check_ports(topology, name, set(node.ports), f"{key}.{name}.ports")
        absent = [name for name in there if name not in here]
        if complete and absent:
            raise ConfigError(
                f"topology {topology.name!r} has hosts that the site lacks", key=key, value=absent
            )

    def _check_ports(self, topology: Topology, node: str, ports: set[str], key: str) -> None:
        linked = (*topology.host_ports, *topology.switch_ports)
        wanted = {port.partition(":")[2] for port in linked if port.partition(":")[0] == node}
        if missing := sorted(wanted - ports):
            raise ConfigError(
                f"no such entry for port {missing[0]!r}",
                key=key,
                hint=f"{node} has {', '.join(sorted(wanted))}",
            )
        if unknown := sorted(ports - set(topology.ports(node))):
            raise ConfigError(
                "the topology has no such port",
                key=f"{key}.{unknown[0]}",
                hint=f"{node} has {', '.join(sorted(wanted))}",
            )

    def access(self, node: str) -> Access:
        """Return how to reach a node, defaults filled in; raise ConfigError when the site has no such node."""
        machine = self.hosts.get(node) or self.switches.get(node)
        if machine is None:
            names = [*self.hosts, *self.switches]
            raise ConfigError(f"the site has no node {node!r}", hint=suggestion(node, names, "it has"))
        own = {each.name: getattr(machine, each.name) for each in fields(Login)}
        filled = {key: getattr(self.defaults, key) if value is None else value for key, value in own.items()}
        return Access(address=machine.address or node, **filled)

    def python(self, host: str) -> str:
        """Return the Python interpreter that runs the agent on a host."""
        return self.hosts[host].python or self.defaults.python

    def dscp_of(self, priority: int) -> int:
        """Return the DSCP that carries a priority here."""
        return self.dscp.get(priority, DEFAULT_DSCP[priority])
