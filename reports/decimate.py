"""Shorten a time series without losing its peaks.

A queue that overflows for one sample is the whole story of a run, so plain thinning (every n-th sample) or
averaging would hide what the chart is for. Here each bucket of samples keeps its smallest and its largest value.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]


def decimate(
    time: npt.ArrayLike, values: npt.ArrayLike, max_points: int = 2000
) -> tuple[FloatArray, FloatArray]:
    """Reduce one column to at most `max_points` samples that include every bucket's minimum and maximum.

    `time` (any unit, rising) and `values` have the same length n; NaN values mean "no sample". A series that is short
    enough comes back unchanged. Kept samples keep their own time and order, so a peak stays where it was. A bucket
    without any sample is kept as one NaN, so a gap stays a gap.

    Raises ValueError when the lengths differ or `max_points` is below 4 (two buckets).
    """
    t, v = _columns(time, values)
    if max_points < 4:
        raise ValueError(f"max_points is {max_points}; two buckets of two samples need at least 4")
    if len(v) <= max_points:
        return t, v
    kept = _extremes(v, max_points // 2)
    return t[kept], v[kept]


def _columns(time: npt.ArrayLike, values: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    t = np.asarray(time, dtype=np.float64)
    v = np.asarray(values, dtype=np.float64)
    if t.ndim != 1 or t.shape != v.shape:
        raise ValueError(f"a column needs one value a sample, got time {t.shape} and values {v.shape}")
    return t, v


def _extremes(values: FloatArray, buckets: int) -> IndexArray:
    """Indices, in order, of the smallest and the largest sample of each bucket; of its first where all are NaN."""
    size = -(-len(values) // buckets)
    padded = np.full(buckets * size, np.nan)
    padded[: len(values)] = values
    table = padded.reshape(buckets, size)
    gaps = np.isnan(table)
    low = np.where(gaps, np.inf, table).argmin(axis=1)
    high = np.where(gaps, -np.inf, table).argmax(axis=1)
    starts = np.arange(buckets) * size
    found = np.unique(np.concatenate([starts + low, starts + high]))
    return found[found < len(values)]


def peak(values: Sequence[float] | FloatArray) -> float:
    """Largest sample of a column; NaN when it has none."""
    column = np.asarray(values, dtype=np.float64)
    return float("nan") if np.isnan(column).all() else float(np.nanmax(column))


def decimate_table(
    time: npt.ArrayLike, values: npt.ArrayLike, max_points: int = 2000
) -> tuple[FloatArray, FloatArray]:
    """Reduce a table (n samples × c columns, no NaN) to at most `max_points` rows that all columns share.

    Each bucket gives two rows, at its first and its last time, with every column's minimum and maximum in the order in
    which they occurred. A peak is therefore exact in value and at most one bucket off in time.
    """
    t = np.asarray(time, dtype=np.float64)
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != 2 or len(t) != len(v):
        raise ValueError(f"a table needs one row a sample, got time {t.shape} and values {v.shape}")
    if len(v) <= max_points:
        return t, v
    edges = np.linspace(0, len(v), max_points // 2 + 1).astype(np.int64)
    spans = list(pairwise(edges))
    times = [t[place] for start, stop in spans for place in (start, stop - 1)]
    return np.asarray(times), np.concatenate([_two_rows(v[start:stop]) for start, stop in spans])


def _two_rows(bucket: FloatArray) -> FloatArray:
    low, high = bucket.min(axis=0), bucket.max(axis=0)
    rising = bucket.argmin(axis=0) <= bucket.argmax(axis=0)
    return np.stack([np.where(rising, low, high), np.where(rising, high, low)])
