"""What each node of a topology becomes: its NICs, their addresses, the sockets of its links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Interface

from harness.bindings.vmlab.errors import LabError
from harness.core.errors import TopologyNotOffered
from harness.core.topology import NodeKind, Topology

PREFIX = "softroce-"
"""Topologies for this lab are named so; their rates are what emulated guests can carry."""

MAX_LINKS = 4
"""Data NICs of a guest; the snapshot has so many, and one snapshot serves every node."""

MAX_GUESTS = 32
"""The last octet of a data address has room for more; memory and cores do not."""

DATA_MTU = 4200
"""Bytes of IP packet on data NICs: room for RoCE's 4096 and its headers, so the RDMA port's MTU is 4096."""

MAX_INTERFACE_NAME = 15
"""IFNAMSIZ of the kernel less the final zero."""


@dataclass(frozen=True, slots=True)
class Nic:
    """A data NIC: `slot` (1…MAX_LINKS) is where QEMU plugs it, `port` its name in the topology and the guest.

    `socket` and `peer` are the names of the datagram sockets of this end and of the other end of the link;
    `address` is None on switches.
    """

    slot: int
    port: str
    mac: str
    socket: str
    peer: str
    address: IPv4Interface | None


@dataclass(frozen=True, slots=True)
class GuestPlan:
    """A node to be: `index` counts from 1 in the order of the topology."""

    node: str
    kind: NodeKind
    index: int
    nics: tuple[Nic, ...]

    @property
    def is_switch(self) -> bool:
        """Whether it forwards."""
        return self.kind is NodeKind.SWITCH


@dataclass(frozen=True)
class Plan:
    """All guests of a topology."""

    topology: Topology

    @cached_property
    def guests(self) -> Mapping[str, GuestPlan]:
        """The guests by the names of their nodes, in the topology's order."""
        return {node: self._guest(node, index) for index, node in enumerate(self.topology.nodes, start=1)}

    @cached_property
    def addresses(self) -> Mapping[str, str]:
        """Data addresses by name: a host's first NIC has its plain name, each has `host-port`."""
        names: dict[str, str] = {}
        for guest in self.guests.values():
            for nic in guest.nics:
                if nic.address is not None:
                    names.setdefault(guest.node, str(nic.address.ip))
                    names[f"{guest.node}-{nic.port}"] = str(nic.address.ip)
        return names

    def neighbours(self, node: str) -> list[tuple[str, int]]:
        """Return the far ends of a node's links: the other node and the slot of its NIC."""
        sockets = {nic.peer for nic in self.guests[node].nics}
        return [
            (far.node, nic.slot) for far in self.guests.values() for nic in far.nics if nic.socket in sockets
        ]

    def _guest(self, node: str, index: int) -> GuestPlan:
        kind = self.topology.nodes[node].kind
        linked = (*self.topology.host_ports, *self.topology.switch_ports)
        ports = [port for port in self.topology.ports(node) if f"{node}:{port}" in linked]
        nics = tuple(self._nic(node, kind, index, slot, port) for slot, port in enumerate(ports, start=1))
        return GuestPlan(node, kind, index, nics)

    def _nic(self, node: str, kind: NodeKind, index: int, slot: int, port: str) -> Nic:
        end = f"{node}:{port}"
        address = None if kind is NodeKind.SWITCH else IPv4Interface(f"198.18.{slot}.{index}/16")
        return Nic(slot, port, _mac(index, slot), _socket(end), _socket(self.topology.peer(end)), address)


def _mac(index: int, slot: int) -> str:
    """A locally administered address that tells node and slot ('RO' in the middle)."""
    return f"02:52:4f:00:{index:02x}:{slot:02x}"


def _socket(end: str) -> str:
    return f"{end.replace(':', '.')}.link"


def offers(name: str) -> bool:
    """Return whether the lab takes the topology of this name."""
    return name.startswith(PREFIX)


def plan(topology: Topology) -> Plan:
    """Return what a topology becomes.

    Raises:
        TopologyNotOffered: it is not for this lab, or has too many links or nodes.
    """
    if not offers(topology.name):
        raise TopologyNotOffered(
            f"the VM lab takes topologies named {PREFIX}…",
            key="topology",
            value=topology.name,
            hint="softroce-2",
        )
    if len(topology.nodes) > MAX_GUESTS:
        raise TopologyNotOffered(
            f"the VM lab has at most {MAX_GUESTS} guests", key="nodes", value=len(topology.nodes)
        )
    result = Plan(topology)
    for guest in result.guests.values():
        _check(guest)
    return result


def _check(guest: GuestPlan) -> None:
    if len(guest.nics) > MAX_LINKS:
        raise TopologyNotOffered(
            f"a guest of the VM lab has at most {MAX_LINKS} links",
            key=f"nodes.{guest.node}",
            value=len(guest.nics),
        )
    for nic in guest.nics:
        if len(nic.port) > MAX_INTERFACE_NAME or nic.port in RESERVED_NAMES:
            raise LabError(
                f"{guest.node}:{nic.port}: no name for a network interface of Linux here; use p0, e1, …"
            )
        if len(nic.socket) > MAX_SOCKET_NAME:
            raise LabError(f"{guest.node}:{nic.port}: the names are too long for a socket's path")


RESERVED_NAMES = frozenset({"lo", "mgmt", "br0", *(f"data{slot}" for slot in range(1, MAX_LINKS + 1))})
"""Interfaces that every guest has."""

MAX_SOCKET_NAME = 38
"""See `layout.LONGEST_SOCKET_NAME`, which counts a slash too."""
