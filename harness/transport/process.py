"""A command on a channel of an SSH connection."""

from __future__ import annotations

import threading
from collections.abc import Callable

from paramiko import Channel, SSHException

from harness.core.errors import ConnectionLost, NoProgress
from harness.transport.connection import Connection, end_is_known
from harness.transport.conversation import Conversation

KILL_PAUSES_S = (0.1, 0.3, 1.0)
"""How long a killed command may take to be reported dead, before it is killed again."""

CHUNK_BYTES = 32 << 10
"""One read of a channel: paramiko's largest packet."""


class SshProcess(Conversation):
    """A command that runs on a host; implements `harness.transport.remote.RemoteProcess`.

    No thread is spent on it: whoever waits pulls stdout and stderr both, so neither can fill the window that they
    share and stop the other.
    """

    def __init__(
        self, connection: Connection, channel: Channel, *, host: str, what: str, kill: Callable[[], None]
    ) -> None:
        super().__init__(host, what)
        self._connection = connection
        self._channel = channel
        self._kill = kill
        self._pulling = threading.Lock()
        # Told of all that changes: data and ends of streams here, room to send and the exit by connection.py.
        channel.wake = self.changes  # type: ignore[attr-defined]
        for pipe in (channel.in_buffer, channel.in_stderr_buffer):
            pipe.set_event(self.changes)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        """Send bytes to its stdin; see RemoteProcess."""
        try:
            self._channel.sendall(data)
        except TimeoutError:
            raise NoProgress(f"{self.what} takes no input", host=self.host) from None
        except (OSError, EOFError, SSHException):
            raise self.has_ended() from None

    def close_stdin(self) -> None:
        """Send the end of stdin."""
        try:
            self._channel.shutdown_write()
        except (OSError, EOFError, SSHException):
            return  # ended or lost: then its stdin is closed as well

    def kill(self) -> None:
        """End it and its children."""
        for patience in KILL_PAUSES_S:  # a command that was started this moment may not carry its mark yet
            if self.over:
                break
            self._kill()
            self._channel.status_event.wait(patience)
        self._channel.close()

    def feed(self, data: memoryview) -> memoryview:
        """Send as much input as the channel's window has room for; see Conversation."""
        while data and self._channel.send_ready():
            try:
                data = data[self._channel.send(bytes(data[:CHUNK_BYTES])) :]
            except (OSError, EOFError, SSHException):
                return data[:0]  # how it ended is seen where that is waited for
        return data

    def pull(self) -> None:
        """Move what arrived from paramiko's buffers to ours, which opens the window again."""
        channel = self._channel
        with self._pulling:
            while channel.recv_stderr_ready():
                self._add(b"", channel.recv_stderr(CHUNK_BYTES))
            while channel.recv_ready() and not self.full:
                self._add(channel.recv(CHUNK_BYTES), b"")

    @property
    def silent(self) -> bool:
        """Whether both streams have ended and were pulled."""
        channel = self._channel
        ended = bool(channel.eof_received or channel.closed)
        return ended and not (channel.recv_ready() or channel.recv_stderr_ready())

    @property
    def over(self) -> bool:
        """Whether the host told how it ended, or will not any more."""
        return bool(self._channel.exit_status_ready())

    def exit_code(self) -> int:
        """Return how it ended; raise ConnectionLost when nobody knows."""
        if end_is_known(self._channel):
            return self._channel.exit_status
        if self._connection.is_active():
            raise ConnectionLost(f"{self.what} was cut off without an exit code", host=self.host)
        raise ConnectionLost(f"lost during {self.what}: {self._connection.why_lost()}", host=self.host)

    def _end(self) -> bytes:
        """Raise ConnectionLost where stdout did not end but break."""
        if not self._connection.is_active() and not end_is_known(self._channel):
            self.exit_code()
        return b""
