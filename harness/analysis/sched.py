"""Link sharing between traffic classes: weighted water-filling with strict priorities.

Source: the fluid limit of deficit weighted round robin (Shreedhar and Varghese 1995), which IEEE 802.1Qaz ETS
asks of a port: strict classes first, the rest shares by weight, and what a class leaves is shared again.
"""

from __future__ import annotations

from collections.abc import Sequence


def water_fill(demands: Sequence[float], weights: Sequence[float], capacity: float) -> list[float]:
    """Weighted max-min shares of one link, in the unit of `capacity`.

    Each class gets at most its demand; a class that gets less has a share per weight that nobody else
    exceeds. A demand may be infinite. Raises ValueError for lists of different length, a weight <= 0, or a
    negative number.
    """
    _check(demands, weights, capacity)
    shares = [0.0] * len(demands)
    hungry = [index for index, demand in enumerate(demands) if demand > 0]
    left = capacity
    while hungry and left > 0:
        level = left / sum(weights[index] for index in hungry)
        sated = [index for index in hungry if demands[index] <= level * weights[index]]
        if not sated:
            for index in hungry:
                shares[index] = level * weights[index]
            break
        for index in sated:
            shares[index] = float(demands[index])
            left -= demands[index]
        hungry = [index for index in hungry if index not in sated]
    return shares


def ets_shares(
    demands: Sequence[float], weights: Sequence[float], strict: Sequence[int], capacity: float
) -> list[float]:
    """Shares of the classes of an ETS port: `strict` ones (higher index first), then the others by weight."""
    shares = [0.0] * len(demands)
    left = capacity
    for index in sorted(strict, reverse=True):
        shares[index] = min(float(demands[index]), left)
        left -= shares[index]
    others = [index for index in range(len(demands)) if index not in set(strict)]
    rest = water_fill([demands[i] for i in others], [weights[i] for i in others], left)
    for index, share in zip(others, rest, strict=True):
        shares[index] = share
    return shares


def _check(demands: Sequence[float], weights: Sequence[float], capacity: float) -> None:
    if len(demands) != len(weights):
        raise ValueError(f"{len(demands)} demands but {len(weights)} weights")
    if any(not weight > 0 for weight in weights):
        raise ValueError(f"weights must be above 0: {list(weights)}")
    if any(not demand >= 0 for demand in demands) or not capacity >= 0:
        raise ValueError(f"demands {list(demands)} and capacity {capacity} must be numbers from 0")
