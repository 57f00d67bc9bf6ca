"""Machines over SSH: `connect` to one, `dial` many.

One connection a host, a channel for each command; `~/.ssh/config` is honoured (`ssh_config`), host keys are always
checked (`verification`), keys and agents are the only way in (`authentication`), and a host that vanishes is noticed
(`limits`). What goes wrong has a class each in `harness.core.errors`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from paramiko import Channel, SSHException
from paramiko.ssh_exception import ChannelException

from harness.core.errors import (
    ConnectionLost,
    TransportError,
    shown,
)
from harness.core.site import Access
from harness.transport import transfer
from harness.transport.connection import Connection
from harness.transport.conversation import finish
from harness.transport.dialing import Jumps, open_connection
from harness.transport.limits import Limits
from harness.transport.process import SshProcess
from harness.transport.remote import COMMAND_TIMEOUT_S, Completed
from harness.transport.shell import KILL_SCRIPT, MARK, command_line, new_mark
from harness.transport.ssh_config import Endpoint, resolve

DIAL_WORKERS = 32
"""Handshakes at a time. They are bound by CPU, ours and often the jump host's: more only make each one slower."""

KILL_TIMEOUT_S = 5.0

SESSION_PAUSES_S = (0.05, 0.2)
"""A command that has ended keeps its session until the host has heard that we know."""


class SshRemote:
    """A machine behind an SSH connection; implements `harness.transport.remote.Remote`."""

    def __init__(self, host: str, connection: Connection, limits: Limits) -> None:
        self._host = host
        self._connection = connection
        self._limits = limits

    @property
    def host(self) -> str:
        """Its name in the topology."""
        return self._host

    @property
    def alive(self) -> bool:
        """Whether the connection stands, as far as keep-alives can tell."""
        return bool(self._connection.is_active())

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
        process = self.start(argv)
        return finish(process, stdin, timeout_s=timeout_s, silence_s=silence_s, check=check)

    def start(self, argv: Sequence[str]) -> SshProcess:
        """Start a command; see `Remote.start`."""
        mark = new_mark()
        return self._start(argv, mark, lambda: self._kill(mark))

    def _start(self, argv: Sequence[str], mark: str, kill: Callable[[], None]) -> SshProcess:
        line = command_line(argv, mark)
        what = shown(" ".join(argv))
        channel = self.channel(what)
        try:
            channel.exec_command(line)
        except (SSHException, EOFError, OSError) as error:
            channel.close()
            raise self._broken(what, error) from None
        channel.settimeout(self._limits.silence_s)
        return SshProcess(self._connection, channel, host=self._host, what=what, kill=kill)

    def upload(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        """Make a file; see `Remote.upload`."""
        transfer.upload(self, data, path, mode)

    def deploy(self, data: bytes, name: str, *, mode: int = 0o755) -> str:
        """Make sure a file is in the host's cache; see `Remote.deploy`."""
        return transfer.deploy(self, data, name, mode)

    def close(self) -> None:
        """End the connection."""
        self._connection.hang_up()

    def __repr__(self) -> str:
        return f"SshRemote({self._host!r}, {'alive' if self.alive else 'closed'})"

    # --- for transfer ------------------------------------------------------------------------------------

    def channel(self, what: str) -> Channel:
        """Open a session channel for `what`; raise ConnectionLost or TransportError."""
        try:
            channel = self._open(SESSION_PAUSES_S)
        except ChannelException as error:
            hint = "the host allows no more sessions at once (MaxSessions of its sshd_config)"
            raise TransportError(f"{what}: {error.text.lower()}: {hint}", host=self._host) from None
        except (SSHException, EOFError, OSError) as error:
            raise self._broken(what, error) from None
        channel.settimeout(self._limits.silence_s)
        return channel

    def _open(self, pauses: Sequence[float]) -> Channel:
        """Open a session channel; a refused one again after each pause, as sessions may be about to end."""
        for pause in pauses:
            with suppress(ChannelException):
                return self._connection.open_session(timeout=self._limits.silence_s)
            time.sleep(pause)
        return self._connection.open_session(timeout=self._limits.silence_s)

    def why_lost(self) -> str:
        """Return in words why the connection is gone."""
        return self._connection.why_lost()

    def _broken(self, what: str, error: BaseException) -> TransportError:
        if not self.alive:
            return ConnectionLost(f"{what}: {self._connection.why_lost()}", host=self._host)
        return TransportError(f"{what}: {str(error) or type(error).__name__}", host=self._host)

    def _kill(self, mark: str) -> None:
        """Kill what carries the mark: a channel that is closed leaves its command running."""
        argv = ["sh", "-c", KILL_SCRIPT, "kill", f"{MARK}={mark}"]
        with suppress(TransportError):
            killer = self._start(argv, new_mark(), kill=lambda: None)
            finish(killer, b"", timeout_s=KILL_TIMEOUT_S, silence_s=None, check=False)


# --- connecting ------------------------------------------------------------------------------------------------


def connect(access: Access, host: str, *, limits: Limits | None = None) -> SshRemote:
    """Return a connected host.

    Raises HostUnreachable, HostKeyRejected, AuthenticationFailed, and ConfigError for an SSH configuration that
    is wrong.
    """
    chosen = limits or Limits()
    return _connect(resolve(access, host), host, chosen, Jumps(chosen))


def dial(
    accesses: Mapping[str, Access], *, workers: int = DIAL_WORKERS, limits: Limits | None = None
) -> tuple[dict[str, SshRemote], dict[str, TransportError]]:
    """Connect to many hosts at once; return those that answered and why the others did not, in the order given.

    Hosts behind the same jump host share one connection to it. Raises ConfigError, before anything is connected,
    for an SSH configuration that is wrong. When interrupted, nothing stays connected.
    """
    endpoints = {host: resolve(access, host) for host, access in accesses.items()}
    chosen = limits or Limits()
    jumps = Jumps(chosen)
    pool = ThreadPoolExecutor(max(1, min(workers, len(endpoints))), thread_name_prefix="dial")
    futures = {
        host: pool.submit(_connect, endpoint, host, chosen, jumps) for host, endpoint in endpoints.items()
    }
    try:
        answers = _sorted(futures)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        _abandon(futures)
        raise
    pool.shutdown()
    return answers


def _connect(endpoint: Endpoint, host: str, limits: Limits, jumps: Jumps) -> SshRemote:
    return SshRemote(host, open_connection(endpoint, host, limits, jumps), limits)


def _sorted(
    futures: Mapping[str, Future[SshRemote]],
) -> tuple[dict[str, SshRemote], dict[str, TransportError]]:
    remotes: dict[str, SshRemote] = {}
    errors: dict[str, TransportError] = {}
    for host, future in futures.items():
        try:
            remotes[host] = future.result()
        except TransportError as error:
            errors[host] = error
    return remotes, errors


def _abandon(futures: Mapping[str, Future[SshRemote]]) -> None:
    """Close what is connected, and what still will be as soon as it is."""
    for future in futures.values():
        future.add_done_callback(_close_result)


def _close_result(future: Future[SshRemote]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()
