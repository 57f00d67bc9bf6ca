"""Raw counters of ports: what the kernel and its tools show, under their own names.

A source that does not exist is null and says why in `errors`; nothing is made up, and nothing is 0 unless
it was read as 0. What the names mean is for the controller's NIC drivers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import clock, programs
from .sysfs import Sysfs, names, number, text

Run = Callable[[list[str]], str]
_NOT_COUNTERS = frozenset({"lifespan"})
_ETHTOOL_LINE = re.compile(r"^\s+(?P<name>\S.*?):\s*(?P<value>-?\d+)\s*$")


class Source:
    """Reads one source and keeps the reason when it is absent."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}

    def read(self, name: str, reading: Callable[[], Any]) -> Any:
        """Return what a reading gives, or None with its reason kept."""
        try:
            return reading()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.errors[name] = " ".join(str(error).split())
            return None


def of_port(
    device: str, port: int, netdev: str | None, sysfs: Sysfs, run: Run = programs.output_of
) -> dict[str, Any]:
    """Return all counters of a port, the object that `counters` answers for it."""
    source = Source()
    folder = sysfs.port_folder(device, port)
    readings: dict[str, Callable[[], Any]] = {
        "hw_counters": lambda: folder_counters(folder / "hw_counters"),
        "counters": lambda: folder_counters(folder / "counters"),
        "device_hw_counters": lambda: folder_counters(sysfs.infiniband / device / "hw_counters"),
        "rdma_statistic": lambda: rdma_statistic(device, port, run),
        "netdev": lambda: folder_counters(_net(sysfs, netdev) / "statistics"),
        "ethtool": lambda: ethtool(_net(sysfs, netdev).name, run),
        "dcb_pfc": lambda: dcb_pfc(_net(sysfs, netdev).name, run),
    }
    values = {name: source.read(name, reading) for name, reading in readings.items()}
    changes = number(sysfs.net / netdev / "carrier_changes") if netdev else None
    facts = {"device": device, "port": port, "interface": netdev, "carrier_changes": changes}
    return {**facts, **values, "errors": source.errors, "mono_ns": clock.now_ns()}


def _net(sysfs: Sysfs, netdev: str | None) -> Path:
    if netdev is None:
        raise OSError("the port has no network device")
    return sysfs.net / netdev


def folder_counters(folder: Path) -> dict[str, int]:
    """Return the counters of a folder; a file that is no number now (`N/A (no PMA)`, EIO) is left out."""
    if not folder.is_dir():
        raise OSError(f"{folder.name}: no such folder")
    files = [name for name in names(folder) if name not in _NOT_COUNTERS]
    read = {name: _whole(text(folder / name)) for name in files}
    return {name: value for name, value in read.items() if value is not None}


def _whole(content: str | None) -> int | None:
    return int(content) if content and re.fullmatch(r"-?\d+", content) else None


def rdma_statistic(device: str, port: int, run: Run) -> dict[str, int]:
    """Return what `rdma statistic` shows of a link, optional counters included."""
    shown = json.loads(run(["rdma", "-j", "statistic", "show", "link", f"{device}/{port}"]))
    entries = [entry for entry in shown if entry.get("port") == port]
    if not entries:
        raise OSError(f"rdma: no statistic of {device}/{port}")
    return {k: v for k, v in entries[0].items() if type(v) is int and k not in {"ifindex", "port"}}


def ethtool(netdev: str, run: Run) -> dict[str, int]:
    """Return the counters of `ethtool -S`."""
    lines = map(_ETHTOOL_LINE.match, run(["ethtool", "-S", netdev]).splitlines())
    return {line["name"]: int(line["value"]) for line in lines if line}


def dcb_pfc(netdev: str, run: Run) -> dict[str, list[int]]:
    """Return PFC frames sent (`requests`) and received (`indications`) by priority."""
    shown = json.loads(run(["dcb", "-j", "pfc", "show", "dev", netdev, "requests", "indications"]))
    return {name: [int(n) for n in shown[name]] for name in ("requests", "indications") if name in shown}
