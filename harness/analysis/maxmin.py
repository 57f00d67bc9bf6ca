"""Max-min fair rates of flows on given paths: the throughput oracle for any topology.

Source: progressive filling (Bertsekas and Gallager, "Data Networks", section 6.5): raise all rates together,
freeze the flows of the link that saturates first, go on with the others.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

F = TypeVar("F", bound=Hashable)
L = TypeVar("L", bound=Hashable)


def max_min_rates(
    paths: Mapping[F, Sequence[L]],
    capacity: Mapping[L, float],
    *,
    demand: Mapping[F, float] | None = None,
    weight: Mapping[F, float] | None = None,
) -> dict[F, float]:
    """Max-min fair rate of each flow, in the unit of `capacity`.

    `paths` lists the directed links of each flow, `demand` caps a flow (default: no cap), `weight` scales its
    share (default 1). Raises ValueError for a flow that nothing bounds, and names a link without capacity.
    """
    _check(paths, capacity, demand or {})
    weights = {flow: (weight or {}).get(flow, 1.0) for flow in paths}
    caps = {flow: (demand or {}).get(flow, math.inf) for flow in paths}
    rates = dict.fromkeys(paths, 0.0)
    free = {link: float(capacity[link]) for path in paths.values() for link in path}
    active = {flow for flow in paths if caps[flow] > 0}
    while active:
        load = _weights_on_links(paths, weights, active)
        by_link = (free[link] / total for link, total in load.items())
        by_demand = ((caps[flow] - rates[flow]) / weights[flow] for flow in active)
        step = min(*by_link, *by_demand, math.inf)
        for flow in active:
            rates[flow] += step * weights[flow]
        for link, total in load.items():
            free[link] -= step * total
        full = {link for link in load if free[link] <= 1e-9 * capacity[link]}
        active = {flow for flow in active if _grows(flow, paths, caps, rates, full)}
    return rates


def _weights_on_links(
    paths: Mapping[F, Sequence[L]], weights: Mapping[F, float], active: set[F]
) -> dict[L, float]:
    load: dict[L, float] = {}
    for flow in active:
        for link in paths[flow]:
            load[link] = load.get(link, 0.0) + weights[flow]
    return load


def _grows(
    flow: F, paths: Mapping[F, Sequence[L]], caps: Mapping[F, float], rates: Mapping[F, float], full: set[L]
) -> bool:
    below_cap = rates[flow] < caps[flow] * (1 - 1e-12)
    return below_cap and not any(link in full for link in paths[flow])


def _check(paths: Mapping[F, Sequence[L]], capacity: Mapping[L, float], demand: Mapping[F, float]) -> None:
    for flow, path in paths.items():
        if not path and math.isinf(demand.get(flow, math.inf)):
            raise ValueError(f"flow {flow!r} has neither a link nor a demand: nothing bounds its rate")
        for link in path:
            if not capacity.get(link, 0.0) > 0:
                raise ValueError(f"link {link!r} of flow {flow!r} has no capacity above 0")
