"""Files that one process at a time holds. The kernel frees them when that process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.bindings.vmlab.errors import LabBusy

HOLDER_BYTES = 32
"""More than a process id has digits."""


class Lock:
    """A lock by name: `what` is the first half of the sentence that tells who has it."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what
        self._descriptor: int | None = None

    def acquire(self, waiting: Callable[[str], None] | None = None) -> None:
        """Take the lock.

        When somebody has it, raise LabBusy with the id of that process; with `waiting`, tell it instead and
        wait for the lock.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(descriptor, waiting)
        except BaseException:
            os.close(descriptor)
            raise
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def _take(self, descriptor: int, waiting: Callable[[str], None] | None) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, HOLDER_BYTES, 0).decode(errors="replace").strip() or "unknown"
            if waiting is None:
                raise LabBusy(f"{self._what} by process {holder}; wait for it, or end it") from error
            waiting(f"{self._what} by process {holder}; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is not None:
            os.truncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def change_lock(folder: Path) -> Lock:
    """The lock of whoever starts or stops guests of the lab in a folder."""
    return Lock(folder / "change.lock", f"lab {folder.name!r} is being changed")


def use_lock(folder: Path) -> Lock:
    """The lock of the session that runs tests on the lab in a folder."""
    return Lock(folder / "use.lock", f"lab {folder.name!r} is used")


@contextmanager
def held(lock: Lock, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold a lock for a block."""
    lock.acquire(waiting)
    try:
        yield
    finally:
        lock.release()
