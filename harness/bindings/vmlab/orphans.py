"""Guests whose lab forgot them: a controller that was killed between starting QEMU and writing it down."""

from __future__ import annotations

import os
from pathlib import Path

from harness.bindings.vmlab.process import Process


def end_orphans(sockets: Path) -> int:
    """End every QEMU that was started with sockets in this folder; return how many there were.

    The folder belongs to one lab, so whoever opens its sockets was started for it.
    """
    found = _find(sockets)
    return sum(process.kill() for process in found)


def _find(sockets: Path) -> list[Process]:
    mark = b"path=" + os.fsencode(sockets) + b"/"
    entries = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [Process.of(int(entry.name)) for entry in entries if _is_guest(entry, mark)]


def _is_guest(entry: Path, mark: bytes) -> bool:
    try:
        arguments = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"qemu-system" in arguments[0] and any(mark in argument for argument in arguments[1:])
