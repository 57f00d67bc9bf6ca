"""The verbs as a table: what is posted for each, and what changes from message to message."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import ibv
from .payload import CYCLE, offset_of


class Aim:
    """The work requests of one QP of a source, each made when it is first needed and used again after.

    `local` is the address messages leave from (a pattern, when `slots` is 0) or arrive at (in `slots` slots of
    `stride` bytes); `fixed` means that all messages have that one address.
    """

    def __init__(self, qp: int, make: Callable[[int], Any], local: Local, remote: Remote) -> None:
        self.qp, self._make, self.local, self.remote = qp, make, local, remote
        self._cycle = 1 if local.fixed else local.slots or CYCLE
        self._requests: list[Any] = [None] * self._cycle

    def request(self, k: int) -> Any:
        """Return the work request for message k, aimed at its local memory."""
        place = k % self._cycle
        found = self._requests[place]
        if found is None:
            found = self._requests[place] = self._make(self._address(place))
        return found

    def _address(self, place: int) -> int:
        local = self.local
        if local.fixed:
            return local.address
        if local.slots:
            return local.address + place * local.stride
        return local.address + offset_of(self.qp, place, local.period)


@dataclass(frozen=True)
class Local:
    """Memory of the source; see Aim."""

    address: int
    slots: int
    stride: int
    period: int
    fixed: bool


@dataclass(frozen=True)
class Remote:
    """Memory of the target: `slots` of `stride` bytes, or a pattern with a period."""

    address: int
    rkey: int
    slots: int
    stride: int
    period: int


Aiming = Callable[[Any, Aim, int], None]
"""Points a work request at the remote memory of message k."""


def _nowhere(request: Any, aim: Aim, k: int) -> None:
    """A send goes where the receiver wants it."""


def _write(request: Any, aim: Aim, k: int) -> None:
    remote = aim.remote
    request.set_wr_rdma(remote.rkey, remote.address + k % remote.slots * remote.stride)


def _write_imm(request: Any, aim: Aim, k: int) -> None:
    _write(request, aim, k)
    request.imm_data = immediate(k)


def _send_imm(request: Any, _aim: Aim, k: int) -> None:
    request.imm_data = immediate(k)


def _read(request: Any, aim: Aim, k: int) -> None:
    remote = aim.remote
    request.set_wr_rdma(remote.rkey, remote.address + offset_of(aim.qp, k, remote.period))


def _fetch_add(request: Any, aim: Aim, _k: int) -> None:
    request.set_wr_atomic(aim.remote.rkey, aim.remote.address, 1, 0)


def _compare_swap(request: Any, aim: Aim, k: int) -> None:
    request.set_wr_atomic(aim.remote.rkey, aim.remote.address, k, k + 1)


def immediate(k: int) -> int:
    """Return the immediate of message k as the device wants it: in network byte order."""
    return socket.htonl(k & 0xFFFFFFFF)


def message_of(imm_data: int) -> int:
    """Return the message number in an immediate."""
    return socket.ntohl(imm_data)


OPCODES: dict[str, tuple[int, Aiming]] = {
    "write": (ibv.WR_RDMA_WRITE, _write),
    "write_imm": (ibv.WR_RDMA_WRITE_WITH_IMM, _write_imm),
    "send": (ibv.WR_SEND, _nowhere),
    "send_imm": (ibv.WR_SEND_WITH_IMM, _send_imm),
    "read": (ibv.WR_RDMA_READ, _read),
    "atomic": (ibv.WR_ATOMIC_FETCH_AND_ADD, _fetch_add),
    "fetch_add": (ibv.WR_ATOMIC_FETCH_AND_ADD, _fetch_add),
    "compare_swap": (ibv.WR_ATOMIC_CMP_AND_SWP, _compare_swap),
}
"""Opcode and aiming by verb. Atomics count: message k finds k and leaves k + 1."""
