"""ECMP by probability: how unevenly a hash spreads k flows over n equal paths.

Sources: balls into bins; hash polarisation as the common divisor of two tiers that use the same hash.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def expected_used_fraction(paths: int, flows: int) -> float:
    """Mean part of n paths that carries at least one of k flows: 1 - (1 - 1/n)^k."""
    _check(paths, flows)
    return 1 - (1 - 1 / paths) ** flows


def no_collision_probability(paths: int, flows: int) -> float:
    """Probability that k flows use k different paths: n! / ((n - k)! n^k)."""
    _check(paths, flows)
    return math.prod(1 - used / paths for used in range(flows)) if flows <= paths else 0.0


def expected_max_load(paths: int, flows: int) -> float:
    """Mean number of flows on the fullest of n paths, exactly.

    Poisson loads with mean k/n, conditioned on their sum being k, are the multinomial loads; so
    P(max <= m) is the k-th coefficient of the n-th power of the truncated Poisson series, over that of the
    whole.
    """
    _check(paths, flows)
    pmf = _poisson_pmf(flows / paths, flows)
    whole = _power_coefficient(pmf, paths, flows)
    expected = 0.0
    for bound in range(flows):
        above = 1 - _power_coefficient(pmf[: bound + 1], paths, flows) / whole
        if above < 1e-12 and bound > flows / paths:
            break
        expected += above
    return expected


def max_load_ratio(paths: int, flows: int) -> float:
    """Slowdown of a synchronous exchange of k flows on n paths: expected fullest load over the fair k/n."""
    return expected_max_load(paths, flows) * paths / flows


def fullest_path_limit(paths: int, flows: int, chance: float) -> int:
    """Most flows on the fullest of n paths: a fair hash of k flows passes it with a probability below `chance`."""
    _check(paths, flows)
    pmf = _poisson_pmf(flows / paths, flows)
    whole = _power_coefficient(pmf, paths, flows)
    for bound in range(-(-flows // paths), flows):
        if 1 - _power_coefficient(pmf[: bound + 1], paths, flows) / whole < chance:
            return bound
    return flows


def emptiest_path_limit(paths: int, flows: int, chance: float) -> int:
    """Fewest flows on the emptiest of n paths: a fair hash of k flows falls below it with a probability below `chance`.

    One path carries a binomial number; the n paths together fall below a bound at most n times as often.
    """
    _check(paths, flows)
    below = 0.0
    for count in range(flows + 1):
        below += math.comb(flows, count) * (1 / paths) ** count * (1 - 1 / paths) ** (flows - count)
        if paths * below >= chance:
            return count
    return flows


def least_distinct(values: int, draws: int, chance: float) -> int:
    """Fewest different values among `draws` fair ones of `values`: fewer come with a probability below `chance`.

    Draws that repeat an earlier value are about Poisson with the mean number of equal pairs, k (k - 1) / 2n.
    """
    _check(values, draws)
    mean = draws * (draws - 1) / (2 * values)
    tail, term, repeats = 1 - math.exp(-mean), math.exp(-mean), 0
    while tail >= chance and repeats < draws - 1:
        repeats += 1
        term *= mean / repeats
        tail -= term
    return draws - repeats


def effective_paths(first_tier: int, second_tier: int) -> int:
    """Second-tier paths that flows of one first-tier bucket reach when both tiers hash with one seed."""
    return second_tier // math.gcd(first_tier, second_tier)


def _poisson_pmf(mean: float, largest: int) -> NDArray[np.float64]:
    counts = np.arange(largest + 1, dtype=np.float64)
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(counts[1:]))))
    return np.asarray(np.exp(counts * math.log(mean) - mean - log_factorial), dtype=np.float64)


def _power_coefficient(series: NDArray[np.float64], power: int, degree: int) -> float:
    """Coefficient of x^degree of series^power, all products cut after that degree."""
    result = np.ones(1)
    square = series
    while power:
        if power & 1:
            result = np.convolve(result, square)[: degree + 1]
        power >>= 1
        if power:
            square = np.convolve(square, square)[: degree + 1]
    return float(result[degree]) if degree < len(result) else 0.0


def _check(paths: int, flows: int) -> None:
    if paths < 1 or flows < 1:
        raise ValueError(f"needs at least one path and one flow, not {paths} and {flows}")
