"""When a series settles: time until flows stay near their fair share, or Jain's index stays high."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.core.evidence import Missing


def time_to_fair_share(
    time_ps: ArrayLike, rates: ArrayLike, share: float | Sequence[float], *, within: float, hold_ps: int = 0
) -> int | Missing:
    """First time in ps from which every flow stays within `within` (a fraction) of its share until the end.

    `time_ps` has n samples, `rates` n rows and one column a flow, in the unit of `share` (one for all, or
    one a flow). Missing when the last sample is outside, or when the flows stayed inside for less than
    `hold_ps`.
    """
    times, table = _table(time_ps, rates)
    shares = np.broadcast_to(np.asarray(share, dtype=np.float64), table.shape[1:])
    if not (shares > 0).all():
        raise ValueError(f"a fair share is above 0: {share}")
    inside = np.all(np.abs(table - shares) <= within * shares, axis=1)
    return _settled(times, np.asarray(inside), hold_ps, f"within {within:.3g} of the fair share")


def time_to_jain(
    time_ps: ArrayLike, delivered: ArrayLike, threshold: float, *, window_ps: int, hold_ps: int = 0
) -> int | Missing:
    """First time in ps from which Jain's index over a sliding window stays >= `threshold` until the end.

    `delivered` holds cumulative bytes, one column a flow; an index needs a full window, so that the answer
    is at least `window_ps` after the first sample.
    """
    times, table = _table(time_ps, delivered)
    start = np.searchsorted(times, times - window_ps, side="left")
    full = times - times[0] >= window_ps
    moved = table - table[start]
    square = (moved * moved).sum(axis=1) * moved.shape[1]
    index = np.divide(moved.sum(axis=1) ** 2, square, out=np.zeros(len(times)), where=square > 0)
    return _settled(times, full & (index >= threshold), hold_ps, f"at Jain {threshold:.3g}")


@dataclass(frozen=True, slots=True)
class Cut:
    """The last time that a rate fell: when (ps), and the rate just before and after, in the unit of the series.

    All are Missing for a rate that never fell.
    """

    time_ps: int | Missing
    before: float | Missing
    after: float | Missing


def last_cut(time_ps: ArrayLike, rates: ArrayLike) -> Cut:
    """The last fall of one rate over time, to within a sample."""
    times, table = _table(time_ps, np.asarray(rates, dtype=np.float64)[:, np.newaxis])
    column = table[:, 0]
    falls = np.flatnonzero(np.diff(column) < 0)
    if not len(falls):
        never = Missing("the rate never fell")
        return Cut(never, never, never)
    last = int(falls[-1])
    return Cut(int(times[last + 1]), float(column[last]), float(column[last + 1]))


def time_until_above(
    time_ps: ArrayLike, rates: ArrayLike, goal: float, since_ps: int | Missing = 0
) -> int | Missing:
    """Time in ps from `since_ps` until one rate is `goal` or more and stays there; Missing when `since_ps` is.

    A rate that is below the goal at the end took at least until the last sample: that time is returned, so that
    limits from above can fail it. 0 when it was never below.
    """
    if isinstance(since_ps, Missing):
        return since_ps
    times, table = _table(time_ps, np.asarray(rates, dtype=np.float64)[:, np.newaxis])
    below = np.flatnonzero((table[:, 0] < goal) & (times > since_ps))
    if not len(below):
        return 0
    first = min(int(below[-1]) + 1, len(times) - 1)
    return int(times[first]) - since_ps


def _settled(times: NDArray[np.int64], inside: NDArray[np.bool_], hold_ps: int, what: str) -> int | Missing:
    outside = np.flatnonzero(~inside)
    first = int(outside[-1]) + 1 if len(outside) else 0
    if first == len(times):
        return Missing(f"the flows are not {what} at the end of the series")
    if int(times[-1] - times[first]) < hold_ps:
        return Missing(f"the flows are {what} for less than {hold_ps} ps before the series ends")
    return int(times[first])


def _table(time_ps: ArrayLike, values: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    times = np.asarray(time_ps, dtype=np.int64)
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or times.shape != table.shape[:1]:
        raise ValueError(f"{times.shape} times do not fit a table of shape {table.shape}")
    if not len(times) or not table.shape[1]:
        raise ValueError("a series without samples or flows cannot settle")
    return times, table
