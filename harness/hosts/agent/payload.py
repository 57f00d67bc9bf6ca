"""What messages contain, and checking that it arrived.

All payload is cut from one block of random bytes that is the same everywhere. Message k of QP q starts at an
offset into it that differs from message to message, so a sender changes its payload by choosing an address,
and a message that did not arrive is not mistaken for the one that used its slot before. The period of the
block is a prime number: a packet that lands at a wrong place is noticed.
"""

from __future__ import annotations

import ctypes
import random
import sys
from dataclasses import dataclass
from typing import Literal

from .memory import Memory, memcmp

PERIOD = 65521
"""Bytes until the payload repeats: the greatest prime below 2^16."""

CHUNK = 1 << 18
"""Bytes compared at a time."""

ORDER: Literal["little", "big"] = "little" if sys.byteorder == "little" else "big"
"""Byte order of the host, in which devices return atomics."""

_QP_STEP, _MESSAGE_STEP = 8191, 4099  # odd and coprime to the periods, so offsets differ for long

_RANDOM = random.Random(0x526F4345)  # "RoCE": the same bytes on every host and Python
_BLOCK = _RANDOM.getrandbits(PERIOD * 8).to_bytes(PERIOD, "little")


CYCLE = 127
"""Messages of a QP until an offset comes again. pyverbs fixes the address of a work request when it is made, so
there is one for each; a prime number, so that a slot that is used again gets another payload."""


def offset_of(qp: int, message: int, period: int) -> int:
    """Return where in the block the payload of a message starts.

    Of folded memory (another period than PERIOD) it always starts at 0: room for offsets would make a region
    longer than its longest message, and Soft-RoCE registers no more than 1 GiB (Linux 6.12).
    """
    if period != PERIOD:
        return 0
    return (qp * _QP_STEP + message % CYCLE * _MESSAGE_STEP) % period


def block(period: int) -> bytes:
    """Return the repeating block for a period: PERIOD bytes, or a power of two for folded memory."""
    return (_BLOCK * (period // PERIOD + 1))[:period]


def fill(memory: Memory, period: int) -> None:
    """Write the payload block over the whole real part of a memory, from its first byte on."""
    tile = block(period) * (CHUNK // period + 1)
    for start in range(0, memory.window, len(tile)):
        part = memory.view[start : start + len(tile)]
        part[:] = tile[: len(part)]


@dataclass
class Check:
    """What comparing found. `first_mismatch` is {"qp", "message", "offset"} of the first wrong byte."""

    verified_bytes: int = 0
    mismatched_bytes: int = 0
    immediates_wrong: int = 0
    first_mismatch: dict[str, int] | None = None

    def mismatch(self, qp: int, message: int, offset: int, count: int) -> None:
        """Count wrong bytes and keep the place of the first."""
        self.mismatched_bytes += count
        if self.first_mismatch is None:
            self.first_mismatch = {"qp": qp, "message": message, "offset": offset}


class Verifier:
    """Compares memory with the payload it should hold, at the speed of memcmp."""

    def __init__(self, period: int = PERIOD) -> None:
        self.period = period
        pattern = block(period)
        self._tile = (pattern * (CHUNK // period + 2))[: period + CHUNK]
        self._buffer = ctypes.create_string_buffer(self._tile, len(self._tile))
        self._address = ctypes.addressof(self._buffer)

    def bytes_at(self, offset: int, length: int) -> bytes:
        """Return expected payload from an offset into the block; at most CHUNK bytes."""
        start = offset % self.period
        return self._tile[start : start + length]

    def check(self, address: int, length: int, start: int, qp: int, message: int, into: Check) -> None:
        """Compare `length` bytes at an address with the payload from `start` of the block; count into `into`."""
        for done in range(0, length, CHUNK):
            size = min(CHUNK, length - done)
            expected = (start + done) % self.period
            if memcmp(address + done, self._address + expected, size) == 0:
                into.verified_bytes += size
            else:
                self._count_wrong(address + done, expected, size, (qp, message, done), into)

    def copy(self, address: int, length: int, start: int) -> None:
        """Write `length` bytes of payload from `start` of the block to an address."""
        for done in range(0, length, CHUNK):
            source = self._address + (start + done) % self.period
            ctypes.memmove(address + done, source, min(CHUNK, length - done))

    def equal(self, address: int, length: int, start: int) -> bool:
        """Tell whether the first `length` bytes (at most CHUNK) are the payload from `start` of the block."""
        return bool(memcmp(address, self._address + start % self.period, length) == 0)

    def _count_wrong(
        self, address: int, expected: int, size: int, place: tuple[int, int, int], into: Check
    ) -> None:
        got = ctypes.string_at(address, size)
        wrong, first = differing(got, self._tile[expected : expected + size])
        into.verified_bytes += size - wrong
        if wrong:
            into.mismatch(place[0], place[1], place[2] + first, wrong)


def differing(got: bytes, expected: bytes) -> tuple[int, int]:
    """Return how many bytes differ and the index of the first; (0, -1) when none."""
    difference = int.from_bytes(got, "little") ^ int.from_bytes(expected, "little")
    if not difference:
        return 0, -1
    marks = difference.to_bytes(len(got), "little")
    first = (difference & -difference).bit_length() - 1
    return len(marks) - marks.count(0), first // 8


def readable_tail(size: int, real: int) -> tuple[int, int]:
    """Return where the part of a message starts that a slot with `real` bytes of memory still shows, and its length."""
    return (size - real, real) if size > real else (0, size)


def written_anew(address: int, length: int) -> bool:
    """Tell whether memory that was made zero has any byte that is not: something was written there."""
    return ctypes.string_at(address, length).count(0) != length
