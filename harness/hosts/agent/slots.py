"""Registered memory of an end: slots for messages that arrive, and the payload that leaves."""

from __future__ import annotations

import ctypes
from typing import Any

from . import payload
from .layout import Layout
from .memory import Memory
from .resources import Device, Stack


class Region:
    """A memory and its registration, which can be made anew with other access."""

    def __init__(self, device: Device, memory: Memory, access: int, stack: Stack) -> None:
        self._device, self.memory, self._stack = device, memory, stack
        self.handle: Any = device.register(memory, access, stack)

    @property
    def lkey(self) -> int:
        """Return the key for work requests of this host."""
        return int(self.handle.lkey)

    @property
    def rkey(self) -> int:
        """Return the key for work requests of the peer."""
        return int(self.handle.rkey)

    def register_again(self, access: int) -> None:
        """Register the memory with other access; its keys change."""
        self.handle.close()
        self.handle = self._device.register(self.memory, access, self._stack)


class Slots:
    """Room for messages: `slots` a QP, all in one region, or a region a QP when they are folded."""

    def __init__(self, device: Device, layout: Layout, qps: int, access: int, stack: Stack) -> None:
        self._per_qp = layout.slots * layout.stride
        self.stride, self.count, self.bytes = layout.stride, layout.slots, self._per_qp
        sizes = [self._per_qp] * qps if layout.folded else [self._per_qp * qps]
        window = layout.slot_window if layout.folded else None
        self._regions = [_region(device, size, window, access, stack) for size in sizes]
        self._shared = not layout.folded

    def region(self, qp: int) -> Region:
        """Return the region in which the slots of a QP lie."""
        return self._regions[0 if self._shared else qp]

    def base(self, qp: int) -> int:
        """Return the address of the first slot of a QP."""
        return self.region(qp).memory.address + (qp * self._per_qp if self._shared else 0)

    def address(self, qp: int, slot: int) -> int:
        """Return the address of a slot."""
        return self.base(qp) + slot * self.stride

    def view(self, qp: int, slot: int, length: int) -> memoryview:
        """Return the bytes of a slot that is not folded."""
        region = self.region(qp)
        start = self.address(qp, slot) - region.memory.address
        return region.memory.view[start : start + length]

    def register_again(self, access: int) -> None:
        """Register all regions with other access."""
        for region in self._regions:
            region.register_again(access)

    def clear(self) -> None:
        """Fill the slots with zeros."""
        for region in self._regions:
            ctypes.memset(region.memory.address, 0, region.memory.window)


def _region(device: Device, size: int, window: int | None, access: int, stack: Stack) -> Region:
    memory = Memory(size, window)
    stack.push("memory", memory.close)
    return Region(device, memory, access, stack)


def pattern_region(device: Device, layout: Layout, access: int, stack: Stack) -> Region:
    """Return a region full of payload, from which messages of any number are cut."""
    region = _region(device, layout.pattern_bytes, layout.pattern_window, access, stack)
    payload.fill(region.memory, layout.period)
    return region
