"""What DCQCN should do: step responses of the rate machine and the fixed point of its fluid model.

Sources: Zhu et al., "Congestion Control for Large-Scale RDMA Deployments", SIGCOMM 2015 (algorithm, fluid
model); Zhu et al., "ECN or Delay", CoNEXT 2016 (fixed point and its approximation); the published parameters
of mlx5 firmware (alpha in 1/1024). Rates are bit/s, times seconds or picoseconds as the name says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.core.evidence import Missing

BITS_PER_BYTE = 8


@dataclass(frozen=True, slots=True)
class FluidModel:
    """Parameters of N DCQCN flows through one bottleneck; the defaults are the 40 Gb/s set of the 2015 paper.

    Rates in bit/s, sizes in bytes, times in seconds, probabilities from 0 to 1.
    """

    capacity_bps: float = 40e9
    packet_bytes: int = 1000
    rate_ai_bps: float = 40e6
    byte_counter_bytes: float = 10e6
    timer_s: float = 55e-6
    alpha_timer_s: float = 55e-6
    cnp_interval_s: float = 50e-6
    fast_recovery: int = 5
    kmin_bytes: float = 5_000
    kmax_bytes: float = 200_000
    pmax: float = 0.01

    @property
    def capacity_pps(self) -> float:
        """Capacity in packets a second."""
        return self.capacity_bps / (BITS_PER_BYTE * self.packet_bytes)

    @property
    def rate_ai_pps(self) -> float:
        """Additive increase in packets a second."""
        return self.rate_ai_bps / (BITS_PER_BYTE * self.packet_bytes)

    @property
    def byte_counter_packets(self) -> float:
        """Byte counter in packets."""
        return self.byte_counter_bytes / self.packet_bytes


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Where N identical flows settle: marking probability, alpha, rate of a flow (bit/s) and queue (bytes).

    `queue_bytes` is None when the marking probability needed is above Pmax: the queue then swings at Kmax.
    """

    probability: float
    alpha: float
    rate_bps: float
    queue_bytes: float | None


def red_queue(probability: float, kmin_bytes: float, kmax_bytes: float, pmax: float) -> float | None:
    """Queue in bytes at which RED marks with `probability`; None above Pmax, where no queue length does."""
    if probability > pmax:
        return None
    return kmin_bytes + probability / pmax * (kmax_bytes - kmin_bytes)


def approximate_marking(model: FluidModel, flows: int) -> float:
    """Marking probability for small p: the cube root of Rai N^2 (1/B + N/TC)^2 / (tau' C^2)."""
    _check_flows(flows)
    capacity = model.capacity_pps
    events = 1 / model.byte_counter_packets + flows / (model.timer_s * capacity)
    cube = model.rate_ai_pps * flows**2 / (model.alpha_timer_s * capacity**2) * events**2
    return math.cbrt(cube)


def exact_marking(model: FluidModel, flows: int) -> float:
    """Marking probability at which all derivatives of the fluid model vanish, to 12 digits (bisection).

    Setting dRc/dt = 0 gives the gap Rt - Rc; putting it into dRt/dt = 0 leaves one equation in p whose left
    side (decrease) grows and whose right side (increase) falls with p, so that the root is unique.
    """
    _check_flows(flows)
    low, high = math.log(1e-12), math.log(0.999)
    for _ in range(200):
        middle = (low + high) / 2
        if _decrease_minus_increase(model, flows, math.exp(middle)) > 0:
            high = middle
        else:
            low = middle
    return math.exp((low + high) / 2)


def fixed_point(model: FluidModel, flows: int, *, exact: bool = True) -> FixedPoint:
    """Fixed point of `flows` identical flows, from the exact root or (exact=False) the small-p formula."""
    probability = exact_marking(model, flows) if exact else approximate_marking(model, flows)
    rate_pps = model.capacity_pps / flows
    alpha = _any_marked(probability, model.alpha_timer_s * rate_pps)
    queue = red_queue(probability, model.kmin_bytes, model.kmax_bytes, model.pmax)
    return FixedPoint(probability, alpha, model.capacity_bps / flows, queue)


def alpha_after(ticks: int, *, g: float, alpha: float = 1.0, marked: bool = False) -> float:
    """Alpha after `ticks` periods of its timer, all with a CNP (`marked`) or all without.

    Without: alpha (1-g)^k; with: 1 - (1-alpha)(1-g)^k.
    """
    keep = (1 - g) ** ticks
    return 1 - (1 - alpha) * keep if marked else alpha * keep


def alpha_decay(elapsed_s: float, period_s: float, *, g: float, alpha: float = 1.0) -> float:
    """Alpha after `elapsed_s` without a CNP, as a smooth curve through the ticks of `alpha_after`."""
    return float(alpha * (1 - g) ** (elapsed_s / period_s))


def mlx5_gain(dce_tcp_g: int) -> float:
    """The g of firmware parameter `dce_tcp_g`, the weight of alpha kept in 1/1024: 1019 is 5/1024."""
    if not 0 <= dce_tcp_g <= 1024:
        raise ValueError(f"dce_tcp_g is a weight in 1/1024, 0 to 1024, not {dce_tcp_g}")
    return (1024 - dce_tcp_g) / 1024


def rate_after_cuts(rate_bps: float, alphas: Iterable[float], *, min_rate_bps: float = 0.0) -> float:
    """Rate in bit/s after one cut R (1 - alpha/2) per given alpha, never below `min_rate_bps`."""
    for alpha in alphas:
        rate_bps = max(min_rate_bps, rate_bps * (1 - alpha / 2))
    return rate_bps


