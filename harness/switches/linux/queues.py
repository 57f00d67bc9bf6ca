"""The egress queue of a port as `tc` builds it.

    tbf 4791:            the rate of the link; 24 bytes a frame for FCS, preamble and gap
    └── prio 4792:       15 bands; a band is served when those before it are empty
        ├── 1 … 7        netem 47a1: …, one per delay in use, for packets that the packet filter gave its number
        └── 8 … 15       red 47b0: …, everything else: marking at thresholds, and the end of the buffer

A `red` that is told new thresholds throws away what waits in it, without a count. So each change of a run adds a
`red` in the next band, and what waits in the last one leaves first.

The handle of the root is how leftovers of an earlier run are known: the number is RoCE's UDP port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.errors import ConfigError
from harness.switches.linux.ports import SwitchPort

ROOT, BANDS, RED = "4791:", "4792:", "47b"
"""Handles, and how those of all `red` begin."""

DELAY_BANDS = 7
"""Different delays that one port can have at a time; a mark has three bits for it."""

RED_BANDS = 8
"""Different thresholds that one port can have in a run; `prio` has 16 bands at most."""

DELAY_SHIFT, DELAY_MASK = 28, 0x7000_0000
"""Where a packet's mark has the number of its band."""

WIRE_BYTES = 24
"""What a frame takes on the wire beyond what Linux counts: FCS 4, preamble 8, gap 12."""

BURST_MS = 5
"""The token bucket holds so much time of the rate: what a late timer may catch up with."""

NEVER_BYTES = 1 << 28
"""A threshold that no buffer reaches; RED takes at most 30 bits less its weight."""

DELAY_PACKETS = 100_000
"""Packets that a delay holds at most; more than a TCG guest sends in a minute."""

Command = tuple[str, ...]
Block = Mapping[str, Any]
"""A complete `switch` block of a job."""


@dataclass(frozen=True, slots=True)
class Marking:
    """Thresholds of RED in bytes and its probability at the upper one."""

    min_bytes: int
    max_bytes: int
    probability: float
    drops: bool = False


NO_MARKING = Marking(NEVER_BYTES, 2 * NEVER_BYTES, 0.5)


def marking(ecn: Mapping[str, Any] | None, rate_bps: int) -> Marking:
    """Return what RED is told for the `ecn` block of a job on a port of this rate.

    RED spaces its marks evenly, at gaps of 1 to 1/p packets, so that it marks a share of 2p/(1+p); a scenario
    means independent marks of a share pmax. So p = pmax / (2 - pmax).
    """
    if ecn is None:
        return NO_MARKING
    exact = [each for each in ecn["profiles"] if each["rate_bps"] == rate_bps]
    general = [each for each in ecn["profiles"] if each["rate_bps"] == 0]
    if not exact + general:
        raise ConfigError("no ECN profile for a port of this rate", key="ecn.profiles", value=rate_bps)
    profile = (exact + general)[0]
    low = max(profile["kmin_bytes"], 1)
    high = max(profile["kmax_bytes"], low)
    if high > 2 * NEVER_BYTES:
        raise ConfigError("above what RED can be told", key="kmax_bytes", value=high)
    asked = profile["pmax"] / (2 - profile["pmax"])
    return Marking(low, high, _takeable(asked, high - low), drops=bool(ecn["wred_drop"]))


def _takeable(probability: float, width_bytes: int) -> float:
    """Tc keeps the slope as a power of two from 2^-31 on, and the probability itself in 32 bits."""
    return min(max(probability, (width_bytes + 1) / 2**31, 1e-6), 0.999999)


def build(port: SwitchPort, mtu: int, block: Block, *, delays: bool, red: bool) -> list[Command]:
    """Return the commands that give a port its queue.

    Without `delays` nothing can hold packets back; without `red` the buffer is a plain one (bfifo).
    """
    commands = [_on(port, "add", "root", "handle", ROOT, *_tbf(port.rate_bps, mtu, block))]
    if not delays:
        return [
            *commands,
            _on(port, "add", "parent", f"{ROOT}1", "handle", f"{RED}0:", *_buffer(port, block, red=red)),
        ]
    commands.append(_on(port, "add", "parent", f"{ROOT}1", "handle", BANDS, *_prio(0)))
    commands += [_to_band(port, band) for band in range(1, DELAY_BANDS + 1)]
    return [*commands, _add_red(port, block, 0, red=red)]


