"""TCP ports on loopback for the guests' sshd."""

from __future__ import annotations

import random
import socket
from collections.abc import Set as AbstractSet

from harness.bindings.vmlab.errors import LabError

FIRST, LAST = 20_000, 31_999
"""Below Linux's ephemeral ports (32768 on), so that no outgoing connection takes one between look and use."""

TRIES = 200


def free_port(taken: AbstractSet[int] = frozenset()) -> int:
    """Return a port that nobody listens on and that is not among `taken`."""
    chooser = random.SystemRandom()
    for _ in range(TRIES):
        port = chooser.randint(FIRST, LAST)
        if port not in taken and is_free(port):
            return port
    raise LabError(f"no free TCP port between {FIRST} and {LAST}")


def is_free(port: int) -> bool:
    """Return whether a loopback port can be listened on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
