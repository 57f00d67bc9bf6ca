"""A priority that is paused does not slow another one of the same host."""

from __future__ import annotations

import pytest

from harness import (
    KB,
    MB,
    MS,
    NS,
    Capability,
    Counter,
    Ets,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    at_most,
    equals,
)
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.PFC, Capability.ETS, Capability.PER_PRIORITY_COUNTERS, Capability.LATENCY_HISTOGRAM
    ),
]

QOS = Qos(pfc=Pfc({3}), ets=Ets(), nic=Nic(mtu=4096))
PAUSED = Incast(4, 1000 * MB, priority=3)
# 64 KB every 16 us: 32 Gb/s, less than the half of the port that its weight grants it.
OFFERED = 64 * KB * 8 / 16_000
FULL_RATE = at_least(
    0.99 * OFFERED,
    margin=0.0,
    source="no degradation (sonic-mgmt issue 16190): the load offered; 1 % for the last message",
)
# With equal weights each of the 16 frames of a message waits for one frame of the other priority (0.33 us), and the
# first one for a frame that has begun. Percentiles are read from a histogram of 1 %, here 0.2 us.
WAITED = at_most(
    17 * 334_240 / 1e6 + 0.2, source="DWRR: one frame of the other priority before each of its own"
)
HELD = at_least(
    8,
    source="three quarters of 3.7 ms, once the buffer is full, in pauses of at most 0.336 ms (65535 quanta)",
)
APART = equals(0, source="802.1Qbb: a pause names its priority")


@pytest.mark.plan("ISO-02")
@pytest.mark.parametrize("priority", [0, 4])
def test_a_paused_priority_leaves_others_alone(fabric, expect, priority):
    """h1 is paused on priority 3 all the time; its messages of another priority keep rate and latency."""
    beside = Pair(64 * KB, "h1", "h8", priority=priority, messages=0, interval=16_000 * NS, name="beside")
    alone = fabric.run(Scenario(beside, qos=QOS, duration=4 * MS))
    result = fabric.run(Scenario([PAUSED, beside], qos=QOS, duration=4 * MS))

    host, flow = result.counters.at("h1"), result.flow("beside-0")
    waited = (flow.latency.p99_ps - alone.flow("beside-0").latency.p99_ps) / 1e6
    expect("pauses of priority 3", host.priority(3)[Counter.PAUSE_RX], HELD)
    expect("pauses of the other", host.priority(priority)[Counter.PAUSE_RX], APART)
    expect("rate of the other", flow.goodput_gbps, FULL_RATE, "Gb/s")
    expect("latency added, 99th percentile", waited, WAITED, "us")


@pytest.mark.plan("ISO-02")
@pytest.mark.negative_control("both flows in one priority")
def test_a_shared_priority_is_noticed(fabric, expect):
    """In the paused priority the same messages come late."""
    beside = Pair(64 * KB, "h1", "h8", priority=3, messages=0, interval=16_000 * NS, name="beside")
    alone = fabric.run(Scenario(beside, qos=QOS, duration=4 * MS))
    result = fabric.run(Scenario([PAUSED, beside], qos=QOS, duration=4 * MS))

    flow = result.flow("beside-0")
    waited = (flow.latency.p99_ps - alone.flow("beside-0").latency.p99_ps) / 1e6
    expect("pauses of priority 3", result.counters.at("h1").priority(3)[Counter.PAUSE_RX], HELD)
    expect("rate of the other", flow.goodput_gbps, FULL_RATE, "Gb/s")
    expect("latency added, 99th percentile", waited, WAITED, "us")
