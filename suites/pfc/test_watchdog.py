"""The PFC watchdog breaks a pause storm that lasts, leaves shorter ones alone, and restores the queue afterwards."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    MS,
    Capability,
    Counter,
    Nic,
    PauseStorm,
    Pfc,
    Qos,
    Scenario,
    Watchdog,
    at_least,
    equals,
    within,
)
from harness.analysis.transport import Wire
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.PFC_WATCHDOG, Capability.PAUSE_STORM, Capability.SWITCH_COUNTERS),
]

# SONiC's defaults: detect 200 ms, restore 200 ms; polled every 100 ms.
QOS = Qos(
    pfc=Pfc({3}, watchdog=Watchdog(detect=200 * MS, restore=200 * MS, poll=100 * MS)), nic=Nic(mtu=4096)
)
STORMED = Pair(20 * MB, "h1", "h9", priority=3, rate=1 * GBPS, name="stormed")
BACKGROUND = Pair(60 * MB, "h2", "h9", priority=4, rate=1 * GBPS, name="background")
RATE = at_least(
    0.95 * Wire().efficiency(4096), source="the load offered less headers; 5 % as in the SONiC PFC suite"
)
DETECTION = within(200, 300, source="detection time to detection time plus one poll")


@pytest.mark.plan("WD-01", "WD-02")
@pytest.mark.parametrize("at_ms", [10, 50, 90])
def test_a_long_storm_is_broken_and_the_queue_restored(fabric, expect, at_ms):
    """A storm of 400 ms is detected after 200 to 300 ms, its queue discarded, and restored when the storm ends."""
    storm = PauseStorm(at_ms * MS, "h9:p0", {3}, 400 * MS)
    scenario = Scenario(
        [STORMED, BACKGROUND],
        qos=QOS,
        events=[storm],
        duration=1000 * MS,
        sample_every=10 * MS,
        may_fail=["stormed-*"],
    )
    result = fabric.run(scenario)

    port = result.counters.at("sw1:e9").priority(3)
    expect("storms detected", port[Counter.WATCHDOG_DETECTED], equals(1))
    expect("paused until detection", port[Counter.PAUSE_RX_DURATION] / MS, DETECTION, "ms")
    expect("frames discarded", result.counters[Counter.DROPS_WATCHDOG], at_least(1), source="action drop")
    expect("queues restored", port[Counter.WATCHDOG_RESTORED], equals(1))
    expect("background", result.flow("background-0").goodput_gbps, RATE, "Gb/s")


@pytest.mark.plan("WD-01")
@pytest.mark.negative_control("watchdog switched off")
def test_a_storm_goes_on_without_watchdog(fabric, expect):
    """Without watchdog nothing is detected and the queue stands still for the whole storm."""
    storm = PauseStorm(50 * MS, "h9:p0", {3}, 400 * MS)
    qos = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
    scenario = Scenario(
        [STORMED, BACKGROUND],
        qos=qos,
        events=[storm],
        duration=1000 * MS,
        sample_every=10 * MS,
        may_fail=["stormed-*"],
    )
    result = fabric.run(scenario)

    port = result.counters.at("sw1:e9").priority(3)
    expect("storms detected", port[Counter.WATCHDOG_DETECTED], equals(1))
    expect("paused until detection", port[Counter.PAUSE_RX_DURATION] / MS, DETECTION, "ms")
    expect("queues restored", port[Counter.WATCHDOG_RESTORED], equals(1))


@pytest.mark.plan("WD-02")
@pytest.mark.negative_control("a watchdog of twice the detection time")
def test_a_slow_watchdog_is_noticed(fabric, expect):
    """A watchdog set to 400 ms does not pass for one of 200 ms."""
    slow = Qos(
        pfc=Pfc({3}, watchdog=Watchdog(detect=400 * MS, restore=200 * MS, poll=100 * MS)), nic=Nic(mtu=4096)
    )
    storm = PauseStorm(50 * MS, "h9:p0", {3}, 600 * MS)
    scenario = Scenario(
        [STORMED, BACKGROUND],
        qos=slow,
        events=[storm],
        duration=1000 * MS,
        sample_every=10 * MS,
        may_fail=["stormed-*"],
    )
    result = fabric.run(scenario)

    port = result.counters.at("sw1:e9").priority(3)
    expect("storms detected", port[Counter.WATCHDOG_DETECTED], equals(1))
    expect("paused until detection", port[Counter.PAUSE_RX_DURATION] / MS, DETECTION, "ms")


@pytest.mark.plan("WD-01")
def test_a_short_storm_is_left_alone(fabric, expect):
    """A storm of 150 ms is shorter than the detection time: nothing is detected and nothing discarded."""
    storm = PauseStorm(50 * MS, "h9:p0", {3}, 150 * MS)
    scenario = Scenario(
        [STORMED, BACKGROUND], qos=QOS, events=[storm], duration=600 * MS, sample_every=10 * MS
    )
    result = fabric.run(scenario)

    port = result.counters.at("sw1:e9").priority(3)
    expect("paused", port[Counter.PAUSE_RX_DURATION] / MS, within(149, 151), "ms", source="the storm")
    expect("storms detected", port[Counter.WATCHDOG_DETECTED], equals(0))
    expect("frames dropped", result.counters[Counter.DROPS], equals(0))


@pytest.mark.plan("PFC-12")
def test_a_throttling_storm_is_left_alone(fabric, expect):
    """Pauses with gaps for 600 ms slow the flow and never hold it for the detection time: the watchdog stays quiet."""
    storm = PauseStorm(50 * MS, "h9:p0", {3}, 600 * MS, interval=2 * MS)
    scenario = Scenario(
        [STORMED, BACKGROUND], qos=QOS, events=[storm], duration=1000 * MS, sample_every=10 * MS
    )
    result = fabric.run(scenario)

    port = result.counters.at("sw1:e9").priority(3)
    expect(
        "paused",
        port[Counter.PAUSE_RX_DURATION] / MS,
        within(0.9 * 100.6, 1.1 * 100.6),
        "ms",
        source="300 pauses of 335.5 us",
    )
    expect("storms detected", port[Counter.WATCHDOG_DETECTED], equals(0))
    expect("frames dropped", result.counters[Counter.DROPS], equals(0))


@pytest.mark.plan("PFC-12", "WD-01")
@pytest.mark.negative_control("a storm without gaps, and long enough")
def test_a_watchdog_that_acts_is_noticed(fabric, expect):
    """The same measurements see the watchdog when it does act."""
    storm = PauseStorm(50 * MS, "h9:p0", {3}, 400 * MS)
    scenario = Scenario(
        [STORMED, BACKGROUND],
        qos=QOS,
        events=[storm],
        duration=1000 * MS,
        sample_every=10 * MS,
        may_fail=["stormed-*"],
    )
    result = fabric.run(scenario)

    expect("storms detected", result.counters.at("sw1:e9").priority(3)[Counter.WATCHDOG_DETECTED], equals(0))
    expect("frames dropped", result.counters[Counter.DROPS], equals(0))
