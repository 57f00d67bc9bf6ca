"""Clocks of hosts as seen from the controller: offset, drift, jumps, and how far apart hosts started.

All clocks here are monotonic ones (CLOCK_MONOTONIC), in ns. The offset comes from round trips: the host read
its clock somewhere between the sending of the question and the arrival of the answer, so the middle is off by
at most half the round trip. The shortest of many round trips gives the best estimate (Cristian 1989; NTP's
clock filter picks the sample of least delay for the same reason).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil

Clock = Callable[[], int]

LEAST_SAMPLES = 16
"""Round trips of one reading at least."""

MOST_SAMPLES = 64
"""Round trips of one reading at most."""

SETTLED_AFTER = 16
"""So many round trips in a row without a shorter one end a reading."""

MEASURED_DRIFT_NS = 100_000_000
"""Readings closer than 0.1 s tell nothing about drift: their error is larger than any drift."""


@dataclass(frozen=True, slots=True)
class HostTime:
    """What a host's clocks show at one instant: monotonic and wall clock, in ns."""

    mono_ns: int
    real_ns: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One comparison of clocks.

    `offset_ns` is the host's monotonic clock minus the controller's, right to within `rtt_ns` / 2; `at_ns` is
    when, on the controller's clock; `wall_ns` is the host's wall clock minus its own monotonic clock, which
    only changes when somebody sets the wall clock.
    """

    offset_ns: int
    rtt_ns: int
    at_ns: int
    wall_ns: int


def read_clock(ask: Callable[[], HostTime], *, now: Clock = time.monotonic_ns) -> Reading:
    """Compare a host's clock with this one's: `ask` is one round trip to it."""
    best: Reading | None = None
    since_best = 0
    for count in range(1, MOST_SAMPLES + 1):
        sample = _sample(ask, now)
        if best is None or sample.rtt_ns < best.rtt_ns:
            best, since_best = sample, 0
        else:
            since_best += 1
        if count >= LEAST_SAMPLES and since_best >= SETTLED_AFTER:
            break
    assert best is not None  # noqa: S101 - there is at least one sample
    return best


def _sample(ask: Callable[[], HostTime], now: Clock) -> Reading:
    sent = now()
    there = ask()
    back = now()
    middle = (sent + back) // 2
    return Reading(there.mono_ns - middle, back - sent, middle, there.real_ns - there.mono_ns)


@dataclass(frozen=True, slots=True)
class ClockMap:
    """A host's clock from the readings before and after a run; `after` is None while it runs.

    Between and beyond the readings the offset is on the line through both.
    """

    before: Reading
    after: Reading | None = None

    def to_host(self, controller_ns: int) -> int:
        """Return what the host's clock shows at an instant of the controller."""
        since = controller_ns - self.before.at_ns
        return controller_ns + self.before.offset_ns + round((self.drift or 0.0) * since)

    def to_controller(self, host_ns: int) -> int:
        """Return what the controller's clock shows at an instant of the host: the inverse of `to_host`."""
        since = (
            host_ns - self.before.offset_ns - self.before.at_ns
        )  # of ints: floats lose ns after some months
        return self.before.at_ns + round(since / (1.0 + (self.drift or 0.0)))

    @property
    def drift(self) -> float | None:
        """Seconds that the host's clock gains per second; None when that was not measured."""
        if self.after is None or self.after.at_ns - self.before.at_ns < MEASURED_DRIFT_NS:
            return None
        return (self.after.offset_ns - self.before.offset_ns) / (self.after.at_ns - self.before.at_ns)

    def uncertainty_ns(self, controller_ns: int) -> int:
        """Return how wrong the mapping can be at an instant.

        At a reading that is half its round trip; between two readings their errors mix as the line does.
        """
        first = self.before.rtt_ns / 2
        if self.after is None or self.drift is None:
            return ceil(first)
        part = (controller_ns - self.before.at_ns) / (self.after.at_ns - self.before.at_ns)
        return ceil(abs(1 - part) * first + abs(part) * self.after.rtt_ns / 2)

    @property
    def jump_ns(self) -> int | None:
        """By how much the host's wall clock was set between the readings; None without a second one."""
        return None if self.after is None else self.after.wall_ns - self.before.wall_ns

    def as_result(self) -> dict[str, object]:
        """Return it as a result writes it."""
        drift = self.drift
        return {
            "offset_ns": self.before.offset_ns,
            "rtt_ns": self.before.rtt_ns,
            "uncertainty_ns": self.uncertainty_ns(self.before.at_ns),
            "drift_ppm": None if drift is None else round(drift * 1e6, 3),
            "jump_ns": self.jump_ns,
        }


def start_skew_ns(started: Mapping[str, int], clocks: Mapping[str, ClockMap]) -> int | None:
    """Return how far apart hosts can have started: the spread of the instants and what the clocks leave open.

    `started` holds each host's own monotonic clock at its start. One host has no skew; None when none started.
    """
    if not started:
        return None
    spans = [_span(clocks[host], instant) for host, instant in started.items()]
    return max([0, *_gaps(spans)])


def _span(clock: ClockMap, instant: int) -> tuple[int, int]:
    """Return the earliest and the latest controller time that a host's instant can have been."""
    middle = clock.to_controller(instant)
    around = clock.uncertainty_ns(middle)
    return middle - around, middle + around


def _gaps(spans: list[tuple[int, int]]) -> Iterable[int]:
    for index, (_, latest) in enumerate(spans):
        for other, (earliest, _) in enumerate(spans):
            if other != index:
                yield latest - earliest
