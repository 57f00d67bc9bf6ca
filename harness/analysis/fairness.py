"""How equally flows share: Jain's index and the spread of rates.

Source: Jain, Chiu and Hawe, DEC-TR-301, 1984: (sum x)^2 / (n sum x^2), 1 for equal shares, k/n when k of n
share everything equally. Independent of the unit of x.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.evidence import Missing


def jain(rates: Iterable[float]) -> float | Missing:
    """Jain's index of non-negative rates, from 1/n to 1; Missing when there is no rate or all are 0."""
    values = [float(rate) for rate in rates]
    if any(not value >= 0 for value in values):
        raise ValueError(f"rates must be numbers from 0: {values}")
    largest = max(values, default=0.0)
    if largest == 0:
        return Missing("no flow moved any data")
    scaled = [
        value / largest for value in values
    ]  # squares of tiny or huge rates neither vanish nor overflow
    return sum(scaled) ** 2 / (len(scaled) * sum(value * value for value in scaled))


def relative_spread(rates: Iterable[float]) -> float | Missing:
    """(largest - smallest) / mean of the rates: 0 when equal; Missing when none or all are 0."""
    values = [float(rate) for rate in rates]
    total = sum(values)
    if total == 0:
        return Missing("no flow moved any data")
    return (max(values) - min(values)) * len(values) / total