def rate(port: SwitchPort, rate_bps: int, mtu: int, block: Block) -> Command:
    """Return the command that changes the rate of a port; what waits stays, thresholds too."""
    return _on(port, "change", "root", "handle", ROOT, *_tbf(rate_bps, mtu, block))


def thresholds(port: SwitchPort, block: Block, turn: int) -> list[Command]:
    """Return the commands that give a port new thresholds for the `turn`-th time; raise ConfigError at the last."""
    if turn >= RED_BANDS:
        hint = f"thresholds of a port change {RED_BANDS - 1} times a run at most"
        raise ConfigError(f"no queue left at {port.place}", key="switch.ecn", value=turn, hint=hint)
    over = _on(port, "change", "parent", f"{ROOT}1", "handle", BANDS, *_prio(turn))
    return [_add_red(port, block, turn, red=True), over]


def _on(port: SwitchPort, verb: str, *rest: str) -> Command:
    return ("tc", "qdisc", verb, "dev", port.netdev, *rest)


def _prio(turn: int) -> Command:
    """All that no filter takes goes to the band of the last thresholds; the map counts bands from 0."""
    priorities = 16
    return ("prio", "bands", str(DELAY_BANDS + RED_BANDS), "priomap", *[str(DELAY_BANDS + turn)] * priorities)


def _add_red(port: SwitchPort, block: Block, turn: int, *, red: bool) -> Command:
    place = ("parent", f"{BANDS}{DELAY_BANDS + 1 + turn:x}", "handle", f"{RED}{turn}:")
    return _on(port, "add", *place, *_buffer(port, block, red=red))


def hold_back(port: SwitchPort, band: int, delay_ps: int) -> Command:
    """Return the command that makes a band hold its packets for a time."""
    netem = ("netem", "delay", f"{max(delay_ps // 1000, 1)}ns", "limit", str(DELAY_PACKETS))
    place = ("parent", f"{BANDS}{band}", "handle", f"47a{band}:")
    return _on(port, "replace", *place, *netem)


def _tbf(rate_bps: int, mtu: int, block: Block) -> Command:
    burst = max(4 * (mtu + WIRE_BYTES), rate_bps * BURST_MS // 8000)
    limit = block["buffer"]["bytes"]
    return (
        "tbf", "rate", f"{rate_bps}bit", "burst", str(burst), "limit", str(limit), "overhead", str(WIRE_BYTES)
    )  # fmt: skip


def _buffer(port: SwitchPort, block: Block, *, red: bool) -> Command:
    """Thresholds follow the rate of the link as it is built; a link that slows down keeps them."""
    if not red:
        return ("bfifo", "limit", str(block["buffer"]["bytes"]))
    return _red(marking(block["ecn"], port.rate_bps), port.rate_bps, block)


def _red(mark: Marking, rate_bps: int, block: Block) -> Command:
    """Tc derives the weight of RED's average from burst and packet size.

    Those given here make it 1/2, the least it takes: the average is that of about two packets.
    """
    burst = min(100, max(1, mark.min_bytes // 1000))
    packet = -(-mark.min_bytes // burst)
    return (
        "red", "limit", str(block["buffer"]["bytes"]), "min", str(mark.min_bytes), "max", str(mark.max_bytes),
        "avpkt", str(packet), "burst", str(burst), "probability", f"{mark.probability:.9f}",
        "bandwidth", f"{rate_bps}bit", "ecn", *(() if mark.drops else ("nodrop",)),
    )  # fmt: skip


def _to_band(port: SwitchPort, band: int) -> Command:
    mark = f"{band << DELAY_SHIFT:#x}/{DELAY_MASK:#x}"
    choice = ("protocol", "all", "prio", "1", "handle", mark, "fw", "classid", f"{BANDS}{band}")
    return ("tc", "filter", "add", "dev", port.netdev, "parent", BANDS, *choice)
