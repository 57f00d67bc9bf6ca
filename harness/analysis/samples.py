"""Samples of which none may be missing: all of them, or the gap."""

from __future__ import annotations

import math
from collections.abc import Iterable

from harness.core.evidence import Missing


def known(values: Iterable[float | Missing]) -> list[float] | Missing:
    """All values as a list, or the first Missing among them; NaN raises ValueError."""
    found: list[float] = []
    for value in values:
        if isinstance(value, Missing):
            return value
        if math.isnan(value):
            raise ValueError("NaN is neither a value nor a gap")
        found.append(value)
    return found
