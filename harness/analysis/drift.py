"""Whether something that is repeated stays as it was: spread and trend of the times of its rounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.core.evidence import Missing, highest
from harness.core.flow_results import Known
from harness.core.result import RunResult


def round_times_ps(result: RunResult, names: Sequence[str]) -> list[Known]:
    """Return the time in ps of each round: from the first start to the last end of flows with this start of name."""
    return [result.flows.of(name).busy_ps for name in names]


def spread(times: Sequence[Known]) -> float | Missing:
    """Return the coefficient of variation of some rounds: standard deviation over mean."""
    known = _numbers(times, least=2)
    if isinstance(known, Missing):
        return known
    return float(np.std(known, ddof=1) / np.mean(known))


def trend(times: Sequence[Known]) -> float | Missing:
    """Return how much longer the last round is than the first, as a part of the mean, by the line of least squares."""
    known = _numbers(times, least=3)
    if isinstance(known, Missing):
        return known
    slope = np.polyfit(np.arange(len(known)), known, 1)[0]
    return float(slope * (len(known) - 1) / np.mean(known))


def _numbers(times: Sequence[Known], *, least: int) -> list[int] | Missing:
    gap = highest(times)
    if isinstance(gap, Missing):
        return gap
    if len(times) < least:
        return Missing(f"{len(times)} rounds are too few; it takes {least}")
    return [time for time in times if isinstance(time, int)]
