"""How equally flows share: Jain's index and the spread of rates.

Source: Jain, Chiu and Hawe, DEC-TR-301, 1984: (sum x)^2 / (n sum x^2), 1 for equal shares, k/n when k of n
share everything equally. Independent of the unit of x.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.analysis.samples import known
from harness.core.evidence import Missing
from harness.core.series import Series


def jain(rates: Iterable[float | Missing]) -> float | Missing:
    """Jain's index of non-negative rates, from 1/n to 1; Missing when one is, or none is above 0."""
    values = known(rates)
    if isinstance(values, Missing):
        return values
    if any(value < 0 for value in values):
        raise ValueError(f"rates must be numbers from 0: {values}")
    largest = max(values, default=0.0)
    if largest == 0:
        return Missing("no flow moved any data")
    # Scaled, so that the squares of tiny or huge rates neither vanish nor overflow.
    scaled = [value / largest for value in values]
    return sum(scaled) ** 2 / (len(scaled) * sum(value * value for value in scaled))


def relative_spread(rates: Iterable[float | Missing]) -> float | Missing:
    """(largest - smallest) / mean of the rates: 0 when equal; Missing when one is, or none is above 0."""
    values = known(rates)
    if isinstance(values, Missing):
        return values
    total = sum(values)
    if total == 0:
        return Missing("no flow moved any data")
    return (max(values) - min(values)) * len(values) / total


def series_shares(series: Series) -> list[float | Missing]:
    """The mean of each column over all samples; one Missing when there is no series."""
    return [series.mean(column) for column in series.columns] or [series.mean()]
