"""Cleaning a switch when nobody is left to do so: a shell there that waits for the end of its input.

Whatever ends this process (SIGKILL, too) ends its SSH connections, and with them the input of the guards. A
guard then ends what its connection still runs on the switch, and cleans it. A guard that is told that all is
done just leaves.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from harness.core.errors import TransportError
from harness.transport.remote import Remote
from harness.transport.shell import MARK

log = logging.getLogger(__name__)

LEAVE_S = 5.0
"""For a guard to leave when it is told so."""

DONE = b"done\n"

WATCH = r"""
trap '' HUP INT TERM PIPE
IFS= read -r word
[ "$word" = done ] && exit 0
exec >/dev/null 2>&1
if [ -n "${SSH_CONNECTION:-}" ]; then
  for environ in $(grep -lzxF -- "SSH_CONNECTION=$SSH_CONNECTION" /proc/[0-9]*/environ); do
    pid=${environ#/proc/}
    pid=${pid%/environ}
    [ "$pid" = $$ ] || ! grep -qz "^$2=" "$environ" || kill -KILL "$pid"
  done
fi
for again in 1 2 3; do
  sh -c "$1" && exit 0
  sleep 0.3
done
"""
"""Waits, then kills what else its connection started (a script may be half way) and runs the script `$1`.

`SSH_CONNECTION` (addresses and ports of both ends) is the same for all that one connection starts and no other;
the variable named `$2` is that of commands of the harness.
"""


class Guard:
    """A guard at one switch; `cleaning` is the script that cleans it. Raises TransportError."""

    def __init__(self, remote: Remote, cleaning: str) -> None:
        self._remote = remote
        self._process = remote.start(["sh", "-c", WATCH, "guard", cleaning, MARK])

    @property
    def awake(self) -> bool:
        """Whether its connection stands."""
        return self._remote.alive

    def release(self) -> None:
        """Let it go without cleaning; never raises."""
        with suppress(TransportError):
            self._process.write(DONE)
            self._process.close_stdin()
            self._process.wait(LEAVE_S)
