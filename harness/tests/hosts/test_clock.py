"""Clocks of hosts: what round trips tell about them."""

from __future__ import annotations

import itertools
import random

import pytest

from harness.hosts.clock import (
    LEAST_SAMPLES,
    MOST_SAMPLES,
    ClockMap,
    HostTime,
    Reading,
    read_clock,
    start_skew_ns,
)


class World:
    """A controller and a host whose clock is off; each way takes a random time."""

    def __init__(self, offset_ns, seed=1, fastest_ns=200_000):
        self.now_ns = 10**12
        self.offset_ns = offset_ns
        self.random = random.Random(seed)
        self.fastest_ns = fastest_ns
        self.asked = 0

    def now(self):
        return self.now_ns

    def ask(self):
        self.asked += 1
        self.now_ns += self.fastest_ns + round(self.random.expovariate(1 / 3e6))
        seen = HostTime(self.now_ns + self.offset_ns, self.now_ns + 5)
        self.now_ns += self.fastest_ns + round(self.random.expovariate(1 / 3e6))
        return seen


@pytest.mark.parametrize("seed", range(20))
def test_the_offset_is_right_to_half_the_round_trip(seed):
    world = World(-123_456_789, seed)
    reading = read_clock(world.ask, now=world.now)
    assert abs(reading.offset_ns - world.offset_ns) <= reading.rtt_ns / 2
    assert reading.rtt_ns < 4_000_000
    assert LEAST_SAMPLES <= world.asked <= MOST_SAMPLES


def test_readings_go_on_while_they_get_better():
    rtts = itertools.count(1_000_000, -10_000)
    now = [0]

    def ask():
        now[0] += next(rtts)
        return HostTime(0, 0)

    assert read_clock(ask, now=lambda: now[0]).rtt_ns == 1_000_000 - (MOST_SAMPLES - 1) * 10_000


def clock(offset, rtt=1000, after=None, wall=(0, 0)):
    before = Reading(offset, rtt, 0, wall[0])
    return ClockMap(before, None if after is None else Reading(after, rtt, 10**9, wall[1]))


def test_there_and_back_is_the_same_instant():
    drifting = clock(500, after=500 + 50_000)
    for instant in (0, 10**8, 10**9, 5 * 10**9):
        assert abs(drifting.to_controller(drifting.to_host(instant)) - instant) <= 1


def test_drift_is_followed_between_the_readings():
    drifting = clock(0, after=100_000)
    assert drifting.drift == pytest.approx(1e-4)
    assert drifting.to_host(5 * 10**8) == 5 * 10**8 + 50_000
    assert clock(7).drift is None
    assert ClockMap(Reading(0, 1, 0, 0), Reading(9, 1, 1000, 0)).drift is None


def test_a_wall_clock_that_was_set_is_seen_and_drift_is_not_taken_for_it():
    assert clock(0, after=9_000, wall=(100, 100)).jump_ns == 0
    assert clock(0, after=0, wall=(100, 100 - 3600 * 10**9)).jump_ns == -3600 * 10**9
    assert clock(0).jump_ns is None


def test_skew_is_the_spread_and_what_the_clocks_leave_open():
    clocks = {"a": clock(10**15, 2000), "b": clock(-(10**15), 4000)}
    started = {"a": 10**15 + 5_000, "b": -(10**15) + 12_000}
    assert start_skew_ns(started, clocks) == 7_000 + 1_000 + 2_000


def test_the_uncertainty_is_that_of_the_nearer_reading():
    uneven = ClockMap(Reading(0, 1000, 0, 0), Reading(0, 9000, 10**9, 0))
    assert uneven.uncertainty_ns(0) == 500
    assert uneven.uncertainty_ns(10**9) == 4500
    assert uneven.uncertainty_ns(10**8) == 900
    assert uneven.uncertainty_ns(2 * 10**9) > 4500
    assert clock(0, 1001).uncertainty_ns(10**12) == 501


@pytest.mark.parametrize("seed", range(10))
def test_the_true_instant_is_within_the_uncertainty(seed):
    world = World(10**15, seed)
    before = read_clock(world.ask, now=world.now)
    world.now_ns += 10**9
    world.offset_ns += 100_000  # 100 ppm of the second that passed
    after = read_clock(world.ask, now=world.now)
    mapped = ClockMap(before, after)
    middle = (before.at_ns + after.at_ns) // 2
    true_offset = 10**15 + 50_000
    slack = 10_000  # the readings themselves take some time, in which the world's clock did not drift
    assert abs(mapped.to_host(middle) - middle - true_offset) <= mapped.uncertainty_ns(middle) + slack


def test_skew_of_one_host_is_zero_and_of_none_unknown():
    assert start_skew_ns({"a": 5}, {"a": clock(0)}) == 0
    assert start_skew_ns({}, {}) is None


def test_the_widest_pair_counts():
    clocks = {name: clock(0, 0) for name in "abc"}
    assert start_skew_ns({"a": 0, "b": 40, "c": 100}, clocks) == 100
