"""One SSH connection of paramiko, made thrifty and honest.

paramiko as it comes wakes each connection's thread ten times a second, starts a second thread for each handshake,
drops the signal that ended a command, and does not notice a peer that vanished: nobody counts the answers to its
keep-alives. Here the thread sleeps a second, the handshake has a deadline instead of a thread, and a peer that
leaves keep-alives unanswered is lost.
"""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, cast

from paramiko import Channel, Message, SSHException, Transport
from paramiko.common import MSG_CHANNEL_REQUEST, MSG_CHANNEL_WINDOW_ADJUST, cMSG_GLOBAL_REQUEST

from harness.transport.wire import IDLE_WAKE_S, ThriftyPacketizer, Wire

LOG_NAME = "harness.transport.wire"
"""What paramiko logs about our connections; silent unless somebody sets its level."""

CHEAP_KEX = ("curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")
"""Key exchanges to prefer: hundreds of handshakes at once are bound by the CPU of this machine.

An X25519 exchange costs a fraction of a group exchange or of a hybrid with ML-KEM, and nothing secret enough to
fear a recording for decades travels here.
"""

CHEAP_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""Ciphers to prefer: one call encrypts and authenticates, where CTR needs an HMAC computed in Python besides."""


def _quiet_log() -> None:
    """Keep paramiko's tracebacks off stderr: each of its errors reaches the caller as an exception anyway."""
    logger = logging.getLogger(LOG_NAME)
    logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.CRITICAL)


_quiet_log()


def _preferred(first: Iterable[str], offered: Iterable[str]) -> tuple[str, ...]:
    """Return what paramiko offers with some of it in front."""
    known = tuple(offered)
    head = tuple(name for name in first if name in known)
    return head + tuple(name for name in known if name not in head)


def _seen_request(channel: Channel, message: Message) -> None:
    """Note the signal that ended a command, which paramiko drops, and wake who waits for the end."""
    start = message.packet.tell()
    kind = message.get_text()
    if kind in {"exit-status", "exit-signal"}:
        channel.end_is_known = True  # type: ignore[attr-defined]
    if kind == "exit-signal":
        message.get_boolean()  # want reply: never, says RFC 4254
        channel.exit_status = -_signal_number(message.get_text())
        channel.status_event.set()
    else:
        message.packet.seek(start)
        _handlers[MSG_CHANNEL_REQUEST](channel, message)
    _wake(channel)


def end_is_known(channel: Channel) -> bool:
    """Say whether the host told how the channel's command ended; paramiko's -1 could be SIGHUP as well."""
    return getattr(channel, "end_is_known", False)


def _seen_window(channel: Channel, message: Message) -> None:
    """Wake who waits for room to send."""
    _handlers[MSG_CHANNEL_WINDOW_ADJUST](channel, message)
    _wake(channel)


def _wake(channel: Channel) -> None:
    """Tell who waits on a channel; `wake` is set by who started the command (process.py)."""
    changes = getattr(channel, "wake", None)
    if changes is not None:
        changes.set()


def _signal_number(name: str) -> int:
    """Return the number of a signal by its SSH name ("KILL"); SIGHUP's for a name that is unknown here."""
    return int(getattr(signal, f"SIG{name}", signal.SIGHUP))


_paramiko: Any = Transport
"""paramiko's own class; what is tuned below is named with an underscore there, and tested here on each version."""

_handlers: dict[int, Callable[[Channel, Message], None]] = _paramiko._channel_handler_table  # noqa: SLF001


class Connection(Transport):
    """An SSH connection to one host; its thread ends with it."""

    _active_check_timeout = IDLE_WAKE_S
    _preferred_kex = _preferred(CHEAP_KEX, _paramiko._preferred_kex)  # noqa: SLF001
    _preferred_ciphers = _preferred(CHEAP_CIPHERS, _paramiko._preferred_ciphers)  # noqa: SLF001
    _channel_handler_table: ClassVar = {
        **_handlers,
        MSG_CHANNEL_REQUEST: _seen_request,
        MSG_CHANNEL_WINDOW_ADJUST: _seen_window,
    }

    def __init__(self, link: socket.socket | Channel, host_key_kinds: Iterable[str]) -> None:
        """Prepare a connection over a link; `host_key_kinds` are the key types that are known of the host."""
        super().__init__(cast("Any", Wire(link)), packetizer_class=ThriftyPacketizer)
        self.set_log_channel(LOG_NAME)
        self.host_key_kinds = tuple(host_key_kinds)
        self.release: Callable[[], None] | None = None
        self.farewell = ""
        self._hung_up = False
        self._problem: Exception | None = None

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The host key types to ask for: those that are known first; no certificates, nothing checks them."""
        known: list[str] = []
        for kind in self.host_key_kinds:
            known += ["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind]
        return _preferred(known, _paramiko._preferred_keys)  # noqa: SLF001

    def hang_up(self) -> None:
        """Close, and let go of the jump host; harmless when done already."""
        self._hung_up = self._hung_up or self.is_active()
        self.close()
        release, self.release = self.release, None
        if release is not None:
            release()

    def watch(self, interval_s: float, max_unanswered: int) -> None:
        """Ask the host for a sign of life in each interval without one; lost when it owes `max_unanswered`."""
        cast("ThriftyPacketizer", self.packetizer).watch(interval_s, max_unanswered, self._probe)

    def _probe(self) -> bool:
        """Send a request that every server answers, if only by refusing it; False while keys are exchanged."""
        if not self.clear_to_send.is_set():
            return False
        message = Message()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string("keepalive@openssh.com")
        message.add_boolean(True)
        self.packetizer.send_message(message)
        return True

    def get_exception(self) -> Exception | None:
        """Return the last problem and forget it, as paramiko does; `why_lost` remembers."""
        problem = super().get_exception()
        self._problem = problem or self._problem
        return problem

    def why_lost(self) -> str:
        """Return in words why the connection is not there any more."""
        problem = self.saved_exception or self._problem
        if self._hung_up:
            return "the connection was closed here"
        if self.farewell:
            return f"the host ended the connection: {self.farewell}"
        if isinstance(problem, ConnectionResetError | EOFError):
            return "the host closed the connection"
        if isinstance(problem, OSError):
            return problem.strerror or str(problem)
        return str(problem) if isinstance(problem, SSHException) else "the connection is closed"

    def _parse_disconnect(self, message: Message) -> None:
        message.get_int()
        self.farewell = message.get_text()
