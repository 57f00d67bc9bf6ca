"""This machine, behind the same seam as the others: for tests, and for looking at a host from within."""

from __future__ import annotations

import hashlib
import os
import secrets
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from harness.core.errors import CommandFailed, CommandTimeout, NoProgress, TransportError, shown
from harness.transport.process import last_lines, too_late, too_much
from harness.transport.remote import COMMAND_TIMEOUT_S, MAX_OUTPUT_BYTES, STDERR_TAIL_BYTES, Completed
from harness.transport.shell import check_arguments
from harness.transport.transfer import deployed_name, refused

CHUNK_BYTES = 64 << 10

SILENCE_S = 10.0
"""How long a command may leave its stdin unread while `write` waits for room."""

POLL_S = 0.05
"""How often to look whether a command ended that has given its output to a child which lives on."""


class LocalProcess:
    """A command on this machine, in a session of its own; implements `RemoteProcess`."""

    def __init__(self, argv: Sequence[str], host: str) -> None:
        check_arguments(argv)
        self.host = host
        self.what = shown(" ".join(argv))
        self._reading = threading.Lock()
        self._stdout = bytearray()
        self._stderr = bytearray()
        self.heard = time.monotonic()
        self._child = _spawn(argv, host, self.what)
        self._stdin = cast("IO[bytes]", self._child.stdin)
        self._streams = selectors.DefaultSelector()
        for stream, buffer in ((self._child.stdout, self._stdout), (self._child.stderr, self._stderr)):
            self._streams.register(cast("IO[bytes]", stream), selectors.EVENT_READ, buffer)
        os.set_blocking(self._stdin.fileno(), False)

    # --- RemoteProcess ---------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes to its stdin; see RemoteProcess."""
        left = memoryview(data)
        deadline = time.monotonic() + SILENCE_S
        while left:
            taken = self.feed(left)
            if taken is None:
                code = self.wait(SILENCE_S)
                said = last_lines(self.stderr_tail())
                raise CommandFailed(f"{self.what} has ended", host=self.host, exit_code=code, detail=said)
            if taken:
                left, deadline = left[taken:], time.monotonic() + SILENCE_S
            elif time.monotonic() > deadline:
                raise NoProgress(f"{self.what} takes no input", host=self.host)
            else:
                self.step(POLL_S)

    def close_stdin(self) -> None:
        """Send the end of stdin."""
        with suppress(OSError):
            self._stdin.close()

    def readline(self, timeout_s: float) -> bytes:
        """Return the next line of stdout; see RemoteProcess."""
        deadline = time.monotonic() + timeout_s
        while (line := self._take_line()) is None:
            if not self.step(deadline - time.monotonic()):
                raise NoProgress(f"{self.what} said nothing for {timeout_s:g} s", host=self.host)
        return line

    def stderr_tail(self) -> str:
        """Return the end of what it wrote to stderr."""
        while self.step(0):
            pass
        return self._stderr.decode(errors="replace")

    def wait(self, timeout_s: float) -> int:
        """Return its exit code; see RemoteProcess."""
        deadline = time.monotonic() + timeout_s
        while self._child.poll() is None:
            rest = deadline - time.monotonic()
            if rest <= 0:
                raise CommandTimeout(f"{self.what} still runs after {timeout_s:g} s", host=self.host)
            if not self.at_end:
                self.step(min(rest, POLL_S))
            else:
                with suppress(subprocess.TimeoutExpired):
                    self._child.wait(rest)
        return self._child.returncode

    def kill(self) -> None:
        """End it and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self.release()

    # --- for LocalRemote.run ---------------------------------------------------------------------------

    @property
    def at_end(self) -> bool:
        """Whether both its streams have ended."""
        return not self._streams.get_map()

    @property
    def full(self) -> bool:
        """Whether as much of stdout waits to be taken as is ever kept."""
        return len(self._stdout) >= MAX_OUTPUT_BYTES

    def output(self) -> bytes:
        """Return all of stdout that was read and not taken as lines."""
        return bytes(self._stdout)

    def feed(self, data: memoryview) -> int | None:
        """Send as much input as it has room for; return how much that was, None when it reads no more."""
        try:
            return os.write(self._stdin.fileno(), data[:CHUNK_BYTES])
        except BlockingIOError:
            return 0
        except (OSError, ValueError):  # broken pipe; closed
            return None

    def step(self, timeout_s: float) -> bool:
        """Read what arrives within a time; False when nothing did."""
        with self._reading:
            if self.at_end or self.full:
                return False
            ready = self._streams.select(max(timeout_s, 0))
            for key, _ in ready:
                self._read(cast("IO[bytes]", key.fileobj), key.data)
            return bool(ready)

    def _read(self, stream: IO[bytes], buffer: bytearray) -> None:
        data = os.read(stream.fileno(), CHUNK_BYTES)
        if not data:
            self._streams.unregister(stream)
            return
        self.heard = time.monotonic()
        buffer += data
        if buffer is self._stderr:
            del buffer[:-STDERR_TAIL_BYTES]

    def _take_line(self) -> bytes | None:
        with self._reading:
            end = self._stdout.find(b"\n")
            if end < 0 and not self.at_end:
                return None
            size = len(self._stdout) if end < 0 else end + 1
            line = bytes(self._stdout[:size])
            del self._stdout[:size]
            return line

    def release(self) -> None:
        """Close the pipes; what was read stays."""
        with self._reading:
            for key in list(self._streams.get_map().values()):
                self._streams.unregister(key.fileobj)
            for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
                with suppress(OSError):
                    cast("IO[bytes]", stream).close()


def _spawn(argv: Sequence[str], host: str, what: str) -> subprocess.Popen[bytes]:
    try:
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


class LocalRemote:
    """This machine as a host; implements `harness.transport.remote.Remote`."""

    def __init__(self, host: str = "localhost") -> None:
        self._host = host
        self._closed = False
        self._running: list[LocalProcess] = []

    @property
    def host(self) -> str:
        """Its name in the topology."""
        return self._host

    @property
    def alive(self) -> bool:
        """Whether it was not closed."""
        return not self._closed

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = COMMAND_TIMEOUT_S,
        silence_s: float | None = None,
        stdin: bytes = b"",
        check: bool = True,
    ) -> Completed:
        """Run a command to its end; see `Remote.run`."""
        try:
            process = self.start(argv)
        except CommandFailed as error:
            if check:
                raise
            return Completed(error.exit_code, "", error.detail)
        try:
            code = _follow(process, memoryview(stdin), timeout_s, silence_s)
            done = Completed(code, process.output().decode(errors="replace"), process.stderr_tail())
        except BaseException:
            process.kill()
            raise
        finally:
            self._running.remove(process)
        process.release()
        if check and code:
            said = last_lines(done.stderr or done.stdout)
            raise CommandFailed(f"{process.what} failed", host=self._host, exit_code=code, detail=said)
        return done

    def start(self, argv: Sequence[str]) -> LocalProcess:
        """Start a command; see `Remote.start`. Here a program that is absent is known at once: CommandFailed."""
        if self._closed:
            raise TransportError("this remote is closed", host=self._host)
        process = LocalProcess(argv, self._host)
        self._running.append(process)
        return process

    def upload(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        """Make a file; see `Remote.upload`."""
        target = Path.home() / path
        part = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
        try:
            part.write_bytes(data)
            part.chmod(mode)
            part.rename(target)
        except OSError as error:
            raise refused(self._host, path, 1, error.strerror or str(error)) from None
        finally:
            part.unlink(missing_ok=True)

    def deploy(self, data: bytes, name: str, *, mode: int = 0o755) -> str:
        """Make sure a file is in this machine's cache; see `Remote.deploy`."""
        digest = hashlib.sha256(data).hexdigest()
        target = self._cache() / deployed_name(name, digest)
        if not target.is_file() or hashlib.sha256(target.read_bytes()).hexdigest() != digest:
            self.upload(data, str(target), mode=mode)
        return str(target)

    def _cache(self) -> Path:
        for folder in (Path.home() / ".cache/roce-harness", Path(f"/tmp/roce-harness-{os.getuid()}")):  # noqa: S108
            with suppress(OSError):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                own = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
                if own and os.access(folder, os.W_OK):
                    return folder
        raise TransportError("neither ~/.cache nor /tmp can hold a cache", host=self._host)

    def close(self) -> None:
        """End what runs: as behind SSH, its stdin ends, and here it is killed as well."""
        self._closed = True
        for process in self._running:
            process.close_stdin()
            process.kill()
        self._running.clear()


def _follow(process: LocalProcess, stdin: memoryview, timeout_s: float, silence_s: float | None) -> int:
    """Feed and read a command until it ends; raise CommandTimeout, NoProgress, CommandFailed for too much output."""
    deadline = time.monotonic() + timeout_s
    left = stdin
    while True:
        taken = process.feed(left) if left else None
        left = left[taken:] if taken is not None else left[:0]
        if not left:
            process.close_stdin()
        if process.at_end:
            return process.wait(max(deadline - time.monotonic(), 0))
        now = time.monotonic()
        patience = deadline if silence_s is None else min(deadline, process.heard + silence_s)
        if now >= patience:
            raise too_late(process, timeout_s, silence_s, at_deadline=now >= deadline)
        process.step(min(patience - now, POLL_S) if left else patience - now)
        if process.full:
            raise too_much(process)
