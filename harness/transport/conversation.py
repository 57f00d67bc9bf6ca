"""What all running commands have in common: lines that arrive, an end that comes, somebody who waits for either."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod

from harness.core.errors import CommandFailed, CommandTimeout, NoProgress
from harness.transport.remote import MAX_OUTPUT_BYTES, STDERR_TAIL_BYTES, Completed


class Changes:
    """Counts whatever changes, so that no change is missed between looking and waiting.

    An Event would not do: two threads may wait, and the one that clears it takes the wake-up of the other. It has
    the methods of an Event that paramiko calls.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.count = 0

    def set(self) -> None:
        """Something changed."""
        with self._condition:
            self.count += 1
            self._condition.notify_all()

    def clear(self) -> None:
        """Do nothing: what changed has changed."""

    def wait(self, since: int, timeout_s: float) -> bool:
        """Wait until something has changed since `count` was `since`; False when nothing does in time."""
        with self._condition:
            return self._condition.wait_for(lambda: self.count != since, max(timeout_s, 0.0))


class Conversation(ABC):
    """A command that runs; the common part of every `RemoteProcess`.

    Threads may share it. Its kinds say how bytes come (`pull`), go (`feed`), and how the end is known.
    """

    feed_poll_s: float = float("inf")
    """How often `feed` is worth another try, where a change tells nothing of room to send."""

    def __init__(self, host: str, what: str) -> None:
        self.host = host
        self.what = what
        self.changes = Changes()
        self.heard = time.monotonic()
        self._buffers = threading.Lock()
        self._stdout = bytearray()
        self._scanned = 0
        self._stderr = bytearray()

    # --- what each kind does its own way -------------------------------------------------------------------

    @abstractmethod
    def pull(self) -> None:
        """Take what has arrived, without waiting."""

    @abstractmethod
    def feed(self, data: memoryview) -> memoryview:
        """Send as much input as there is room for, without waiting; return what is left (nothing: it reads no more)."""

    @abstractmethod
    def close_stdin(self) -> None:
        """Send the end of stdin."""

    @abstractmethod
    def kill(self) -> None:
        """End it and its children."""

    @property
    @abstractmethod
    def silent(self) -> bool:
        """Whether both its streams have ended and nothing of them waits to be pulled."""

    @property
    @abstractmethod
    def over(self) -> bool:
        """Whether it has ended, or nobody will ever know."""

    @abstractmethod
    def exit_code(self) -> int:
        """Return how it ended, once it is over; raise ConnectionLost when nobody knows."""

    # --- RemoteProcess ---------------------------------------------------------------------------------------

    def readline(self, timeout_s: float) -> bytes:
        """Return the next line of stdout; see RemoteProcess."""
        deadline = time.monotonic() + timeout_s
        while True:
            since = self.changes.count
            self.pull()
            line = self._take_line()
            if line is not None:
                return line or self._end()
            if not self.changes.wait(since, deadline - time.monotonic()):
                raise NoProgress(f"{self.what} said nothing for {timeout_s:g} s", host=self.host)

    def stderr_tail(self) -> str:
        """Return the end of what it wrote to stderr."""
        self.pull()
        with self._buffers:
            return self._stderr.decode(errors="replace")

    def wait(self, timeout_s: float) -> int:
        """Return its exit code; see RemoteProcess."""
        deadline = time.monotonic() + timeout_s
        while True:
            since = self.changes.count
            self.pull()
            if self.over:
                return self.exit_code()
            if not self.changes.wait(since, deadline - time.monotonic()):
                raise CommandTimeout(f"{self.what} still runs after {timeout_s:g} s", host=self.host)

    # --- buffers ---------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether as much of stdout waits to be taken as is ever kept."""
        return len(self._stdout) >= MAX_OUTPUT_BYTES

    def output(self) -> bytes:
        """Return all of stdout that was not taken as lines."""
        with self._buffers:
            return bytes(self._stdout)

    def _add(self, stdout: bytes, stderr: bytes) -> None:
        """Keep what arrived, and wake who waits for it in another thread."""
        with self._buffers:
            self._stdout += stdout
            self._stderr += stderr
            del self._stderr[:-STDERR_TAIL_BYTES]
        self.heard = time.monotonic()
        self.changes.set()

    def _take_line(self) -> bytes | None:
        """Return the next whole line, the rest at the end of the stream (b"": nothing), None while it is not there."""
        ended = self.silent  # asked first: what arrives later is not the rest
        with self._buffers:
            end = self._stdout.find(b"\n", self._scanned)
            if end < 0 and not ended:
                self._scanned = len(self._stdout)
                return None
            size = len(self._stdout) if end < 0 else end + 1
            line = bytes(self._stdout[:size])
            del self._stdout[:size]
            self._scanned = 0
            return line

    def _end(self) -> bytes:
        """Return the empty line at the end of stdout; a kind may raise that it is no real end."""
        return b""

    def has_ended(self) -> CommandFailed:
        """Return the error for input that comes too late."""
        said = last_lines(self.stderr_tail())
        return CommandFailed(
            f"{self.what} has ended", host=self.host, exit_code=self.exit_code(), detail=said
        )


# --- a command from start to end ---------------------------------------------------------------------------------


def finish(
    process: Conversation, stdin: bytes, *, timeout_s: float, silence_s: float | None, check: bool
) -> Completed:
    """Bring a command to its end; see `Remote.run` for what that raises."""
    try:
        _follow(process, memoryview(stdin), timeout_s, silence_s)
        code, stdout, stderr = process.exit_code(), process.output(), process.stderr_tail()
    except BaseException:
        process.kill()
        raise
    done = Completed(code, stdout.decode(errors="replace"), stderr)
    if check and code:
        said = last_lines(done.stderr or done.stdout)
        raise CommandFailed(f"{process.what} failed", host=process.host, exit_code=code, detail=said)
    return done


def _follow(process: Conversation, left: memoryview, timeout_s: float, silence_s: float | None) -> None:
    """Feed and read a command until it is over and silent."""
    deadline = time.monotonic() + timeout_s
    feeding = True
    while True:
        since = process.changes.count
        if feeding:
            left = process.feed(left)
            feeding = bool(left)
            if not feeding:
                process.close_stdin()
        process.pull()
        if process.silent and process.over:
            return
        _check_patience(process, deadline, timeout_s, silence_s)
        heard = deadline if silence_s is None else process.heard + silence_s
        wake = min(deadline, heard) - time.monotonic()
        process.changes.wait(since, min(wake, process.feed_poll_s) if feeding else wake)


def _check_patience(
    process: Conversation, deadline: float, timeout_s: float, silence_s: float | None
) -> None:
    """Raise when the command takes too long, says nothing for too long, or says too much."""
    now = time.monotonic()
    if process.full:
        limit = f"{MAX_OUTPUT_BYTES / (1 << 20):g} MiB"
        raise CommandFailed(f"{process.what} said more than {limit}", host=process.host, exit_code=-9)
    if now >= deadline:
        text = f"{process.what} still ran after {timeout_s:g} s{_last_words(process)}"
        raise CommandTimeout(text, host=process.host)
    if silence_s is not None and now >= process.heard + silence_s:
        text = f"{process.what} said nothing for {silence_s:g} s{_last_words(process)}"
        raise NoProgress(text, host=process.host)


def _last_words(process: Conversation) -> str:
    said = last_lines(process.stderr_tail())
    return f"; it said last: {said}" if said else ""


def last_lines(text: str, count: int = 3) -> str:
    """Return the last lines of what a command said, for a message."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-count:])
