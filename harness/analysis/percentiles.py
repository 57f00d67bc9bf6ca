"""Percentiles that are measured values: nearest rank, no interpolation.

Source: the nearest-rank definition (Hyndman and Fan 1996, type 1): the smallest sample such that at least
the asked fraction of the samples is not larger. A p99 is therefore always a latency that some message really
had.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from harness.analysis.samples import known
from harness.core.evidence import Missing

TAIL = (0.5, 0.9, 0.99, 0.999)
"""The fractions that a latency report shows."""


def percentile(values: Iterable[float | Missing], fraction: float) -> float | Missing:
    """The sample at `fraction` (0 to 1) of the sorted values; Missing when one is, or there is none."""
    return tail(values, (fraction,))[fraction]


def tail(
    values: Iterable[float | Missing], fractions: Sequence[float] = TAIL
) -> dict[float, float | Missing]:
    """Several percentiles of the same values, by fraction; sorts once. NaN raises ValueError."""
    samples = known(values)
    if isinstance(samples, Missing):
        return dict.fromkeys(fractions, samples)
    ordered = sorted(samples)
    return {fraction: _at(ordered, fraction) for fraction in fractions}


def _at(ordered: Sequence[float], fraction: float) -> float | Missing:
    if not 0 <= fraction <= 1:
        raise ValueError(f"a percentile is a fraction from 0 to 1, not {fraction}")
    if not ordered:
        return Missing("no samples")
    # Binary fractions are a little off: without the epsilon 0.07 of 100 samples would have rank 8.
    rank = math.ceil(fraction * len(ordered) * (1 - 1e-12))
    return ordered[max(0, rank - 1)]
