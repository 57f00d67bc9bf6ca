"""Measurements that a busy machine spoils: they fail at quiet times alone; without such a time a test is skipped."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

TRIES = 8
FAILURES = 3
"""At quiet times: then it is not the machine."""
SHARE_OF_OTHERS = 0.15
"""Of one processor, from which on a time is not quiet."""


def busy_s() -> float:
    """Seconds that all processors have worked, or were taken from this machine by its host."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_s() -> float:
    """Seconds of that which this process and its children that have ended took."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def soon(measure: Callable[[], T], good: Callable[[T], bool]) -> T:
    """Return the first measurement that is good."""
    failures = []
    for _ in range(TRIES):
        busy, own, began = busy_s(), own_s(), time.monotonic()
        value = measure()
        if good(value):
            return value
        others = (busy_s() - busy - (own_s() - own)) / (time.monotonic() - began)
        if others < SHARE_OF_OTHERS:
            failures.append(value)
        if len(failures) == FAILURES:
            raise AssertionError(f"not once at {FAILURES} quiet times: {failures}")
    # Too seldom quiet to judge: no verdict is better than one about other programs.
    pytest.skip(f"other programs took this machine's processors in {TRIES - len(failures)} of {TRIES} tries")
