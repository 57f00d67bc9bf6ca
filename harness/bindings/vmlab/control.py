"""The controller's way into a guest without SSH: scripts over its second serial port, one round trip each."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path

from harness.bindings.vmlab.errors import LabError
from harness.bindings.vmlab.qmp import connect_unix

CHUNK = 4096
ASK_AGAIN_S = 2.0
"""A guest that is still booting loses what it was sent; the question is put again after this long."""


class Control:
    """Runs scripts as root in one guest; only one Control at a time may be open on a guest."""

    def __init__(self, path: Path, alive: Callable[[], bool]) -> None:
        self._alive = alive
        self._socket = connect_unix(path, alive, 10.0, "QEMU")
        self._pending = b""

    def close(self) -> None:
        """Leave the guest alone."""
        self._socket.close()

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the guest answers; raise LabError when it does not, or its QEMU ends."""
        deadline = time.monotonic() + timeout_s
        marker = f"ready-{time.monotonic_ns()}"
        while time.monotonic() < deadline:
            if not self._alive():
                raise LabError("its QEMU ended")
            self._send(f"echo {marker}")
            if self._await(marker, min(ASK_AGAIN_S, deadline - time.monotonic())):
                return
        raise LabError(f"it does not answer on its serial port within {timeout_s:.0f} s")

    def run(self, script: str, *, timeout_s: float = 30.0) -> str:
        """Run a shell script and return what it said; raise LabError when it fails or takes too long."""
        marker = f"answer-{time.monotonic_ns()}"
        self._send(f"echo {marker}\n{script}")
        answer = self._await(marker, timeout_s)
        if answer is None:
            raise LabError(f"no answer on its serial port within {timeout_s:.0f} s")
        code, said = answer
        if code != 0:
            raise LabError(f"a script failed with exit code {code}: {' / '.join(said.splitlines()[-3:])}")
        return said

    def _send(self, script: str) -> None:
        try:
            # The newline before ends whatever an earlier connection left unfinished.
            self._socket.sendall(b"\n" + base64.b64encode(script.encode()) + b"\n")
        except OSError as error:
            raise LabError(f"its serial port is gone: {error}") from error

    def _await(self, marker: str, timeout_s: float) -> tuple[int, str] | None:
        """Return code and text of the answer that starts with a marker; others are left-overs."""
        deadline = time.monotonic() + timeout_s
        while (line := self._line(deadline)) is not None:
            code, _, encoded = line.strip().partition(b" ")
            first, _, said = _decoded(encoded).partition("\n")
            if first == marker and code.isdigit():
                return int(code), said
        return None

    def _line(self, deadline: float) -> bytes | None:
        while b"\n" not in self._pending:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._socket.recv(CHUNK)
            except TimeoutError:
                return None
            except OSError as error:
                raise LabError(f"its serial port is gone: {error}") from error
            if not data:
                raise LabError("its serial port is closed: QEMU ended")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line


def _decoded(encoded: bytes) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode(errors="replace")
    except ValueError:
        return ""
