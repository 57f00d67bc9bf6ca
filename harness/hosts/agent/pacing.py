"""When messages may be posted: at a rate, at intervals, or as soon as there is room."""

from __future__ import annotations

import random

SLACK_NS = 20_000_000
"""How far a paced QP may fall behind and catch up: timers of a loaded host are late by milliseconds."""

REACHED = 0.95
"""Part of the asked rate that counts as reached; pacing of whole messages is this coarse in a short run."""


class Pacer:
    """Next posting time of one QP, in ns."""

    def __init__(self, gap_ns: float, interval_ns: int, seed: str | None) -> None:
        self._gap, self._interval = gap_ns, interval_ns
        self._random = random.Random(seed) if seed is not None and interval_ns else None
        self._paced = self._timed = 0.0
        self.next_ns = 0

    def begin(self, now: int) -> None:
        """The first message may go now."""
        self._paced = self._timed = now
        self.next_ns = now

    def posted(self, now: int) -> None:
        """One message was posted: set when the next one may be."""
        if self._gap:
            self._paced = max(self._paced, now - SLACK_NS) + self._gap
            self.next_ns = int(self._paced)
        if self._interval:
            self._timed += self._draw()
            self.next_ns = max(self.next_ns if self._gap else 0, int(self._timed))

    def _draw(self) -> float:
        return self._random.expovariate(1 / self._interval) if self._random else float(self._interval)


def gap_ns(message_bits: int, rate_bps: int) -> float:
    """Return the time between messages that makes a rate; 0 for no rate."""
    return message_bits * 1e9 / rate_bps if rate_bps else 0.0
