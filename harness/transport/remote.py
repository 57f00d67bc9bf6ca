"""A machine that runs commands, wherever it is: the seam between the harness and SSH.

`harness.transport.ssh` reaches it over SSH, `harness.transport.local` is this machine. Arguments are data: no
element of an `argv` is ever read by a shell. Commands run with `LC_ALL=C`, in the home directory of the user.

What can go wrong has a class each (`harness.core.errors`): CommandFailed (it ran and failed), CommandTimeout
(it did not end in time), NoProgress (it said nothing for too long), ConnectionLost (nobody knows what became
of it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

COMMAND_TIMEOUT_S = 60.0
"""How long `Remote.run` waits for a command to end unless told otherwise."""

MAX_OUTPUT_BYTES = 64 << 20
"""A command that `Remote.run` collects may say this much; one that says more is ended."""

STDERR_TAIL_BYTES = 64 << 10
"""How much of the end of stderr is kept."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended; `exit_code` is negative for a signal (-9: SIGKILL)."""

    exit_code: int
    stdout: str
    stderr: str


@runtime_checkable
class RemoteProcess(Protocol):
    """A running command. One thread reads; any thread may write or kill."""

    def write(self, data: bytes) -> None:
        """Send bytes to its stdin.

        Raises CommandFailed when it has ended, NoProgress when it does not read, ConnectionLost.
        """

    def close_stdin(self) -> None:
        """Send the end of stdin; harmless when it is closed already."""

    def readline(self, timeout_s: float) -> bytes:
        """Return the next line of stdout with its line break, b"" at the end.

        The last line may lack its line break. Raises NoProgress when no whole line arrives within `timeout_s`
        (what did arrive is kept for the next call), ConnectionLost.
        """

    def stderr_tail(self) -> str:
        """Return the end of what it wrote to stderr so far."""

    def wait(self, timeout_s: float) -> int:
        """Return its exit code (negative: signal) once it ends; what it says meanwhile stays readable.

        Raises CommandTimeout when it still runs after `timeout_s` (and leaves it running), ConnectionLost.
        """

    def kill(self) -> None:
        """End it and its children by SIGKILL; harmless when it has ended or cannot be reached."""


@runtime_checkable
class Remote(Protocol):
    """A machine that takes commands and files. Threads may share it."""

    @property
    def host(self) -> str:
        """Its name in the topology; every error carries it."""

    @property
    def alive(self) -> bool:
        """Whether commands can still be sent."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = COMMAND_TIMEOUT_S,
        silence_s: float | None = None,
        stdin: bytes = b"",
        check: bool = True,
    ) -> Completed:
        """Run a command to its end and collect what it said.

        Raises CommandFailed when it fails and `check` is set, CommandTimeout after `timeout_s`, NoProgress after
        `silence_s` without a byte from it, ConnectionLost. It is killed in all but the last case.
        """

    def start(self, argv: Sequence[str]) -> RemoteProcess:
        """Start a command and return at once."""

    def upload(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        """Make a file whole or not at all; a relative path starts in the home directory.

        Raises CommandFailed with what stood in the way ("no space left on host:path"), NoProgress,
        ConnectionLost.
        """

    def deploy(self, data: bytes, name: str, *, mode: int = 0o755) -> str:
        """Make sure a file with this content is in the host's cache and return its path there.

        The name carries the hash of the content, so it is sent once per host and version; when it is there
        already that takes one round trip. Raises as `upload`.
        """

    def close(self) -> None:
        """End the connection; running commands see the end of their stdin. Harmless when closed."""
