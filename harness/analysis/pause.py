"""How long ports were paused: from a duration counter, a series, or pause and resume frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.analysis.samples import known
from harness.core.evidence import Missing

PS_PER_NS = 1000


@dataclass(frozen=True, slots=True)
class PauseFrame:
    """A pause or resume seen at its arrival: when (ns), at which node and interface, for which priority."""

    time_ns: int
    node: str
    interface: int
    pauses: bool
    priority: int = 3


def duty(paused_ps: float, window_ps: float) -> float | Missing:
    """Part of a window that a port was paused, from its duration counter; Missing for an empty window."""
    if window_ps <= 0:
        return Missing("the window of the pause duty is empty")
    return paused_ps / window_ps


def mean_duty(fractions: Iterable[float | Missing]) -> float | Missing:
    """Mean of a series of pause fractions of equal intervals; Missing when it has no sample or a gap."""
    samples = known(fractions)
    if isinstance(samples, Missing):
        return samples
    return sum(samples) / len(samples) if samples else Missing("the series has no samples")


def paused_ps(frames: Iterable[PauseFrame], end_ps: int) -> dict[tuple[str, int, int], int]:
    """Paused time in ps by (node, interface, priority), until `end_ps` where no resume came.

    For pauses that last until a resume; a second pause of a paused port changes nothing. Frames are in time
    order.
    """
    since: dict[tuple[str, int, int], int] = {}
    total: dict[tuple[str, int, int], int] = {}
    for frame in frames:
        key = (frame.node, frame.interface, frame.priority)
        total.setdefault(key, 0)
        if frame.pauses:
            since.setdefault(key, frame.time_ns * PS_PER_NS)
        elif key in since:
            total[key] += frame.time_ns * PS_PER_NS - since.pop(key)
    for key, start in since.items():
        total[key] += end_ps - start
    return total
