"""Verbs objects and their certain end.

pyverbs closes what the garbage collector finds in whatever order, and can crash on it: here every object is
put on a stack when it is made, and closed from the top down.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import gids, ibv, sysfs
from .devices import capabilities
from .errors import AgentError, of_verbs
from .flow import GidWish
from .memory import Memory
from .verbs import Verbs


class Stack:
    """Things to close, the last one first. Closing goes on after an error; errors are kept as text."""

    def __init__(self) -> None:
        self._closers: list[tuple[str, Callable[[], Any]]] = []
        self.errors: list[str] = []
        self.closed = 0

    def push(self, label: str, close: Callable[[], Any]) -> None:
        """Remember what ends a thing that now exists."""
        self._closers.append((label, close))

    def close(self) -> None:
        """Close everything, in the reverse order."""
        while self._closers:
            label, close = self._closers.pop()
            try:
                close()
                self.closed += 1
            except Exception as error:  # noqa: BLE001 - the rest must be closed whatever this one says
                self.errors.append(f"{label}: {' '.join(str(error).split())}")


class Completions:
    """A completion queue with a channel of its own, whose file tells when there is something to poll."""

    def __init__(self, device: Device, entries: int, stack: Stack) -> None:
        made = device.make
        before = _event_files()
        self._channel = made("completion channel", lambda v: v.CompChannel(device.context), stack)
        self.fd = _file_of(self._channel, before)
        self.queue = made(
            "completion queue", lambda v: v.CQ(device.context, entries, None, self._channel, 0), stack
        )
        self.queue.req_notify()

    def acknowledge(self) -> None:
        """Take the event that made the file readable and ask for the next. Poll after this, never before."""
        self._channel.get_cq_event(self.queue)
        self.queue.req_notify()

    def poll(self, most: int = 64) -> list[Any]:
        """Return completions that are there."""
        _count, found = self.queue.poll(most)
        return list(found)


def _event_files() -> set[int]:
    """Return the descriptors of this process that are completion channels or asynchronous event files."""
    found = set()
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if "infinibandevent" in str(file.readlink()):
                found.add(int(file.name))
    return found


def _file_of(channel: Any, before: set[int]) -> int:
    """Return the descriptor of a channel that was just made; pyverbs tells it from version 61 on."""
    with contextlib.suppress(AttributeError):
        return int(channel.fd)
    made = _event_files() - before
    if len(made) != 1:
        raise AgentError("internal", f"the file of a completion channel is one of {sorted(made)}")
    return made.pop()


class Device:
    """An opened RDMA device with a protection domain."""

    def __init__(self, library: Verbs, name: str, tree: sysfs.Sysfs, stack: Stack) -> None:
        self.library, self.name, self._sysfs = library, name, tree
        if name not in tree.devices():
            there = ", ".join(tree.devices()) or "none"
            raise AgentError(
                "no_device", f"no RDMA device {name!r}; there is {there}", {"devices": tree.devices()}
            )
        self.context = self.make("context", lambda v: v.Context(name=name), stack)
        self.domain = self.make("protection domain", lambda v: v.PD(self.context), stack)
        self.caps = capabilities(self.context.query_device())

    def make(self, what: str, build: Callable[[Verbs], Any], stack: Stack) -> Any:
        """Make an object and put its end on the stack; raise AgentError when the device refuses."""
        try:
            made = build(self.library)
        except Exception as error:
            raise of_verbs(error, f"{self.name}: no {what}", device=self.name, object=what) from error
        stack.push(what, made.close)
        return made

    def register(self, memory: Memory, access: int, stack: Stack) -> Any:
        """Register a memory for access by the device."""
        what = f"memory region of {memory.length} bytes"
        return self.make(
            what, lambda v: v.MR(self.domain, memory.length, access, address=memory.address), stack
        )

    def active_mtu(self, port: int) -> int:
        """Return the MTU of a port in bytes; raise AgentError port_down when it is not active."""
        if port not in self._sysfs.ports(self.name):
            raise AgentError(
                "no_device", f"{self.name} has no port {port}", {"ports": self._sysfs.ports(self.name)}
            )
        state = self._sysfs.state(self.name, port)
        if state != "ACTIVE":
            facts = {"device": self.name, "port": port, "state": state}
            raise AgentError("port_down", f"{self.name} port {port} is {state}", facts)
        return ibv.MTU_BYTES[self.context.query_port(port).active_mtu]

    def gid(self, port: int, wish: GidWish) -> dict[str, Any]:
        """Return the GID that fulfils a wish."""
        return gids.choose(gids.table(self.context, port), wish, self.name, port)


def send_request(library: Verbs, opcode: int, address: int, length: int, lkey: int) -> Any:
    """Return a signalled send work request with one element. Posting copies it: it can be posted again."""
    element = library.SGE(address, length, lkey)
    return library.SendWR(opcode=opcode, num_sge=1, sg=[element], send_flags=ibv.SEND_SIGNALED)


def receive_request(library: Verbs, number: int, address: int, length: int, lkey: int) -> Any:
    """Return a receive work request. pyverbs wants an element even for immediates of writes: length 0 then."""
    return library.RecvWR(wr_id=number, num_sge=1, sg=[library.SGE(address, length, lkey)])


def drain(completions: Completions) -> None:
    """Throw away what is in a completion queue: flushed work of a QP that was reset or destroyed."""
    with contextlib.suppress(Exception):
        while completions.poll():
            pass
