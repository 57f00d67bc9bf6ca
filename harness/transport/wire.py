"""The bytes under an SSH connection: a socket that is read ahead, and packets whose keep-alives must be answered."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from paramiko import Channel
from paramiko.packet import Packetizer

IDLE_WAKE_S = 0.5
"""How long the thread of a connection sleeps when nothing arrives: the grain of keep-alives."""

READ_AHEAD_BYTES = 64 << 10
"""One read of the socket; paramiko asks for 16 bytes at a time."""

TCP_UNACKNOWLEDGED_MS = 6000
"""TCP_USER_TIMEOUT: sent data that no acknowledgement confirms for so long ends the connection."""


QUICK_ACKNOWLEDGE: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Only Linux has it, and forgets it after a while."""


class Wire:
    """A TCP socket, or a channel of a jump host, under an SSH connection.

    It reads ahead, counts the keep-alives that were sent since it was last heard, and wakes its reader when it is
    closed.
    """

    def __init__(self, link: socket.socket | Channel) -> None:
        self.link = link
        self.unanswered = 0
        self._ahead = b""
        self._at = 0
        self._closed = False  # the name that paramiko looks at
        self._socket = link if isinstance(link, socket.socket) else None

    def recv(self, size: int) -> bytes:
        """Return 1 to `size` bytes, b"" at the end; raise TimeoutError when none come in time."""
        if self._at >= len(self._ahead):
            self._ahead = self._read()
            self._at = 0
        part = self._ahead[self._at : self._at + size]
        self._at += len(part)
        return part

    def _read(self) -> bytes:
        if self._socket is not None and QUICK_ACKNOWLEDGE is not None:
            # sshd leaves Nagle's algorithm on: its second small packet waits for our acknowledgement of the first,
            # which would be delayed by 40 ms.
            self._socket.setsockopt(socket.IPPROTO_TCP, QUICK_ACKNOWLEDGE, 1)
        try:
            data = self.link.recv(READ_AHEAD_BYTES)
        except TimeoutError as error:
            if error.errno == errno.ETIMEDOUT:  # the kernel gave up; paramiko would take it for "nothing yet"
                raise ConnectionAbortedError(
                    errno.ECONNABORTED, f"nothing acknowledged for {TCP_UNACKNOWLEDGED_MS / 1000:g} s"
                ) from None
            raise
        self.unanswered = 0
        return data

    def send(self, data: bytes) -> int:
        """Send a part of the data and return how much; raise TimeoutError when none goes in time."""
        return self.link.send(data)

    def settimeout(self, seconds: float) -> None:
        """Bound both `recv` and `send`."""
        self.link.settimeout(seconds)

    def getpeername(self) -> Any:
        """Return the address of the other end."""
        return self.link.getpeername()

    def close(self) -> None:
        """Close; a thread that waits in `recv` sees the end."""
        self._closed = True
        if self._socket is not None:
            with suppress(OSError):  # not connected any more
                self._socket.shutdown(socket.SHUT_RDWR)  # close() alone leaves a reader asleep
        self.link.close()


class ThriftyPacketizer(Packetizer):
    """paramiko's packets with a deadline for the handshake and keep-alives that must be answered."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(cast("socket.socket", wire))
        self._wire = wire
        self._handshake_deadline: float | None = None
        self._interval_s = 0.0
        self._max_unanswered = 0
        self._probe: Callable[[], bool] = lambda: False
        self._next_probe = 0.0

    def watch(self, interval_s: float, max_unanswered: int, probe: Callable[[], bool]) -> None:
        """Call `probe` in each silent interval; give up when `max_unanswered` of them got no answer."""
        self._interval_s, self._max_unanswered, self._probe = interval_s, max_unanswered, probe
        self._next_probe = time.monotonic() + interval_s

    def start_handshake(self, timeout: float) -> None:
        """Note the deadline, where paramiko starts a thread."""
        if self._handshake_deadline is None:
            self._handshake_deadline = time.monotonic() + timeout

    def handshake_timed_out(self) -> bool:
        """Say whether the deadline has passed."""
        return self._handshake_deadline is not None and time.monotonic() > self._handshake_deadline

    def complete_handshake(self) -> None:
        """End the deadline, for good."""
        self._handshake_deadline = float("inf")

    def write_all(self, out: Any) -> None:
        """Send it all; raise EOFError when the connection is closed or the peer takes nothing any more."""
        stalls = 0
        left = bytes(out)
        while left:
            try:
                sent = self._wire.send(left)
            except TimeoutError:
                stalls += 1
                self._check_stall(stalls)
                continue
            except OSError as error:
                raise EOFError(str(error)) from None
            if sent == 0:
                raise EOFError
            left = left[sent:]

    def _check_stall(self, stalls: int) -> None:
        limit = self._interval_s * self._max_unanswered
        if self.closed or (limit and stalls * IDLE_WAKE_S >= limit):
            raise EOFError("the peer takes no data")

    def _check_keepalive(self) -> None:
        """Called by paramiko's reader whenever nothing arrived for `IDLE_WAKE_S`."""
        now = time.monotonic()
        if not self._interval_s or now < self._next_probe:
            return
        if self._wire.unanswered >= self._max_unanswered:
            silence = self._interval_s * self._max_unanswered
            raise TimeoutError(errno.ETIMEDOUT, f"no answer to keep-alives for {silence:g} s")
        # On schedule, though the reader only looks now and then; not in a burst after a pause of this machine.
        self._next_probe = max(self._next_probe + self._interval_s, now + self._interval_s / 2)
        if self._probe():
            self._wire.unanswered += 1
