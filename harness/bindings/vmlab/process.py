"""Processes that outlive the one that started them, known by their id and start time so that none is mistaken."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.bindings.vmlab.errors import LabError
from harness.bindings.vmlab.preflight import find_program

END_TIMEOUT_S = 10.0
"""How long a killed process may take to go; a kernel that needs longer is in trouble."""

ENDED = frozenset({"Z", "X"})
"""States of a process whose first thread has ended: zombie, dead (proc(5))."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its id, and its start in clock ticks since boot (field 22 of /proc/<pid>/stat, proc(5)).

    Ids are used again after a while; with the start time the pair is unique until the next boot, so `boot`
    (the kernel's boot id) makes it unique for good.
    """

    pid: int
    start: int
    boot: str

    @classmethod
    def current(cls) -> Process:
        """Return this process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Process:
        """Return a process that runs now; raise LabError when there is none with this id."""
        found = _stat(pid)
        if found is None:
            raise LabError(f"there is no process {pid}")
        return cls(pid, found[1], boot_id())

    def alive(self) -> bool:
        """Return whether this very process still runs; one that ended and was not waited for does not."""
        return self._state() not in {None, *ENDED}

    def kill(self) -> bool:
        """End it by SIGKILL and wait until it is gone; return whether it was alive.

        One that has ended is waited for too: while threads of it are on their way out, it still has its files and
        listens on its ports.

        Raises LabError when it does not go within END_TIMEOUT_S or is not ours.
        """
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # Asked after the handle was taken, which stays with the process although its id may go to another.
            state = self._state()
            if state is None:
                return False
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            if not select.select([handle], [], [], END_TIMEOUT_S)[0]:
                raise LabError(f"process {self.pid} does not end after SIGKILL within {END_TIMEOUT_S:.0f} s")
        except PermissionError as error:
            raise LabError(f"process {self.pid} belongs to somebody else") from error
        finally:
            os.close(handle)
        self.reap()
        return state not in ENDED

    def reap(self) -> None:
        """Collect the exit status when it is our child."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)

    def _state(self) -> str | None:
        """Return the state of this very process, as in proc(5): "Z" once its first thread has ended; None: no more."""
        found = _stat(self.pid)
        known = found is not None and found[1] == self.start and boot_id() == self.boot
        return found[0] if found is not None and known else None


def spawn(command: Sequence[str], log: Path) -> Process:
    """Start a program in a session of its own, its output in a file, its input closed.

    Raises LabError when the program is not there.
    """
    program = find_program(command[0])
    if program is None:
        raise LabError(f"there is no program {command[0]}")
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    pid = os.posix_spawn(program, list(command), os.environ, file_actions=actions, setsid=True)
    return Process.of(pid)


def boot_id() -> str:
    """Return the id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _stat(pid: int) -> tuple[str, int] | None:
    """Return state and start time of a process, None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in parentheses, may hold anything; the fields start after the last one.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])
