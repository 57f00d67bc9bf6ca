"""How long to wait for what. Connecting, commanding and hearing nothing have a limit each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Time-outs of a connection, in seconds.

    A host is asked for a sign of life every `keepalive_s` and is lost when it owes `keepalives` answers as the next
    is due: 6 to 8 s after it fell silent, and half a second for looking. A lost host must be known within 10 s.
    """

    connect_s: float = 10.0
    """For TCP and the handshake, all attempts and pauses together; ConnectTimeout of the SSH configuration wins."""
    authenticate_s: float = 15.0
    """For the host's answer to one key: PAM and LDAP can be slow."""
    silence_s: float = 10.0
    """For an upload or a command's stdin that nothing takes."""
    keepalive_s: float = 2.0
    keepalives: int = 3


BACKOFF_S = (0.2, 0.5, 1.0, 2.0)
"""Pauses between attempts to connect, each ± 50 % so that many hosts do not knock at once again."""
