"""A command on this machine."""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from harness.core.errors import CommandFailed, NoProgress, shown
from harness.transport.conversation import Conversation
from harness.transport.shell import check_arguments

CHUNK_BYTES = 64 << 10

SILENCE_S = 10.0
"""How long a command may leave its stdin unread while `write` waits for room."""

FULL_PAUSE_S = 0.05
"""How long the reader rests before it looks again whether somebody took what fills the buffer."""

SPAWNING = threading.Lock()
"""Held while a command starts, and by who writes a file that may be run.

A command on its way to exec has what was open for writing when it was forked; a program that is still open for writing
somewhere cannot be run (ETXTBSY, execve(2)).
"""


class LocalProcess(Conversation):
    """A command in a session of its own, and a thread that reads it; implements `RemoteProcess`."""

    feed_poll_s = 0.02

    def __init__(self, argv: Sequence[str], host: str) -> None:
        check_arguments(argv)
        super().__init__(host, shown(" ".join(argv)))
        self._child = _spawn(argv, host, self.what)
        self._stdin = cast("IO[bytes]", self._child.stdin)
        os.set_blocking(self._stdin.fileno(), False)
        self._writing = threading.Lock()
        self._silent = False
        self._reader = threading.Thread(target=self._read, name=f"local {self._child.pid}", daemon=True)
        self._reader.start()

    # --- RemoteProcess -----------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes to its stdin; see RemoteProcess."""
        left = memoryview(data)
        while left:
            with self._writing:
                taken = self._send(left)
                if taken is None:
                    break
                left = left[taken:]
                if left and not select.select([], [self._stdin], [], SILENCE_S)[1]:
                    raise NoProgress(f"{self.what} takes no input", host=self.host)
        if left:
            self.wait(SILENCE_S)
            raise self.has_ended()

    def close_stdin(self) -> None:
        """Send the end of stdin."""
        with self._writing, suppress(OSError):
            self._stdin.close()

    def kill(self) -> None:
        """End it and its children."""
        if not self.over or not self._silent:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
        self.close_stdin()
        self._child.wait()

    # --- Conversation --------------------------------------------------------------------------------------

    def pull(self) -> None:
        """Do nothing: a thread reads."""

    def feed(self, data: memoryview) -> memoryview:
        """Send as much input as the pipe has room for; see Conversation."""
        with self._writing:
            while data:
                taken = self._send(data)
                if taken is None:
                    return data[:0]
                if not taken:
                    break
                data = data[taken:]
        return data

    @property
    def silent(self) -> bool:
        """Whether both streams have ended and were read."""
        return self._silent

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._child.returncode is not None

    def exit_code(self) -> int:
        """Return how it ended."""
        return cast("int", self._child.returncode)

    # --- reading and writing ---------------------------------------------------------------------------------

    def _send(self, data: memoryview) -> int | None:
        """Write what there is room for; None when it reads no more."""
        try:
            return os.write(self._stdin.fileno(), data[:CHUNK_BYTES])
        except BlockingIOError:
            return 0
        except (OSError, ValueError):  # broken pipe; closed
            return None

    def _read(self) -> None:
        """Read until both streams and the command have ended; the thread of this object."""
        ends = os.pidfd_open(self._child.pid)
        with selectors.DefaultSelector() as sources:
            for source in (ends, self._child.stdout, self._child.stderr):
                sources.register(cast("IO[bytes] | int", source), selectors.EVENT_READ)
            while sources.get_map():
                while self.full and not self.over:
                    time.sleep(FULL_PAUSE_S)
                    self._child.poll()
                # its last words before its end: who waits for that wants to know them
                ready = [key for key, _ in sources.select()]
                for key in sorted(ready, key=lambda key: key.fileobj is ends):
                    if not self._take(cast("IO[bytes] | int", key.fileobj)):
                        sources.unregister(key.fileobj)
                self._silent = all(key.fileobj is ends for key in sources.get_map().values())
                self.changes.set()
        os.close(ends)
        for stream in (self._child.stdout, self._child.stderr):
            cast("IO[bytes]", stream).close()

    def _take(self, source: IO[bytes] | int) -> bool:
        """Read from one source; False when it has ended."""
        if isinstance(source, int):
            self._child.wait()
            return False
        data = os.read(source.fileno(), CHUNK_BYTES)
        if data:
            self._add(*((data, b"") if source is self._child.stdout else (b"", data)))
        return bool(data)


def _spawn(argv: Sequence[str], host: str, what: str) -> subprocess.Popen[bytes]:
    try:
        with SPAWNING:
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=Path.home(),
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
            )
    except OSError as error:
        # 127 and 126 are what a shell returns for a program that is absent, or that cannot be run.
        code = 127 if isinstance(error, FileNotFoundError) else 126
        said = (error.strerror or str(error)).lower()
        raise CommandFailed(f"{what} failed", host=host, exit_code=code, detail=said) from None
