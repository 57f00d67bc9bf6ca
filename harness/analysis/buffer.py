"""Shared packet buffers by arithmetic: what a port may hold, the burst it absorbs, the cycle of XOFF and XON.

Sources: the dynamic threshold of Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory
Packet Switches" (1998): a queue may hold alpha times the free buffer; conservation of bytes for the rest.
Sizes are bytes, rates bit/s, times picoseconds.
"""

from __future__ import annotations

from harness.analysis.pfc import PS_PER_S, dynamic_queue_bytes


def shared_bytes(buffer_bytes: int, ports: int, *, headroom_bytes: int = 0, reserve_bytes: int = 0) -> int:
    """Buffer that all share: what the headroom and reserve of each port-priority (`ports` of them) leave."""
    shared = buffer_bytes - ports * (headroom_bytes + reserve_bytes)
    if shared <= 0:
        raise ValueError(f"{ports} ports set aside all of the {buffer_bytes} bytes")
    return shared


def xon_bytes(alpha: float, shared: float, offset_bytes: float) -> float:
    """Use at which a lone paused port resumes: where it is `offset_bytes` below its threshold, which moves.

    q + offset = alpha (B - q), so that q = (alpha B - offset) / (1 + alpha).
    """
    return max(0.0, (alpha * shared - offset_bytes) / (1 + alpha))


def absorbed_burst_bytes(alpha: float, shared: float, senders: int) -> float:
    """Largest burst of each of N senders at the rate of the one port they share that passes no ingress threshold.

    While a burst of m bytes arrives at each ingress port, the port serves m / N of it; what is left, m (1 - 1/N),
    is at most the threshold of N equally filled ports, alpha B / (1 + N alpha).
    """
    return dynamic_queue_bytes(alpha, shared, senders) / (1 - 1 / _at_least_two(senders))


def absorbed_egress_burst_bytes(alpha: float, shared: float, senders: int) -> float:
    """As `absorbed_burst_bytes` where the one egress queue has the threshold: (N - 1) m <= alpha B / (1 + alpha)."""
    return dynamic_queue_bytes(alpha, shared, 1) / (_at_least_two(senders) - 1)


def pause_cycle_ps(swing_bytes: float, fill_bps: float, drain_bps: float) -> float:
    """Time from one pause to the next of a port whose use swings by so much between XON and XOFF.

    Paused it drains at the rate of its receiver, otherwise it fills at what the sender sends in excess of that.
    """
    return swing_bytes * 8 * PS_PER_S * (1 / drain_bps + 1 / (fill_bps - drain_bps))


def _at_least_two(senders: int) -> int:
    if senders < 2:
        raise ValueError(f"a port is overrun by at least two senders of its rate, not {senders}")
    return senders
