"""Memory for messages: mapped directly, so that it has an address, a view without copies, and a certain end.

A buffer larger than the memory that may be used is *folded*: its addresses repeat one window of real memory.
Devices see the full length; what arrives later lies over what came before.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

from .errors import AgentError

PAGE = mmap.PAGESIZE
ALIGN = 64
"""Slots start at multiples of this: a cache line, and more than the 8 bytes atomics need."""

_PROT_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_MAP_FIXED, _MAP_NORESERVE = 0x10, 0x4000  # asm-generic/mman.h; not in Python's mmap
_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]

memcmp = _libc.memcmp
"""memcmp(address, address, bytes) of the C library: 0 when equal. Gives the GIL away meanwhile."""


def round_up(value: int, multiple: int) -> int:
    """Return the least multiple that is not below the value."""
    return -(-value // multiple) * multiple


class Memory:
    """Mapped memory of `length` bytes from `address`; `view` shows its real part, of `window` bytes.

    `window` below `length` folds it. Whoever made it closes it, after the memory regions over it.

    Raises:
        AgentError: no_resources, the kernel gives no more memory.
    """

    def __init__(self, length: int, window: int | None = None) -> None:
        real = round_up(min(length, window or length), PAGE)
        self.folded = real < length
        self.length = round_up(length, real if self.folded else PAGE)
        self.window = real
        self.address = self._map_folded() if self.folded else _map(self.length)
        self.view = memoryview((ctypes.c_char * real).from_address(self.address)).cast("B")

    def _map_folded(self) -> int:
        """Lay the window of a memory file over reserved addresses, again and again."""
        start = _map(self.length, _MAP_NORESERVE)
        file = os.memfd_create("roce-agent")
        try:
            os.ftruncate(file, self.window)
            for offset in range(0, self.length, self.window):
                _map(self.window, mmap.MAP_SHARED | _MAP_FIXED, start + offset, file)
        except OSError as error:
            _libc.munmap(start, self.length)
            raise AgentError("no_resources", f"no {self.window} bytes of memory: {error}") from error
        finally:
            os.close(file)
        return start

    def close(self) -> None:
        """Give the memory back; a second call does nothing."""
        if self.address:
            self.view.release()
            _libc.munmap(self.address, self.length)
            self.address = 0


def _map(length: int, flags: int = 0, at: int = 0, file: int = -1) -> int:
    kind = flags if file >= 0 else flags | mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    address = _libc.mmap(at or None, length, _PROT_READ_WRITE, kind, file, 0)
    if address == _FAILED or address is None:
        number = ctypes.get_errno()
        raise AgentError(
            "no_resources", f"no {length} bytes of memory: {os.strerror(number)}", {"errno": number}
        )
    return int(address)


def available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return the kernel's estimate of memory that can be used without swapping; 256 MiB when it gives none."""
    try:
        for line in meminfo.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 256 << 20
