"""QEMU's machine protocol: JSON lines over a unix socket (docs/interop/qmp-spec.txt of QEMU)."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.bindings.vmlab.errors import LabError

POLL_S = 0.02
"""Between looks at something that cannot be waited for."""

COMMAND_TIMEOUT_S = 30.0


class Qmp:
    """A session with one QEMU.

    Raises LabError when QEMU does not open the socket in time, ends (`alive` tells), or refuses a command.
    """

    def __init__(self, path: Path, alive: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
        self._socket = _connect(path, alive, timeout_s)
        self._socket.settimeout(COMMAND_TIMEOUT_S)
        self._lines = self._socket.makefile("rb")
        try:
            self._read()
            self.execute("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session; QEMU goes on."""
        self._lines.close()
        self._socket.close()

    def execute(self, command: str, **arguments: object) -> Any:
        """Run a command and return what it gives."""
        request: dict[str, object] = {"execute": command}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            return self._answer(command)
        except OSError as error:
            raise LabError(f"QEMU does not answer {command!r}: {error}") from error

    def wait_status(self, wanted: str, timeout_s: float) -> None:
        """Wait until the machine is in a state (`paused`, `running`)."""
        deadline = time.monotonic() + timeout_s
        while (status := self.execute("query-status")["status"]) != wanted:
            if time.monotonic() > deadline:
                raise LabError(f"QEMU is {status!r} and not {wanted!r} after {timeout_s:.0f} s")
            time.sleep(POLL_S)

    def wait_migration(self, timeout_s: float) -> None:
        """Wait until the state has been written or read whole."""
        deadline = time.monotonic() + timeout_s
        while (status := self.execute("query-migrate").get("status")) != "completed":
            if status in {"failed", "cancelled"}:
                raise LabError(f"QEMU's snapshot {status}")
            if time.monotonic() > deadline:
                raise LabError(f"QEMU's snapshot is not done ({status}) after {timeout_s:.0f} s")
            time.sleep(POLL_S)

    def _answer(self, command: str) -> Any:
        while True:
            message = self._read()
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise LabError(f"QEMU refuses {command!r}: {message['error'].get('desc')}")

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except TimeoutError as error:
            raise LabError(f"QEMU says nothing for {COMMAND_TIMEOUT_S:.0f} s") from error
        if not line:
            raise LabError("QEMU closed its control socket")
        message: dict[str, Any] = json.loads(line)
        return message


def _connect(path: Path, alive: Callable[[], bool], timeout_s: float) -> socket.socket:
    return connect_unix(path, alive, timeout_s, "QEMU")


def connect_unix(path: Path, alive: Callable[[], bool], timeout_s: float, what: str) -> socket.socket:
    """Connect to a unix socket that a process is about to open."""
    deadline = time.monotonic() + timeout_s
    while True:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            client.close()
            if not alive():
                raise LabError(f"{what} ended at its start") from error
            if time.monotonic() > deadline:
                raise LabError(f"{what} does not open {path.name} within {timeout_s:.0f} s") from error
            time.sleep(POLL_S)
        else:
            return client
