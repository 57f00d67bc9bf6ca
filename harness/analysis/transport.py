"""Reliable transport by arithmetic: timers, wire sizes, goodput under loss, completion of a single flow.

Sources: InfiniBand Architecture Specification 1.4 vol. 1 (9.7: ACK timeout and RNR timer codes; 5: header
sizes) and Annex A17 (RoCEv2); geometric counting for go-back-N. Sizes are bytes, rates bit/s, times ps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

PS_PER_S: Final = 10**12
ACK_TIMEOUT_UNIT_PS: Final = 4_096_000
RNR_TIMER_US: Final = (
    655360, 10, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1280, 1920,
    2560, 3840, 5120, 7680, 10240, 15360, 20480, 30720, 40960, 61440, 81920, 122880, 163840, 245760, 327680,
    491520,
)  # fmt: skip
"""Microseconds of RNR NAK timer codes 0 to 31."""
RETRY_FOR_EVER: Final = 7
"""The RNR retry count that never gives up."""

ETHERNET: Final = 14
VLAN_TAG: Final = 4
IPV4: Final = 20
IPV6: Final = 40
UDP: Final = 8
BTH: Final = 12
RETH: Final = 16
AETH: Final = 4
DETH: Final = 8
ICRC: Final = 4
FCS: Final = 4
MIN_FRAME: Final = 64
GAP: Final = 20
"""Preamble and start delimiter (8) and the inter-packet gap (12): they take link time, not buffer."""


def ack_timeout_ps(exponent: int) -> int | None:
    """Local ACK timeout 4.096 us * 2^exponent in ps; None for 0, which switches it off."""
    if not 0 <= exponent <= 31:
        raise ValueError(f"the ACK timeout exponent has five bits, 0 to 31, not {exponent}")
    return ACK_TIMEOUT_UNIT_PS << exponent if exponent else None


def give_up_ps(exponent: int, retry_count: int) -> int | None:
    """Least time in ps from a loss to RETRY_EXC_ERR: one timeout for the first try and each retry."""
    timeout = ack_timeout_ps(exponent)
    return None if timeout is None else timeout * (retry_count + 1)


def rnr_timer_ps(code: int) -> int:
    """Time in ps that RNR NAK timer `code` asks a requester to wait."""
    if not 0 <= code <= 31:
        raise ValueError(f"RNR timer codes are 0 to 31, not {code}")
    return RNR_TIMER_US[code] * 10**6


def go_back_n_goodput(loss: float, in_flight_packets: float) -> float:
    """Goodput over capacity when each loss repeats a window of W packets: 1 / (1 + p W)."""
    return 1 / (1 + loss * in_flight_packets)


def in_flight_packets(rate_bps: float, rtt_ps: float, packet_bytes: float) -> float:
    """Packets in one round trip at full rate."""
    return rate_bps * rtt_ps / PS_PER_S / 8 / packet_bytes


@dataclass(frozen=True, slots=True)
class Wire:
    """Sizes of RoCEv2 packets; `fixed_overhead` and `fixed_ack` replace the headers, as other models do."""

    ip_version: int = 4
    vlan: bool = False
    gap_bytes: int = GAP
    fixed_overhead: int | None = None
    fixed_ack: int | None = None

    @property
    def headers(self) -> int:
        """Ethernet, IP, UDP, BTH, ICRC and FCS of any packet."""
        ip = IPV4 if self.ip_version == 4 else IPV6
        return ETHERNET + (VLAN_TAG if self.vlan else 0) + ip + UDP + BTH + ICRC + FCS

    def frame(self, payload: int, extension: int = 0) -> int:
        """Bytes of a frame with `payload` (padded to 4) and `extension` headers, at least 64."""
        if self.fixed_overhead is not None:
            return payload + self.fixed_overhead
        padded = -(-payload // 4) * 4
        return max(MIN_FRAME, self.headers + extension + padded)

    def data(self, payload: int, extension: int = 0) -> int:
        """Bytes of link time of a data packet, with the gap."""
        return self.frame(payload, extension) + self.gap_bytes

    def ack(self) -> int:
        """Bytes of link time of an ACK, with the gap: 66 + 20 on IPv4."""
        frame = self.fixed_ack if self.fixed_ack is not None else max(MIN_FRAME, self.headers + AETH)
        return frame + self.gap_bytes

    def efficiency(self, mtu: int) -> float:
        """Payload over link time of full packets in the middle of a message: 4096/4178 = 98.04 % on IPv4."""
        return mtu / self.data(mtu)

    def message(self, size: int, mtu: int, *, first_extension: int = RETH) -> list[int]:
        """Link bytes of each packet of a message of `size`; the first packet of a write carries a RETH."""
        payloads = [min(mtu, size - offset) for offset in range(0, size, mtu)] or [0]
        return [self.data(payload, first_extension if not i else 0) for i, payload in enumerate(payloads)]


@dataclass(frozen=True, slots=True)
class Hop:
    """A link of a path: rate in bit/s and one-way delay in ps."""

    rate_bps: int
    delay_ps: int


Serialise = Callable[[int, int], int]
"""(wire bytes, rate bit/s) to picoseconds."""


def exact_ps(wire_bytes: int, rate_bps: int) -> int:
    """Serialisation time rounded to the nearest picosecond."""
    return (wire_bytes * 8 * PS_PER_S * 2 + rate_bps) // (2 * rate_bps)


def delivery_ps(
    packets: Sequence[int], path: Sequence[Hop], serialise: Serialise = exact_ps, *, ready: Sequence[int] = ()
) -> list[int]:
    """Arrival in ps of each packet (link bytes) through store-and-forward hops, first in first out.

    Packet i may start at `ready[i]` ps (default: all at 0, so they leave back to back).
    """
    arrival = list(ready) or [0] * len(packets)
    for hop in path:
        free = 0
        for index, size in enumerate(packets):
            free = max(free, arrival[index]) + serialise(size, hop.rate_bps)
            arrival[index] = free + hop.delay_ps
    return arrival


def completion_ps(
    packets: Sequence[int], path: Sequence[Hop], *, ack_bytes: int, ack_every: int = 1,
    serialise: Serialise = exact_ps,
) -> int:  # fmt: skip
    """Completion time in ps of a flow alone: from its first bit to the ACK of its last packet at the sender.

    `packets` are link bytes in order, `path` the hops from sender to receiver; one ACK per `ack_every`
    packets and for the last one takes the same links backwards.
    """
    arrival = delivery_ps(packets, path, serialise)
    last = len(arrival) - 1
    acked = [at for index, at in enumerate(arrival) if (index + 1) % ack_every == 0 or index == last]
    return delivery_ps([ack_bytes] * len(acked), path[::-1], serialise, ready=acked)[-1]
