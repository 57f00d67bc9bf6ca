"""Which RDMA device, port and GID a topology's host port is, by what the host's agent says it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.errors import AgentFailed, ConfigError, PeerMismatch, suggestion
from harness.core.site import RdmaPort

FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6", "link_local": "link-local IPv6"}

Said = Mapping[str, Any]
"""A part of an agent's answer to `devices`."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host port of the topology and what it is on its host; `words` says how its GID was chosen."""

    name: str
    device: Said
    port: Said
    gid: Said
    words: str

    @property
    def host(self) -> str:
        """The node of the topology."""
        return self.name.partition(":")[0]

    @property
    def device_name(self) -> str:
        """What verbs call the device."""
        return str(self.device["device"])

    @property
    def port_number(self) -> int:
        """Port of the RDMA device, from 1."""
        return int(self.port["port"])

    @property
    def netdev(self) -> str | None:
        """The network interface on which it runs, where that is known."""
        return self.gid.get("netdev") or self.port.get("netdev")

    @property
    def active_mtu(self) -> int | None:
        """Most payload bytes of a packet; None when the port does not say."""
        mtu = self.port.get("active_mtu")
        return mtu if isinstance(mtu, int) and mtu > 0 else None

    @property
    def place(self) -> dict[str, object]:
        """What the agent's `counters` wants to know."""
        return {"device": self.device_name, "port": self.port_number, "netdev": self.netdev}

    def as_result(self) -> dict[str, object]:
        """Return it as a result writes it."""
        kept = ("device", "driver", "firmware", "vendor_id", "part_id", "board_id", "node_guid", "pcie")
        return {
            **{key: self.device.get(key) for key in (*kept, "numa_node")},
            "port": self.port_number,
            "netdev": self.netdev,
            "active_mtu": self.active_mtu,
            "speed_gbps": self.port.get("speed_gbps"),
            "gid": {**self.gid, "why": self.words},
        }


def endpoint(name: str, wanted: RdmaPort, devices: Sequence[Said]) -> Endpoint:
    """Return what a host port is.

    Raises:
        AgentFailed: the host has no such device, port or GID, or the port is down; it says what there is.
        ConfigError: the GID index that the site pins is of another kind than the site asks for.
    """
    device, port = find_port(name, wanted, devices)
    where = f"{name.partition(':')[0]}: {device['device']} port {port['port']}"
    state = str(port.get("state"))
    if "ACTIVE" not in state.upper():
        raise AgentFailed(
            f"{where} is down (state {state}, link {port.get('phys_state')}): no RDMA for {name}"
        )
    gid, words = _gid(name, where, wanted, port)
    return Endpoint(name, device, port, gid, words)


def find_port(name: str, wanted: RdmaPort, devices: Sequence[Said]) -> tuple[Said, Said]:
    """Return the device and its port that a host port is; raise AgentFailed with what there is instead."""
    host = name.partition(":")[0]
    for device in devices:
        for port in device.get("ports") or ():
            if _is_it(device, port, wanted):
                return device, port
    there = [
        f"{device['device']} port {port['port']} ({port.get('netdev') or 'no netdev'})"
        for device in devices
        for port in device.get("ports") or ()
    ]
    asked = f"RDMA device {wanted.device} port {wanted.port}" if wanted.device else "RDMA device"
    on = f" on {wanted.netdev}" if wanted.netdev else ""
    listed = ", ".join(there) if there else "no RDMA devices at all"
    raise AgentFailed(f"{host}: there is no {asked}{on} for {name}; it has {listed}")


def _is_it(device: Said, port: Said, wanted: RdmaPort) -> bool:
    if wanted.device is not None and (device["device"], port["port"]) != (wanted.device, wanted.port):
        return False
    netdevs = {port.get("netdev"), *(gid.get("netdev") for gid in port.get("gids") or ())}
    return wanted.netdev is None or wanted.netdev in netdevs


def _gid(name: str, where: str, wanted: RdmaPort, port: Said) -> tuple[Said, str]:
    """Choose the GID table's entry by RoCE version, address family and interface; the lowest index wins."""
    gids: Sequence[Said] = port.get("gids") or ()
    kind = f"RoCE {wanted.roce} {FAMILIES[wanted.family]}"
    if wanted.gid is not None:
        return _pinned(name, where, wanted.gid, gids, kind)
    fitting = [gid for gid in gids if _fits(gid, wanted)]
    if not fitting:
        listed = ", ".join(_words(gid) for gid in gids) or "none"
        raise AgentFailed(f"{where} has no {kind} GID for {name}; GIDs are {listed}")
    chosen = min(fitting, key=lambda gid: int(gid["index"]))
    more = f", the first of {len(fitting)} such" if len(fitting) > 1 else ", the only such"
    return chosen, f"{_words(chosen)}: chosen for {kind}{more} of {len(gids)} entries"


def _fits(gid: Said, wanted: RdmaPort) -> bool:
    right_netdev = wanted.netdev is None or gid.get("netdev") in (None, wanted.netdev)
    return _version(gid) == wanted.roce and gid.get("family") == wanted.family and right_netdev


def _pinned(name: str, where: str, index: int, gids: Sequence[Said], kind: str) -> tuple[Said, str]:
    found = next((gid for gid in gids if gid["index"] == index), None)
    if found is None:
        hint = suggestion(index, [gid["index"] for gid in gids], "it has")
        raise AgentFailed(f"{where} has no GID of index {index} for {name}; {hint}")
    said = f"RoCE {_version(found)} {FAMILIES.get(str(found.get('family')), '?')}"
    if said != kind:
        raise ConfigError(
            f"{where}: GID {index} is {said}, and the site asks for {kind}",
            key=f"ports.{name.partition(':')[2]}.gid",
            value=index,
            hint="leave gid out, or set roce and family to what it is",
        )
    return found, f"{_words(found)}: pinned by the site"


def _version(gid: Said) -> str:
    """Return `v1` or `v2`; the kernel writes `IB/RoCE v1` and `RoCE v2`."""
    return "v2" if "v2" in str(gid.get("type")).lower() else "v1"


def _words(gid: Said) -> str:
    return f"{gid.get('index')} {gid.get('gid')} ({gid.get('type')}, {gid.get('family')})"


def check_peers(flow: str, src: Endpoint, dst: Endpoint, mtu_bytes: int) -> None:
    """Raise PeerMismatch unless both ends of a flow can carry packets of `mtu_bytes` and are of one kind."""
    for key, what in (("type", "RoCE versions"), ("family", "address families")):
        if src.gid.get(key) != dst.gid.get(key):
            raise PeerMismatch(
                f"flow {flow}: the ends have different {what}: "
                f"{src.name} {src.gid.get(key)} (GID {src.gid.get('index')}), "
                f"{dst.name} {dst.gid.get(key)} (GID {dst.gid.get('index')})"
            )
    short = [end for end in (src, dst) if end.active_mtu is not None and end.active_mtu < mtu_bytes]
    if short:
        raise PeerMismatch(
            f"flow {flow}: packets of {mtu_bytes} bytes do not fit: the active MTU is "
            f"{src.active_mtu or 'not known'} at {src.name} ({_interface(src)}) and "
            f"{dst.active_mtu or 'not known'} at {dst.name} ({_interface(dst)})"
        )


def _interface(end: Endpoint) -> str:
    mtu = end.port.get("netdev_mtu")
    return f"{end.netdev or end.device_name}{'' if mtu is None else f' with MTU {mtu}'}"
