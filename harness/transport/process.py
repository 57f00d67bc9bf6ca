"""A command on a channel of an SSH connection: its lines, its end, its death."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from paramiko import Channel, SSHException

from harness.core.errors import CommandFailed, CommandTimeout, ConnectionLost, NoProgress
from harness.transport.connection import Connection, end_is_known
from harness.transport.remote import MAX_OUTPUT_BYTES, STDERR_TAIL_BYTES

KILL_PAUSES_S = (0.1, 0.3, 1.0)
"""How long a killed command may take to be reported dead, before it is killed again."""

CHUNK_BYTES = 32 << 10
"""One read of a channel: paramiko's largest packet."""


class SshProcess:
    """A command that runs on a host; implements `harness.transport.remote.RemoteProcess`.

    No thread is spent on it: whoever waits reads stdout and stderr both, so neither can fill the window that they
    share and stop the other.
    """

    def __init__(
        self, connection: Connection, channel: Channel, *, host: str, what: str, kill: Callable[[], None]
    ) -> None:
        self.host = host
        self.what = what
        self._connection = connection
        self._channel = channel
        self._kill = kill
        self._reading = threading.Lock()
        self._stdout = bytearray()
        self._scanned = 0
        self._stderr = bytearray()
        self.heard = time.monotonic()
        # Set on whatever changes: data, room to send, exit status (connection.py), end of either stream.
        self._wake = threading.Event()
        channel.wake = self._wake  # type: ignore[attr-defined]
        for pipe in (channel.in_buffer, channel.in_stderr_buffer):
            pipe.set_event(self._wake)

    # --- RemoteProcess ---------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes to its stdin; see RemoteProcess."""
        try:
            self._channel.sendall(data)
        except TimeoutError:
            raise NoProgress(f"{self.what} takes no input", host=self.host) from None
        except (OSError, EOFError, SSHException):
            self._check_connection()
            code, said = self._channel.exit_status, self.stderr_tail()
            raise CommandFailed(
                f"{self.what} has ended", host=self.host, exit_code=code, detail=last_lines(said)
            ) from None

    def close_stdin(self) -> None:
        """Send the end of stdin."""
        try:
            self._channel.shutdown_write()
        except (OSError, EOFError, SSHException):
            return  # ended or lost: then its stdin is closed as well

    def readline(self, timeout_s: float) -> bytes:
        """Return the next line of stdout; see RemoteProcess."""
        deadline = time.monotonic() + timeout_s
        while (line := self._take_line()) is None:
            if not self.step(deadline - time.monotonic()):
                raise NoProgress(f"{self.what} said nothing for {timeout_s:g} s", host=self.host)
        if not line:
            self._check_connection()
        return line

    def stderr_tail(self) -> str:
        """Return the end of what it wrote to stderr."""
        self._read_what_is_there()
        return self._stderr.decode(errors="replace")

    def wait(self, timeout_s: float) -> int:
        """Return its exit code; see RemoteProcess."""
        deadline = time.monotonic() + timeout_s
        while not self._channel.exit_status_ready():
            if not self.step(deadline - time.monotonic()):
                raise CommandTimeout(f"{self.what} still runs after {timeout_s:g} s", host=self.host)
        return self.exit_code()

    def kill(self) -> None:
        """End it and its children."""
        for patience in KILL_PAUSES_S:  # a command that was started this moment may not carry its mark yet
            if self._channel.exit_status_ready():
                break
            self._kill()
            self._channel.status_event.wait(patience)
        self._channel.close()

    # --- for SshRemote.run ------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether it ended and everything that it said was read."""
        return self._at_end() and self._channel.exit_status_ready()

    def step(self, timeout_s: float) -> bool:
        """Wait for something to change; False when nothing did. What arrived is read."""
        self._wake.clear()
        if self._read_what_is_there():
            return True
        if self._at_end() and self._channel.exit_status_ready():
            return True
        return timeout_s > 0 and self._wake.wait(timeout_s)

    def feed(self, data: memoryview) -> memoryview:
        """Send as much input as it has room for, without waiting; return what is left."""
        while data and self._channel.send_ready():
            try:
                data = data[self._channel.send(bytes(data[:CHUNK_BYTES])) :]
            except (OSError, EOFError, SSHException):
                return data[:0]  # it reads no more; how it ended is seen where it is waited for
        return data

    def output(self) -> bytes:
        """Return all of stdout that was read and not taken as lines."""
        return bytes(self._stdout)

    @property
    def full(self) -> bool:
        """Whether as much of stdout waits to be taken as is ever kept."""
        return len(self._stdout) >= MAX_OUTPUT_BYTES

    def exit_code(self) -> int:
        """Return how it ended; raise ConnectionLost when nobody knows."""
        self._check_connection()
        return self._channel.exit_status

    # --- reading -----------------------------------------------------------------------------------------

    def _read_what_is_there(self) -> bool:
        """Move what arrived from paramiko's buffers to ours, which opens the window again; False for nothing."""
        with self._reading:
            found = False
            while self._channel.recv_stderr_ready():
                self._stderr += self._channel.recv_stderr(CHUNK_BYTES)
                del self._stderr[:-STDERR_TAIL_BYTES]
                found = True
            while self._channel.recv_ready() and not self.full:
                self._stdout += self._channel.recv(CHUNK_BYTES)
                found = True
            if found:
                self.heard = time.monotonic()
            return found

    def _take_line(self) -> bytes | None:
        """Return the next whole line, the rest at the end of the stream (b"": nothing), None when it is not there."""
        with self._reading:
            end = self._stdout.find(b"\n", self._scanned)
            if end < 0 and not self._at_end():
                self._scanned = len(self._stdout)
                return None
            size = len(self._stdout) if end < 0 else end + 1
            line = bytes(self._stdout[:size])
            del self._stdout[:size]
            self._scanned = 0
            return line

    def _at_end(self) -> bool:
        channel = self._channel
        finished = bool(channel.eof_received or channel.closed)
        return finished and not (channel.recv_ready() or channel.recv_stderr_ready())

    def _check_connection(self) -> None:
        """Raise ConnectionLost when nobody knows how the command ended."""
        if end_is_known(self._channel):
            return
        if not self._connection.is_active():
            raise ConnectionLost(f"lost during {self.what}: {self._connection.why_lost()}", host=self.host)
        if self._channel.closed:
            raise ConnectionLost(f"{self.what} was cut off without an exit code", host=self.host)


class Talker(Protocol):
    """What the messages below need to know of a command, wherever it runs."""

    host: str
    what: str

    def stderr_tail(self) -> str:
        """Return the end of what it wrote to stderr."""


def too_late(
    process: Talker, timeout_s: float, silence_s: float | None, *, at_deadline: bool
) -> CommandTimeout | NoProgress:
    """Return the error for a command that is given up: because of its deadline, or because of its silence."""
    said = last_lines(process.stderr_tail())
    end = f"; it said last: {said}" if said else ""
    if at_deadline:
        return CommandTimeout(f"{process.what} still ran after {timeout_s:g} s{end}", host=process.host)
    return NoProgress(f"{process.what} said nothing for {silence_s:g} s{end}", host=process.host)


def too_much(process: Talker) -> CommandFailed:
    """Return the error for a command that is ended because its output has no end; -9, as it is killed."""
    limit = f"{MAX_OUTPUT_BYTES / (1 << 20):g} MiB"
    return CommandFailed(f"{process.what} said more than {limit}", host=process.host, exit_code=-9)


def last_lines(text: str, count: int = 3) -> str:
    """Return the last lines of what a command said, for a message."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-count:])
