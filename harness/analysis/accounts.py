"""What switches took in, and what became of it: nothing may vanish, and no buffer may stay taken."""

from __future__ import annotations

from typing import Any

from harness.core.counters import Counter
from harness.core.evidence import Missing, total
from harness.core.flow_results import Known
from harness.core.result import RunResult


def vanished_frames(result: RunResult) -> Known:
    """Return the frames that switches took in and neither sent on nor counted as dropped, after all flows ended.

    Pause frames are made and taken by ports and are counted apart. Links that lose frames on the way, or go down,
    make the two sides differ for other reasons.
    """
    switches = result.counters.switches
    came, left, dropped = (switches[each] for each in (Counter.RX_PACKETS, Counter.TX_PACKETS, Counter.DROPS))
    vanished: Known = came - left - dropped
    return vanished


def buffer_still_taken_bytes(result: RunResult) -> Known:
    """Return the bytes of shared buffer that all switches still have in use when the run has ended."""
    switches: dict[str, Any] = result.raw.get("switches") or {}
    return total(_number(name, entry.get("shared_end_bytes")) for name, entry in sorted(switches.items()))


def _number(switch: str, value: object) -> Known:
    if isinstance(value, bool) or not isinstance(value, int):
        return Missing(f"switch {switch} does not tell its buffer at the end")
    return value
