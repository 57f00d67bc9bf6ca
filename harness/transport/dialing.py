"""From an endpoint to an authenticated connection: reach, compare the host's key, prove who we are.

Only reaching is tried again: a host that refuses a key or shows a wrong one will do so next time, too.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from paramiko import Channel, SSHException
from paramiko.ssh_exception import ChannelException, IncompatiblePeer

from harness.core.errors import HostUnreachable, TransportError
from harness.transport.authentication import authenticate
from harness.transport.connection import Connection
from harness.transport.host_keys import known_keys
from harness.transport.limits import BACKOFF_S, Limits
from harness.transport.ssh_config import Endpoint
from harness.transport.verification import check_host_key
from harness.transport.wire import TCP_UNACKNOWLEDGED_MS

LATER_S = 5.0
"""How much later than we paramiko gives up: whose limit was reached first would decide what the error says."""


class _TryAgain(Exception):
    """The host could not be reached now; it may in a moment."""


@dataclass(slots=True)
class _Shared:
    """A connection that several hosts share: who comes first opens it, the others wait."""

    ready: threading.Event = field(default_factory=threading.Event)
    connection: Connection | None = None
    error: TransportError | None = None
    users: int = 0


class Jumps:
    """Connections to jump hosts, one for all hosts behind each; closed when the last user lets go."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._shared: dict[Endpoint, _Shared] = {}

    def hold(self, endpoint: Endpoint) -> tuple[Connection, Callable[[], None]]:
        """Return the connection to a jump host, and what lets go of it; raise TransportError when there is none."""
        with self._lock:
            known = self._shared.get(endpoint)
            usable = known and (known.connection is None or known.connection.is_active())
            shared = known if known and usable else _Shared()
            self._shared[endpoint] = shared
            shared.users += 1
        if shared is not known:
            self._open(endpoint, shared)
        shared.ready.wait()
        if shared.connection is None:
            self._release(endpoint, shared)
            raise shared.error or HostUnreachable("no connection", host=endpoint.address)
        return shared.connection, lambda: self._release(endpoint, shared)

    def _open(self, endpoint: Endpoint, shared: _Shared) -> None:
        try:
            shared.connection = open_connection(endpoint, endpoint.address, self._limits, self)
        except TransportError as error:
            shared.error = error
        finally:
            shared.ready.set()

    def _release(self, endpoint: Endpoint, shared: _Shared) -> None:
        with self._lock:
            shared.users -= 1
            if shared.users:
                return
            if self._shared.get(endpoint) is shared:
                del self._shared[endpoint]
        if shared.connection is not None:
            shared.connection.hang_up()


def open_connection(endpoint: Endpoint, host: str, limits: Limits, jumps: Jumps) -> Connection:
    """Return an authenticated connection that watches for a lost peer; its user ends it by `hang_up`.

    Raises HostUnreachable, HostKeyRejected, AuthenticationFailed. `host` names it in errors.
    """
    if endpoint.via is None:
        return _enter(endpoint, host, limits, lambda deadline: _tcp(endpoint, host, deadline))
    try:
        jump, release = jumps.hold(endpoint.via)
    except TransportError as error:
        raise type(error)(f"jump host {endpoint.via}: {error.message}", host=host) from error
    try:
        connection = _enter(endpoint, host, limits, lambda deadline: _channel(jump, endpoint, deadline))
    except BaseException:
        release()
        raise
    connection.release = release
    return connection


Link = socket.socket | Channel


def _enter(endpoint: Endpoint, host: str, limits: Limits, reach: Callable[[float], Link]) -> Connection:
    known = known_keys(endpoint.known_hosts, endpoint.key_name, endpoint.port)
    connection = _handshake(endpoint, host, limits, reach, [key.kind for key in known])
    try:
        check_host_key(connection.get_remote_server_key(), known, endpoint, host)
        connection.auth_timeout = limits.authenticate_s
        authenticate(connection, endpoint, host)
    except BaseException:
        connection.close()
        raise
    connection.watch(limits.keepalive_s, limits.keepalives)
    return connection


