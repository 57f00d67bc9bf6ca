"""Sums of a collective: group buffers, what becomes of a chunk that arrives, and the check at the end.

Element i of rank r starts as (r + 1)(i mod 251 + 1), so after an all-reduce over n ranks every element is
n(n + 1)/2 times (i mod 251 + 1), which float32 holds exactly for any n in use.
"""

from __future__ import annotations

import array
import importlib
import operator
from typing import Any

from .memory import Memory
from .payload import differing

try:
    numpy: Any = importlib.import_module("numpy")
except ImportError:
    numpy = None

PERIOD = 251
ELEMENT_BYTES = 4
PIECE = 1 << 16
"""Bytes added at a time without numpy's help: the GIL is kept meanwhile, and requests must be answered."""

_CODES = {"int32": "i", "float32": "f"}


def period_bytes(dtype: str, factor: int) -> bytes:
    """Return one period of elements `factor` times 1 … 251, in the host's byte order."""
    return array.array(_CODES[dtype], [factor * (index + 1) for index in range(PERIOD)]).tobytes()


def elements(dtype: str, factor: int, length: int) -> bytes:
    """Return `length` bytes of elements `factor` times (i mod 251 + 1)."""
    period = period_bytes(dtype, factor)
    return (period * (length // len(period) + 1))[:length]


class Group:
    """The buffer of one rank in one collective; closed by whoever made it."""

    def __init__(self, name: str, rank: int, ranks: int, dtype: str, length: int) -> None:
        self.name, self.rank, self.ranks, self.dtype, self.length = name, rank, ranks, dtype, length
        self.memory = Memory(length)
        self.memory.view[:length] = elements(dtype, rank + 1, length)

    @property
    def key(self) -> str:
        """Return its name in answers."""
        return f"{self.name}/{self.rank}"

    def take(self, op: str, offset: int, chunk: memoryview) -> None:
        """Add (`sum`) or store (`copy`) a chunk that arrived at an offset."""
        target = self.memory.view[offset : offset + len(chunk)]
        if op == "copy":
            target[:] = chunk
            return
        for start in range(0, len(chunk), PIECE):
            add(self.dtype, target[start : start + PIECE], chunk[start : start + PIECE])

    def check(self) -> dict[str, Any]:
        """Compare the buffer with the sum over all ranks; `wrong` and `first_wrong` count elements."""
        factor = self.ranks * (self.ranks + 1) // 2
        expected = elements(self.dtype, factor, self.length)
        got = bytes(self.memory.view[: self.length])
        wrong, first = wrong_elements(got, expected)
        return {"expected_ok": not wrong, "bytes": self.length, "wrong": wrong, "first_wrong": first}

    def close(self) -> None:
        """Give the memory back."""
        self.memory.close()


def wrong_elements(got: bytes, expected: bytes) -> tuple[int, int | None]:
    """Return how many 4-byte elements differ and the index of the first."""
    count, first = differing(got, expected)
    if not count:
        return 0, None
    pairs = map(operator.ne, array.array("I", got), array.array("I", expected))
    return sum(pairs), first // ELEMENT_BYTES


def add(dtype: str, target: memoryview, chunk: memoryview) -> None:
    """Add a chunk to the target, element by element; int32 wraps around as in C."""
    if numpy is not None:
        kind = numpy.dtype(dtype)
        numpy.frombuffer(target, kind).__iadd__(numpy.frombuffer(chunk, kind))
    elif dtype == "int32":
        target[:] = _add_int32(target, chunk)
    else:
        target[:] = memoryview(_add_float32(target, chunk)).cast("B")


def _add_int32(left: memoryview, right: memoryview) -> bytes:
    """Add as two long integers, of the even and of the odd elements: a carry falls into the gap between."""
    size = len(left)
    even = int.from_bytes((b"\xff\xff\xff\xff\0\0\0\0" * (size // 8 + 1))[:size], "little")
    first, second = int.from_bytes(left, "little"), int.from_bytes(right, "little")
    low = (first & even) + (second & even) & even
    odd = even << 32
    high = (first & odd) + (second & odd) & odd
    return ((low | high) & ((1 << size * 8) - 1)).to_bytes(size, "little")


def _add_float32(left: memoryview, right: memoryview) -> array.array[float]:
    """Add in double and round once to float32, which gives the float32 sum (53 bits ≥ 2 · 24 + 2)."""
    return array.array("f", map(operator.add, left.cast("f"), right.cast("f")))
