"""What is known about a lab between commands: `lab.json`, and the locks that keep two of them apart."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.bindings.vmlab.errors import LabBusy
from harness.bindings.vmlab.process import Process

STATE_FILE = "lab.json"
STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class GuestState:
    """A guest that was started: `process` None once it was powered off."""

    ssh_port: int
    process: Process | None


@dataclass(frozen=True, slots=True)
class LabState:
    """A lab as it was last known. `owner` is the process that it ends with; None: it stays until `down`."""

    name: str
    topology: Mapping[str, Any]
    image: str
    accel: str
    owner: Process | None
    guests: Mapping[str, GuestState] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps({"version": STATE_VERSION, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> LabState | None:
        """Read the file's text; None when it is not what this version writes (a crash, an older version)."""
        try:
            data = json.loads(text)
            if data.pop("version") != STATE_VERSION:
                return None
            guests = {
                node: GuestState(guest["ssh_port"], _process(guest["process"]))
                for node, guest in data.pop("guests").items()
            }
            return cls(**{**data, "owner": _process(data["owner"]), "guests": guests})
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def _process(data: Mapping[str, Any] | None) -> Process | None:
    return None if data is None else Process(**data)


def read_state(folder: Path) -> LabState | None:
    """Return the state of a lab; None when it was never up, or its file cannot be read."""
    try:
        return LabState.from_json((folder / STATE_FILE).read_text())
    except FileNotFoundError:
        return None


def write_state(folder: Path, state: LabState) -> None:
    """Replace the state of a lab in one step."""
    partial = folder / f"{STATE_FILE}.partial"
    partial.write_text(state.to_json())
    partial.replace(folder / STATE_FILE)


class Lock:
    """A file that one process at a time holds; the kernel frees it when that process ends, however it ends."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; raise LabBusy with the id of the process that has it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise LabBusy(f"{self._what} by process {holder}; wait for it, or end it") from error
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is not None:
            os.truncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def change_lock(folder: Path, name: str) -> Lock:
    """The lock of whoever starts or stops guests of a lab."""
    return Lock(folder / "change.lock", f"lab {name!r} is being changed")


def use_lock(folder: Path, name: str) -> Lock:
    """The lock of the session that runs tests on a lab."""
    return Lock(folder / "use.lock", f"lab {name!r} is used")


@contextmanager
def held(lock: Lock) -> Iterator[None]:
    """Hold a lock for a block."""
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