# --- reach ---------------------------------------------------------------------------------------------------


def _handshake(
    endpoint: Endpoint, host: str, limits: Limits, reach: Callable[[float], Link], known: list[str]
) -> Connection:
    """Return a connection with keys exchanged, after as many attempts as time and `BACKOFF_S` allow."""
    patience = endpoint.connect_timeout_s or limits.connect_s
    deadline = time.monotonic() + patience
    for attempt, pause in enumerate((*BACKOFF_S, None), 1):
        try:
            return _exchange_keys(reach(deadline), known, deadline)
        except _TryAgain as error:
            rest = deadline - time.monotonic()
            wait = pause and pause * random.uniform(0.5, 1.5)
            if wait is None or wait >= rest:
                tried = f" ({attempt} attempts in {patience - rest:.1f} s)" if attempt > 1 else ""
                raise HostUnreachable(f"{endpoint}: {error}{tried}", host=host) from None
            time.sleep(wait)
        except IncompatiblePeer as error:
            raise HostUnreachable(f"{endpoint}: {error}", host=host) from None
    raise AssertionError  # the last round returns or raises


def _tcp(endpoint: Endpoint, host: str, deadline: float) -> socket.socket:
    """Return a TCP connection to the first address of the endpoint that answers."""
    try:
        found = socket.getaddrinfo(endpoint.address, endpoint.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise _TryAgain(f"the name server does not answer for {endpoint.address!r}") from None
        raise HostUnreachable(f"{endpoint}: unknown name {endpoint.address!r}", host=host) from None
    problem = ""
    for number, (family, kind, protocol, _, address) in enumerate(found):
        share = max((deadline - time.monotonic()) / (len(found) - number), 0.1)
        link = socket.socket(family, kind, protocol)
        try:
            _tune(link, share)
            link.connect(address)
        except OSError as error:
            link.close()
            problem = _why_not(error, share)
        else:
            return link
    raise _TryAgain(problem)


def _tune(link: socket.socket, timeout_s: float) -> None:
    link.settimeout(timeout_s)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Only Linux knows it; elsewhere the unanswered keep-alives alone tell that a peer is gone.
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        link.setsockopt(socket.IPPROTO_TCP, option, TCP_UNACKNOWLEDGED_MS)


def _why_not(error: OSError, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:.1f} s"
    return (error.strerror or str(error)).lower()


def _channel(jump: Connection, endpoint: Endpoint, deadline: float) -> Channel:
    """Return a channel of a jump host that leads to the endpoint."""
    rest = max(deadline - time.monotonic(), 0.1)
    target = (endpoint.address, endpoint.port)
    try:
        return jump.open_channel("direct-tcpip", target, ("127.0.0.1", 0), timeout=rest)
    except ChannelException as error:
        raise _TryAgain(f"jump host {endpoint.via} cannot reach it: {error.text.lower()}") from None
    except (SSHException, OSError, EOFError) as error:
        raise _TryAgain(f"jump host {endpoint.via}: {str(error) or jump.why_lost()}") from None


def _exchange_keys(link: Link, known: list[str], deadline: float) -> Connection:
    connection = Connection(link, known)
    done = threading.Event()
    rest = max(deadline - time.monotonic(), 0.1)
    connection.banner_timeout = connection.handshake_timeout = rest + LATER_S
    connection.start_client(event=done)
    finished = done.wait(rest)
    if finished and connection.is_active():
        return connection
    problem = connection.get_exception()
    connection.close()
    if isinstance(problem, IncompatiblePeer):
        raise problem
    raise _TryAgain(_why_no_keys(connection, finished, rest))


def _why_no_keys(connection: Connection, finished: bool, waited_s: float) -> str:
    stage = "key exchange" if connection.remote_version else "SSH banner"
    if not finished:
        return f"the port is open, but no {stage} within {waited_s:.1f} s"
    reason = connection.why_lost()
    return f"the port is open, but no {stage} came: {reason}"
