"""Start one guest: restored from the snapshot when there is one, booted otherwise."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from harness.bindings.vmlab.control import Control
from harness.bindings.vmlab.errors import LabError
from harness.bindings.vmlab.image import Image
from harness.bindings.vmlab.machine import (
    QEMU,
    Accel,
    Backends,
    backend_options,
    machine_options,
    memory_options,
    plain_memory,
)
from harness.bindings.vmlab.plan import MAX_LINKS
from harness.bindings.vmlab.ports import is_free
from harness.bindings.vmlab.process import Process, spawn
from harness.bindings.vmlab.qmp import Qmp

BOOT_TIMEOUT_S = 180.0
"""9 s on an idle machine; a busy one with many guests takes longer."""

RESTORE_TIMEOUT_S = 60.0
"""Less than a second on an idle machine."""

SSH_TIMEOUT_S = 60.0
LOG_TAIL_BYTES = 2000

LAST_LINES = 3
"""Lines of a log that an error message repeats."""


Note = Callable[[Process], None]
"""Told a process the moment it runs, so that it can be ended whatever happens next."""

Say = Callable[[str], None]
"""Told lines for people."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Memory and device state of a booted guest that is no node yet."""

    folder: Path

    @property
    def memory(self) -> Path:
        """The guest's memory; guests map it privately and share what they do not change."""
        return self.folder / "memory"

    @property
    def state(self) -> Path:
        """The rest: processor and devices, in QEMU's migration format."""
        return self.folder / "state"

    def discard(self) -> None:
        """Remove it, so that the next lab makes a new one; guests that use it keep what they have open."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def size_bytes(self) -> int:
        """Return the bytes it takes on disk (the memory has holes)."""
        return sum(path.stat().st_blocks * 512 for path in (self.memory, self.state))


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts guests of one image in one way."""

    image: Image
    accel: Accel
    snapshot: Snapshot | None

    def start(self, backends: Backends, note: Note, say: Say, wanted: Callable[[], bool]) -> Process:
        """Start QEMU for a guest that then runs, but is no node yet.

        A snapshot that does not restore is discarded and said so; the guest is booted then, while it is
        `wanted`.

        Raises:
            LabError: QEMU does not start.
        """
        if self.snapshot is not None:
            try:
                return self._restore(backends, self.snapshot, note)
            except LabError as error:
                if not wanted() or not is_free(backends.ssh_port):
                    raise
                say(f"{backends.node}: the snapshot does not restore, so the guest is booted: {error}")
                self.snapshot.discard()
        return self.boot(backends, plain_memory(), note)

    def boot(self, backends: Backends, memory: list[str], note: Note) -> Process:
        """Start QEMU from the kernel on."""
        process = self._spawn(backends, [*memory], note)
        with Qmp(backends.qmp, process.alive):
            return process

    def _restore(self, backends: Backends, snapshot: Snapshot, note: Note) -> Process:
        options = [*memory_options(snapshot.memory, shared=False), "-incoming", "defer"]
        process = self._spawn(backends, options, note)
        try:
            with Qmp(backends.qmp, process.alive) as qmp:
                qmp.execute("migrate-set-capabilities", capabilities=[IGNORE_SHARED])
                qmp.execute("migrate-incoming", uri=f"exec:cat {quote(str(snapshot.state))}")
                qmp.wait_migration(RESTORE_TIMEOUT_S)
                qmp.execute("cont")
                qmp.wait_status("running", RESTORE_TIMEOUT_S)
        except BaseException:
            process.kill()
            raise
        return process

    def _spawn(self, backends: Backends, options: list[str], note: Note) -> Process:
        for path in (backends.qmp, backends.control):
            path.unlink(missing_ok=True)
        command = [QEMU, *machine_options(self.image, self.accel), *options, *backend_options(backends)]
        backends.qemu_log.write_text("")
        process = spawn(command, backends.qemu_log)
        note(process)
        return process


IGNORE_SHARED = {"capability": "x-ignore-shared", "state": True}
"""Memory that a file backs is not copied into the state: the file is the snapshot (QEMU's live templates)."""


def make_node(backends: Backends, process: Process, script: Callable[[], str], *, timeout_s: float) -> str:
    """Wait for a guest, run its identity script and wait for its sshd; return what the script said.

    The script is asked for when the guest is ready, since it holds the time.

    Raises:
        LabError: the guest does not answer, or the script failed.
    """
    control = Control(backends.control, process.alive)
    try:
        control.wait_ready(timeout_s)
        said = control.run(script())
    finally:
        control.close()
    wait_for_ssh(backends.ssh_port, process.alive)
    return said


def wait_for_ssh(port: int, alive: Callable[[], bool], timeout_s: float = SSH_TIMEOUT_S) -> None:
    """Wait until an sshd introduces itself on a loopback port."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not alive():
            raise LabError("its QEMU ended")
        if ssh_answers(port, min(5.0, max(deadline - time.monotonic(), 0.1))):
            return
        time.sleep(0.05)
    raise LabError(f"no sshd answers on 127.0.0.1:{port} within {timeout_s:.0f} s")


def ssh_answers(port: int, timeout_s: float) -> bool:
    """Return whether an sshd introduces itself within a time."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as client:
            client.settimeout(timeout_s)
            return client.recv(64).startswith(b"SSH-")
    except OSError:
        return False


def last_words(backends: Backends) -> str:
    """Return what QEMU and the guest said last, for an error message."""
    qemu = [line for line in tail(backends.qemu_log, LAST_LINES + MAX_LINKS) if not _is_usual(line)]
    said = {"QEMU said": qemu[-LAST_LINES:], "its console says": tail(backends.console, LAST_LINES)}
    return "".join(f"; {who}: {' / '.join(lines)}" for who, lines in said.items() if lines)


def _is_usual(line: str) -> bool:
    """QEMU warns of each data NIC that no link of the topology uses."""
    return "warning: hub" in line and "is not connected" in line


def tail(path: Path, lines: int) -> list[str]:
    """Return the last lines of a log, none when there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - LOG_TAIL_BYTES - 200 * lines, 0))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line.strip("\r\n") for line in text.splitlines() if line.strip()][-lines:]
