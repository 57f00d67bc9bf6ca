"""How labs end: only what they started, whether it was written down or not."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from harness.bindings.vmlab.layout import Layout
from harness.bindings.vmlab.locks import change_lock, held, use_lock
from harness.bindings.vmlab.orphans import end_orphans
from harness.bindings.vmlab.state import LabState, forget_state, read_state

SOCKET_SUFFIXES = frozenset({".qmp", ".ctl", ".link"})


def stop(layout: Layout, name: str, *, force: bool = False) -> int:
    """Take a lab down by name; return how many guests ran.

    Raises LabBusy when a session uses it or a process changes it, unless forced.
    """
    folder = layout.run(name)
    with ExitStack() as stack:
        for lock in () if force else (use_lock(folder), change_lock(folder)):
            stack.enter_context(held(lock))
        state = read_state(folder)
        return sweep(layout, folder) if state is None else take_down(layout, state)


def take_down(layout: Layout, state: LabState) -> int:
    """End all guests of a lab and forget it; return how many ran. Logs stay until the lab comes up again."""
    folder = layout.run(state.name)
    ended = sum(guest.process.kill() for guest in state.guests.values() if guest.process is not None)
    ended += sweep(layout, folder)
    forget_state(folder)
    return ended


def sweep(layout: Layout, folder: Path) -> int:
    """End guests that a crash left without a note, and remove sockets; return how many guests there were."""
    sockets = layout.sockets(folder)
    ended = end_orphans(sockets)
    for path in sockets.iterdir():
        if path.suffix in SOCKET_SUFFIXES:
            path.unlink(missing_ok=True)
    return ended


def remove_logs(folder: Path) -> None:
    """Remove the logs of an earlier lab of the same name."""
    for path in folder.glob("*.log"):
        path.unlink(missing_ok=True)
