"""What /sys tells about RDMA devices. The root is a parameter, so that tests lay out a tree of their own."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

ROOT = Path("/sys")
ZERO_GID = "0000:0000:0000:0000:0000:0000:0000:0000"
_PCIE_FILES = {
    "speed": "current_link_speed",
    "width": "current_link_width",
    "max_speed": "max_link_speed",
    "max_width": "max_link_width",
}


def text(path: Path) -> str | None:
    """Return what a file holds, stripped; None when it is absent or cannot be read (EINVAL, EIO, ENOENT)."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text("utf-8").strip()
    return None


def number(path: Path) -> int | None:
    """Return the decimal or 0x number at the start of a file; None when there is none."""
    content = text(path)
    found = re.match(r"-?(0x[0-9a-fA-F]+|\d+)", content or "")
    return int(found.group(0), 0) if found else None


def names(folder: Path) -> list[str]:
    """Return the names in a folder, numbers in their order; empty when there is no such folder."""
    with contextlib.suppress(OSError):
        return sorted((entry.name for entry in folder.iterdir()), key=_natural)
    return []


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


class Sysfs:
    """Reads device facts below a root such as /sys."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.infiniband = root / "class" / "infiniband"
        self.net = root / "class" / "net"

    def devices(self) -> list[str]:
        """Return the names of the RDMA devices."""
        return names(self.infiniband)

    def ports(self, device: str) -> list[int]:
        """Return the port numbers of a device."""
        return [int(name) for name in names(self.infiniband / device / "ports") if name.isdigit()]

    def port_folder(self, device: str, port: int) -> Path:
        """Return the folder of a port."""
        return self.infiniband / device / "ports" / str(port)

    def describe(self, device: str) -> dict[str, Any]:
        """Return what is known of a device without opening it."""
        folder = self.infiniband / device
        return {
            "device": device,
            "driver": self._driver(folder),
            "firmware": text(folder / "fw_ver") or None,
            "vendor_id": _hex(text(folder / "device" / "vendor")),
            "part_id": _hex(text(folder / "device" / "device")) or text(folder / "hca_type") or None,
            "board_id": text(folder / "board_id") or None,
            "node_guid": text(folder / "node_guid"),
            "pcie": self._pcie(folder / "device"),
            "numa_node": self._numa_node(folder / "device"),
            "ports": [self.describe_port(device, port) for port in self.ports(device)],
        }

    def _driver(self, folder: Path) -> str | None:
        """Return the kernel driver; software devices have no PCI driver and are known by their parent."""
        with contextlib.suppress(OSError):
            return (folder / "device" / "driver").resolve(strict=True).name
        if (folder / "parent").exists():
            return "siw" if text(folder / "hca_type") == "siw" else "rxe"
        return None

    @staticmethod
    def _pcie(device: Path) -> dict[str, Any] | None:
        if text(device / _PCIE_FILES["speed"]) is None:
            return None
        facts: dict[str, Any] = {"address": device.resolve().name}
        facts.update({key: text(device / name) for key, name in _PCIE_FILES.items()})
        return facts

    @staticmethod
    def _numa_node(device: Path) -> int | None:
        """Return the NUMA node; -1 in the file means that it is not known."""
        node = number(device / "numa_node")
        return node if node is not None and node >= 0 else None

    def describe_port(self, device: str, port: int) -> dict[str, Any]:
        """Return state and link of a port."""
        folder = self.port_folder(device, port)
        netdev = self.netdev(device, port)
        return {
            "port": port,
            "state": state_word(text(folder / "state")),
            "phys_state": state_word(text(folder / "phys_state")),
            "max_mtu": None,
            "active_mtu": None,
            "link_layer": text(folder / "link_layer"),
            "speed_gbps": self._speed_gbps(netdev),
            "netdev": netdev,
            "netdev_mtu": number(self.net / netdev / "mtu") if netdev else None,
        }

    def state(self, device: str, port: int) -> str | None:
        """Return the state of a port, such as ACTIVE."""
        return state_word(text(self.port_folder(device, port) / "state"))

    def _speed_gbps(self, netdev: str | None) -> float | None:
        """Return the speed of the network device; virtual ones know none, or say -1."""
        speed = number(self.net / netdev / "speed") if netdev else None
        return speed / 1000 if speed is not None and speed > 0 else None

    def netdev(self, device: str, port: int) -> str | None:
        """Return the network device of a port: that of its first GID, or the device's parent."""
        folder = self.port_folder(device, port) / "gid_attrs" / "ndevs"
        for index in names(folder):
            found = text(folder / index)
            if found:
                return found
        return text(self.infiniband / device / "parent") or None

    def gids(self, device: str, port: int) -> list[dict[str, Any]]:
        """Return the GID table; entries that are not in use are left out.

        Tables have up to 1024 entries, a file each: ask an opened device instead (gids.table).
        """
        folder = self.port_folder(device, port)
        table = []
        for index in names(folder / "gids"):
            gid = text(folder / "gids" / index)
            if not gid or gid == ZERO_GID:
                continue
            kind = text(folder / "gid_attrs" / "types" / index)
            if kind:
                netdev = text(folder / "gid_attrs" / "ndevs" / index)
                entry = {
                    "index": int(index),
                    "gid": gid,
                    "type": kind,
                    "family": family(gid),
                    "netdev": netdev,
                }
                table.append(entry)
        return table


def family(gid: str) -> str:
    """Return ipv4 (mapped, ::ffff:a.b.c.d), link_local (fe80::/10) or ipv6."""
    if gid.startswith("0000:0000:0000:0000:0000:ffff:"):
        return "ipv4"
    return "link_local" if int(gid[:4], 16) & 0xFFC0 == 0xFE80 else "ipv6"


def address(gid: str) -> str:
    """Return the IP address that a RoCE v2 GID stands for."""
    if family(gid) != "ipv4":
        return gid
    words = [int(word, 16) for word in gid.split(":")[6:]]
    return ".".join(str(byte) for word in words for byte in divmod(word, 256))


def state_word(content: str | None) -> str | None:
    """Return ACTIVE of `4: ACTIVE`."""
    return content.split(":", 1)[-1].strip() if content else None


def _hex(content: str | None) -> str | None:
    """Return a PCI number such as 0x15b3 as the kernel writes it; None for what is no number."""
    return content if content and content.startswith("0x") else None
