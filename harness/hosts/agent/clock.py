"""Clocks of this host. All instants of the protocol are CLOCK_MONOTONIC of the host that says them, in ns."""

from __future__ import annotations

import time

now_ns = time.monotonic_ns


def read() -> dict[str, int]:
    """Return both clocks, read one right after the other."""
    return {"mono_ns": time.clock_gettime_ns(time.CLOCK_MONOTONIC), "real_ns": time.time_ns()}
