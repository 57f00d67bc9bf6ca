"""This machine, behind the same seam as the others: for tests, and for looking at a host from within."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.core.errors import CommandFailed, TransportError
from harness.transport.conversation import finish
from harness.transport.local_process import SPAWNING, LocalProcess
from harness.transport.remote import COMMAND_TIMEOUT_S, Completed
from harness.transport.transfer import deployed_name, refused


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
            return finish(process, stdin, timeout_s=timeout_s, silence_s=silence_s, check=check)
        finally:
            self._running.remove(process)

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
            with SPAWNING:
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
        while self._running:
            self._running.pop().kill()
