"""Where the lab keeps its files: one cache folder, and a short one for sockets where that path is long.

<cache>/image/<hash>/      kernel, initramfs, squashfs, keys: built once
<cache>/snapshot/<hash>/   memory and device state of a booted guest
<cache>/run/<lab>/         lock, lab.json, known_hosts, ssh_config, logs of the guests
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.bindings.vmlab.errors import LabError

MAX_SOCKET_PATH = 107
"""Longest path of a unix socket: `sun_path` has 108 bytes with the final zero (unix(7))."""

LONGEST_SOCKET_NAME = 40
"""Room for `/<node>.<port>.sock`; longer names are refused when a lab is planned."""

_LAB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of the cache. They are made when they are first needed, for their owner alone."""

    root: Path

    @classmethod
    def find(cls) -> Layout:
        """Return the cache folder: $ROCE_LAB_DIR, else $XDG_CACHE_HOME/roce-lab, else ~/.cache/roce-lab."""
        if own := os.environ.get("ROCE_LAB_DIR"):
            return cls(Path(own).absolute())
        base = os.environ.get("XDG_CACHE_HOME")
        return cls(((Path(base) if base else Path.home() / ".cache") / "roce-lab").absolute())

    def folder(self, *parts: str) -> Path:
        """Return a folder below the root, made with mode 0700."""
        path = self.root.joinpath(*parts)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    @property
    def images(self) -> Path:
        """Root file systems, one folder an image."""
        return self.folder("image")

    @property
    def snapshots(self) -> Path:
        """Booted guests, one folder a snapshot."""
        return self.folder("snapshot")

    @property
    def runs(self) -> Path:
        """Labs, one folder a lab."""
        return self.folder("run")

    def run(self, lab: str) -> Path:
        """Return the folder of a lab; raise LabError when the name is not fit for a folder."""
        if not _LAB_NAME.fullmatch(lab):
            raise LabError(f"{lab!r} is no name for a lab: letters, digits, '.', '_' and '-', at most 64")
        return self.folder("run", lab)

    def sockets(self, own: Path) -> Path:
        """Return where the sockets of a folder go: there, or in a short one when that path is too long.

        Raises LabError when the short folder is somebody else's.
        """
        if len(os.fsencode(own)) + LONGEST_SOCKET_NAME <= MAX_SOCKET_PATH:
            return own
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        digest = hashlib.sha256(os.fsencode(own)).hexdigest()[:12]
        return _private(base / f"roce-lab-{os.getuid()}-{digest}")


def _private(path: Path) -> Path:
    """Make a folder that is ours alone, in a place where others may write too."""
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if path.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise LabError(
            f"{path} belongs to somebody else or is open to others; remove it, or set XDG_RUNTIME_DIR"
        )
    return path
