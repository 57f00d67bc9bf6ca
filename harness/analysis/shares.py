"""What flows got: the least and the most, how far it is from what it should be, and how much it varies from run to run.

Sources: the coefficient of variation that the BMWG reporting rules ask for; relative deviation otherwise.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.samples import known
from harness.core.evidence import Missing, highest, lowest
from harness.core.flow_results import FlowSet


def slowest_gbps(flows: FlowSet) -> float | Missing:
    """Return the goodput of the flow that got least, in Gb/s."""
    return lowest(flows.goodputs_gbps)


def fastest_gbps(flows: FlowSet) -> float | Missing:
    """Return the goodput of the flow that got most, in Gb/s."""
    return highest(flows.goodputs_gbps)


def worst_deviation(measured: Iterable[float | Missing], wanted: Sequence[float]) -> float | Missing:
    """Return the largest |measured / wanted - 1|; Missing when a value is.

    Raises ValueError for lists of different length and for a wanted value that is not above 0.
    """
    values = known(measured)
    if isinstance(values, Missing):
        return values
    if len(values) != len(wanted) or not values:
        raise ValueError(f"{len(values)} measured values do not fit {len(wanted)} wanted ones")
    if any(not value > 0 for value in wanted):
        raise ValueError(f"wanted values must be above 0: {list(wanted)}")
    return max(abs(value / want - 1) for value, want in zip(values, wanted, strict=True))


def variation(values: Iterable[float | Missing]) -> float | Missing:
    """Return the coefficient of variation: the sample's standard deviation over its mean; needs two values."""
    samples = known(values)
    if isinstance(samples, Missing):
        return samples
    if len(samples) < 2:
        return Missing("one value does not vary")
    mean = statistics.fmean(samples)
    return statistics.stdev(samples) / mean if mean else Missing("the mean is 0")


def time_off_ps(samples: ArrayLike, wanted: Sequence[float], *, within: float, every_ps: int) -> int:
    """Return how long at least one column was more than `within` (a fraction) off what it should be, in ps.

    `samples` has a row for each interval of `every_ps`. It counts such intervals, so that there is an answer
    where nothing ever settles.
    """
    table = np.asarray(samples, dtype=np.float64)
    goal = np.asarray(wanted, dtype=np.float64)
    if table.ndim != 2 or table.shape[1:] != goal.shape or not (goal > 0).all():
        raise ValueError(f"a table of shape {table.shape} does not fit {list(wanted)}, each above 0")
    return int(np.any(np.abs(table - goal) > within * goal, axis=1).sum()) * every_ps
