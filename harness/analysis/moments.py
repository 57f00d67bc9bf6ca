"""When something first or last happened, read from the samples of a counter.

A counter that never rises is an observation too: the thing took at least as long as was looked. Such times are
censored, and only limits from above may judge them for what they are: "later than that" fails, "at least" would lie.
"""

from __future__ import annotations

import numpy as np

from harness.core.evidence import Missing
from harness.core.series import Series


def time_to_first_rise(series: Series, column: str, since_ps: int = 0) -> int | Missing:
    """Time in ps from `since_ps` to the first sample in which a cumulative column is above its value then.

    When it does not rise, the time until the last sample: it took at least that. Samples tell a time to within one
    interval. Missing when the series or the column is, or when it has no samples after `since_ps`.
    """
    risen = _rises(series, column, since_ps)
    if isinstance(risen, Missing):
        return risen
    return (int(risen[0]) if len(risen) else int(series.time_ps[-1])) - since_ps


def time_to_last_rise(series: Series, column: str, since_ps: int = 0) -> int | Missing:
    """Time in ps from `since_ps` to the last sample in which a cumulative column rose; 0 when it did not any more.

    Missing when the series or the column is, or when it has no samples after `since_ps`.
    """
    risen = _rises(series, column, since_ps)
    if isinstance(risen, Missing):
        return risen
    return int(risen[-1]) - since_ps if len(risen) else 0


def _rises(
    series: Series, column: str, since_ps: int
) -> np.ndarray[tuple[int], np.dtype[np.int64]] | Missing:
    """Times of the samples after `since_ps` that are above the sample before them."""
    if series.missing is not None:
        return series.missing
    if column not in series.columns:
        return Missing(f"series {series.name} has no column {column!r}")
    times, values = np.asarray(series.time_ps, dtype=np.int64), np.asarray(series.column(column))
    if not len(times) or times[-1] <= since_ps:
        return Missing(f"series {series.name} ends before {since_ps} ps")
    before = np.concatenate(([0], values[:-1]))
    return times[(values > before) & (times > since_ps)]
