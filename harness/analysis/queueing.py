"""Queues: RED marking, M/D/1, and the fill times of an incast.

Sources: Floyd and Jacobson 1993 (RED) with the DCQCN profile (probability 1 above Kmax); Pollaczek-Khinchine
for M/D/1; arithmetic of rates for the rest. Sizes are bytes, rates bit/s, times seconds unless named `_ps`.
"""

from __future__ import annotations

PS_PER_S = 10**12


def red_probability(queue_bytes: float, *, kmin_bytes: float, kmax_bytes: float, pmax: float) -> float:
    """Marking probability: 0 up to Kmin, linear to Pmax at Kmax, 1 above Kmax. Kmin = Kmax is a step."""
    if queue_bytes <= kmin_bytes:
        return 0.0
    if queue_bytes > kmax_bytes:
        return 1.0
    return pmax * (queue_bytes - kmin_bytes) / (kmax_bytes - kmin_bytes)


def md1_wait(load: float, service: float) -> float:
    """Mean wait before service of an M/D/1 queue, in the unit of `service`: load service / (2 (1 - load))."""
    _check_load(load)
    return load * service / (2 * (1 - load))


def md1_length(load: float) -> float:
    """Mean number of customers in an M/D/1 system: load + load^2 / (2 (1 - load))."""
    _check_load(load)
    return load + load * load / (2 * (1 - load))


def incast_fill_ps(threshold_bytes: float, senders: int, rate_bps: float) -> float:
    """Time in ps until N senders at line rate into one port of that rate fill `threshold_bytes` of queue."""
    if senders < 2:
        raise ValueError(f"a queue only grows with at least two senders, not {senders}")
    return threshold_bytes * 8 * PS_PER_S / ((senders - 1) * rate_bps)


def fill_ps(threshold_bytes: float, in_bps: float, out_bps: float) -> float:
    """Time in ps until `in_bps` into a port that sends `out_bps` fill `threshold_bytes` of queue."""
    if in_bps <= out_bps:
        raise ValueError(f"a queue only grows when more comes in ({in_bps:g}) than goes out ({out_bps:g})")
    return threshold_bytes * 8 * PS_PER_S / (in_bps - out_bps)


def incast_completion_ps(total_bytes: float, rate_bps: float, rtt_ps: float = 0.0) -> float:
    """Lower bound in ps for `total_bytes` on the wire through one port, plus one round trip."""
    return total_bytes * 8 * PS_PER_S / rate_bps + rtt_ps


def incast_peak_bytes(senders: int, message_bytes: float) -> float:
    """Queue of a synchronous incast without any control when the senders finish: (N - 1) m bytes."""
    return (senders - 1) * message_bytes


def _check_load(load: float) -> None:
    if not 0 <= load < 1:
        raise ValueError(f"a queue is stable for loads from 0 to below 1, not {load}")