def fast_recovery(rate_bps: float, target_bps: float, steps: int) -> list[float]:
    """Rates in bit/s after each of `steps` halvings of the gap to the target: R = (R + Rt) / 2."""
    return [target_bps - (target_bps - rate_bps) / 2**step for step in range(1, steps + 1)]


def timer_recovery(
    rate_bps: float, target_bps: float, steps: int, *,
    line_rate_bps: float, fast_recovery: int, rate_ai_bps: float, rate_hai_bps: float,
) -> list[float]:  # fmt: skip
    """Rates in bit/s after each of `steps` timer events of a machine that has a timer and no byte counter.

    The first `fast_recovery` events halve the gap, the next one raises the target by the additive and all
    later ones by the hyper increase, as in the ns-3 model of HPCC; the target stops at the line rate.
    """
    rates: list[float] = []
    for stage in range(steps):
        if stage >= fast_recovery:
            raise_bps = rate_ai_bps if stage == fast_recovery else rate_hai_bps
            target_bps = min(line_rate_bps, target_bps + raise_bps)
        rate_bps = (rate_bps + target_bps) / 2
        rates.append(rate_bps)
    return rates


@dataclass(frozen=True, slots=True)
class ReactionPoint:
    """Constants of a sender's rate machine; the defaults are the 40 Gb/s set of the 2015 paper."""

    line_rate_bps: float = 40e9
    timer_s: float = 55e-6
    byte_counter_bytes: float = 10e6
    fast_recovery: int = 5
    rate_ai_bps: float = 40e6
    rate_hai_bps: float = 400e6


def recovery_s(
    point: ReactionPoint, rate_bps: float | Missing, target_bps: float | Missing, goal_bps: float
) -> float | Missing:
    """Seconds from a cut, after which no CNP comes, until the rate is at `goal_bps` again; Missing when a rate is.

    `rate_bps` is the rate after the cut and `target_bps` that before it. Both counters start at 0. An event is the end
    of a timer period or `byte_counter_bytes` sent; the first F of a kind only halve the gap to the target, then each
    event raises the target by the additive increase, and i times the hyper increase once both are i above F.
    """
    if isinstance(rate_bps, Missing) or isinstance(target_bps, Missing):
        return rate_bps if isinstance(rate_bps, Missing) else target_bps
    if not 0 < rate_bps <= target_bps <= point.line_rate_bps or goal_bps > point.line_rate_bps:
        raise ValueError(f"rates go up from {rate_bps:g} by {target_bps:g} to {point.line_rate_bps:g} bit/s")
    now, ticks, fills, left = 0.0, 0, 0, point.byte_counter_bytes
    while rate_bps < goal_bps:
        to_tick, to_fill = (ticks + 1) * point.timer_s - now, left * BITS_PER_BYTE / rate_bps
        step = min(to_tick, to_fill)
        now += step
        left -= rate_bps * step / BITS_PER_BYTE
        target_bps = min(point.line_rate_bps, target_bps + _increase_bps(point, ticks, fills))
        rate_bps = (rate_bps + target_bps) / 2
        if point.line_rate_bps - rate_bps < 1:  # halving never quite arrives
            rate_bps = point.line_rate_bps
        if to_tick <= to_fill:
            ticks += 1
        else:
            fills, left = fills + 1, point.byte_counter_bytes
    return now


def _increase_bps(point: ReactionPoint, ticks: int, fills: int) -> float:
    """What an event adds to the target after so many complete timer periods and byte counters."""
    if min(ticks, fills) > point.fast_recovery:
        return (min(ticks, fills) - point.fast_recovery) * point.rate_hai_bps
    return point.rate_ai_bps if max(ticks, fills) >= point.fast_recovery else 0.0


def cnps_expected(marked_ps: Iterable[int], interval_ps: int) -> int:
    """CNPs a notification point sends for CE packets arriving at `marked_ps` (ascending, ps).

    The first CE packet is answered at once, later ones only when `interval_ps` has passed since the last CNP.
    """
    count = 0
    ready_ps: int | None = None
    for arrival in marked_ps:
        if ready_ps is None or arrival >= ready_ps:
            count += 1
            ready_ps = arrival + interval_ps
    return count


def _check_flows(flows: int) -> None:
    if flows < 1:
        raise ValueError(f"a fixed point needs at least one flow, not {flows}")


def _any_marked(probability: float, packets: float) -> float:
    """Probability that at least one of `packets` packets is marked: 1 - (1-p)^n, exact for tiny p."""
    return -math.expm1(packets * math.log1p(-probability))


def _per_packets(probability: float, packets: float) -> float:
    """The term 1 / ((1-p)^-n - 1) of the model: increase events per marking interval; 0 when it overflows."""
    exponent = -packets * math.log1p(-probability)
    return 0.0 if exponent > 700 else 1 / math.expm1(exponent)


def _decrease_minus_increase(model: FluidModel, flows: int, p: float) -> float:
    """Difference of the two sides of the fixed-point equation; negative below the root, positive above it."""
    rate = model.capacity_pps / flows
    byte_packets, timer_packets = model.byte_counter_packets, model.timer_s * rate
    by_bytes, by_timer = _per_packets(p, byte_packets), _per_packets(p, timer_packets)
    cut = _any_marked(p, model.cnp_interval_s * rate) / model.cnp_interval_s
    alpha = _any_marked(p, model.alpha_timer_s * rate)
    survive = math.log1p(-p) * model.fast_recovery
    additive = math.exp(survive * byte_packets) * by_bytes + math.exp(survive * timer_packets) * by_timer
    gap_times = alpha * cut * cut  # (Rt - Rc) times the cut rate, before dividing by p (b + t)
    return gap_times - model.rate_ai_pps * rate * p * additive * p * (by_bytes + by_timer)
