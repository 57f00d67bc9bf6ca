"""Priority flow control by arithmetic: quanta, headroom, pause rates and shared-buffer thresholds.

Sources: IEEE 802.1Qbb / 802.1Q clause 36 (frame, quanta), IEEE 802.3 31B.3.7 (response time), the dynamic
threshold of Choudhury and Hahne (1998), SONiC's documented headroom calculation, and the shared-buffer rule
of the ns-3 model published with HPCC (SIGCOMM 2019). Rates are bit/s, times picoseconds, sizes bytes.
"""

from __future__ import annotations

from typing import Final

PS_PER_S: Final = 10**12
QUANTUM_BITS: Final = 512
"""One pause quantum is the time of 512 bits (802.3 31B)."""
QUANTUM_BYTES: Final = QUANTUM_BITS // 8
MAX_QUANTA: Final = 65535
PFC_FRAME_BYTES: Final = 64
"""A PFC frame is a minimum-size frame: 14 header, 2 opcode, 2 vector, 16 timers, 26 pad, 4 FCS."""
CABLE_M_PER_S: Final = 1.98e8
"""Speed of a signal in fibre or copper that SONiC's headroom calculation uses, metres a second."""
HPCC_RESERVE_BYTES: Final = 4096
"""Reserve of each port in the shared-buffer rule of the HPCC ns-3 model."""
RESPONSE_QUANTA: Final[dict[int, int]] = {
    100_000_000: 1,
    1_000_000_000: 2,
    10_000_000_000: 67,
    25_000_000_000: 80,
    40_000_000_000: 118,
    50_000_000_000: 147,
    100_000_000_000: 394,
    200_000_000_000: 453,
    400_000_000_000: 905,
    800_000_000_000: 905,
}
"""Quanta a port may take to stop after a pause, by rate; 800 Gb/s is not in the standard, SONiC uses 905."""


def quantum_ps(rate_bps: int) -> float:
    """Length of one pause quantum in picoseconds: 5120 ps at 100 Gb/s."""
    return QUANTUM_BITS * PS_PER_S / rate_bps


def pause_ps(rate_bps: int, quanta: int = MAX_QUANTA) -> float:
    """Time in picoseconds that one frame of `quanta` holds the peer: 335.5 us at 100 Gb/s and 65535."""
    return quanta * quantum_ps(rate_bps)


def min_pause_frame_rate(rate_bps: int, quanta: int = MAX_QUANTA) -> float:
    """Pause frames a second that keep a peer silent for ever: the inverse of `pause_ps`."""
    return PS_PER_S / pause_ps(rate_bps, quanta)


def pause_fraction(senders: int) -> float:
    """Part of time each of N saturating senders of an incast is paused when PFC alone slows them: 1 - 1/N."""
    if senders < 1:
        raise ValueError(f"an incast needs at least one sender, not {senders}")
    return 1 - 1 / senders


def pause_fraction_range(
    senders: int, rate_bps: int, run_ps: int, *, buffer_bytes: int, unfair: float = 0.0
) -> tuple[float, float]:
    """Least and greatest part of a run of `run_ps` that one of N saturating senders of an incast is paused.

    Together the senders send what the port carries, and once what the switch can hold; each of them 1/N of
    it, or `unfair` (a part of its share) less or more. A sender that is not paused sends at line rate.
    """
    share = 1 - pause_fraction(senders)
    held = buffer_bytes * 8 * PS_PER_S / (rate_bps * run_ps)
    return max(0.0, 1 - share * (1 + unfair) * (1 + held)), 1 - share * (1 - unfair)


def response_bytes(rate_bps: int) -> int:
    """Bytes a port may still send between the arrival of a pause and its effect (802.3 31B.3.7)."""
    if rate_bps not in RESPONSE_QUANTA:
        known = ", ".join(f"{rate // 10**6}M" for rate in RESPONSE_QUANTA)
        raise ValueError(f"no response time is standardised for {rate_bps} bit/s; known: {known}")
    return RESPONSE_QUANTA[rate_bps] * QUANTUM_BYTES


def cable_bytes(rate_bps: int, cable_m: float) -> int:
    """Bytes in flight on a cable of `cable_m` metres, both ways, rounded to the nearest byte."""
    return round(2 * cable_m * rate_bps / (CABLE_M_PER_S * 8))


def headroom_bytes(
    rate_bps: int, cable_m: float, *, mtu_bytes: int = 9216, mac_phy_bytes: int = 0, cell_factor: float = 1.0,
) -> int:  # fmt: skip
    """Headroom of one lossless port-priority in bytes, SONiC's calculation without its rounding to KiB.

    One MTU may be in transmission at the receiver when it decides to pause (the pause waits behind it) and
    one at the sender when the pause arrives, plus what the cable holds, the response time and the MAC/PHY
    delay. `cell_factor` >= 1 inflates what arrives by the worst cell occupancy.
    """
    arriving = mtu_bytes + cable_bytes(rate_bps, cable_m) + mac_phy_bytes + response_bytes(rate_bps)
    return mtu_bytes + round(cell_factor * arriving)


def worst_headroom_bytes(
    rate_bps: int, delay_ps: int, *, mtu_wire_bytes: int, mtu_buffer_bytes: int, pause_wire_bytes: int = 84,
    response_bytes: int = 0,
) -> int:  # fmt: skip
    """Zero-loss headroom in bytes of a port on a link of one-way `delay_ps` in the worst alignment.

    From the byte that crosses the threshold: the pause waits for one frame of the reverse direction, is
    itself serialised, flies; the peer ends the frame it has begun; what is on the wire then still arrives.
    `mtu_wire_bytes` occupies the link (with gap), `mtu_buffer_bytes` the buffer, `pause_wire_bytes` is a
    pause frame with preamble and gap.
    """
    flight = -(-2 * delay_ps * rate_bps // (8 * PS_PER_S))
    link_bytes = mtu_wire_bytes + pause_wire_bytes + flight + response_bytes
    packets = -(-link_bytes // mtu_wire_bytes) + 1
    return packets * mtu_buffer_bytes


def dynamic_queue_bytes(alpha: float, shared_bytes: float, congested: int) -> float:
    """Steady bytes in each of k congested queues under a dynamic threshold: alpha B / (1 + k alpha)."""
    return alpha * shared_bytes / (1 + congested * alpha)


def hpcc_headroom_bytes(rate_bps: int, delay_ps: int) -> int:
    """Headroom of a port in the ns-3 model of HPCC: three one-way delay products, in bytes."""
    delay_ns = delay_ps // 1000
    return rate_bps * delay_ns // 8 // 10**9 * 3


def hpcc_shift(rate_bps: int, nic_rate_bps: int) -> int:
    """Right shift of the free buffer that gives a PFC threshold: 3, less 1 per doubling over the NIC rate."""
    shift = 3
    while rate_bps > nic_rate_bps and shift > 0:
        shift -= 1
        rate_bps //= 2
    return shift


def hpcc_threshold_bytes(
    buffer_bytes: int, ports: list[tuple[int, int]], nic_rate_bps: int, *, port: int = 0, used_bytes: int = 0,
    reserve_bytes: int = HPCC_RESERVE_BYTES,
) -> int:  # fmt: skip
    """PFC threshold in bytes of `ports[port]` of a switch of that model; a port is (rate bit/s, delay ps)."""
    headroom = sum(hpcc_headroom_bytes(rate, delay) for rate, delay in ports)
    free = buffer_bytes - headroom - len(ports) * reserve_bytes - used_bytes
    return free >> hpcc_shift(ports[port][0], nic_rate_bps)
