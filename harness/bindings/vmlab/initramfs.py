"""A small initramfs: one static busybox, the few modules that reach the root file system, one script.

The cpio format (newc) is that of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

_TRAILER = "TRAILER!!!"
_ALIGN = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """A file (`data`), or a folder (`data` None), of an initramfs. `mode` holds the permission bits."""

    name: str
    data: bytes | None = None
    mode: int = 0o755


def cpio(entries: Iterable[Entry]) -> bytes:
    """Return an archive of the entries, in their order, without times: the same input gives the same bytes."""
    out = bytearray()
    for inode, entry in enumerate(entries, start=1):
        kind = stat.S_IFDIR if entry.data is None else stat.S_IFREG
        out += _record(entry.name, kind | entry.mode, entry.data or b"", inode)
    out += _record(_TRAILER, 0, b"", 0)
    return bytes(out)


def _record(name: str, mode: int, data: bytes, inode: int) -> bytes:
    path = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + path) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGN)
