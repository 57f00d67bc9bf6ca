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
    at_most,
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
ONE_STORM = equals(1, source="one storm longer than the detection time")
ITS_END = equals(1, source="the storm ends, and no pause comes for the restoration time after it")
NO_STORM = equals(0, source="no pause lasts for the detection time")
LOSSLESS = equals(0, source="nothing is discarded without a storm; what is held fits in the buffer")
DETECTION = within(200, 300, source="detection time to detection time plus one poll")
# Two senders, two receivers, one priority: h9 is stormed, h8 is not. The flow from h1 to h8 waits behind what is held
# for h9 until the watchdog acts; that from h2 to h8 meets the storm nowhere.
VICTIM = Pair(100 * MB, "h1", "h8", priority=3, rate=1 * GBPS, messages=0, name="victim")
OTHER = Pair(100 * MB, "h2", "h8", priority=3, rate=1 * GBPS, messages=0, name="other")
BLOCKED = Pair(100 * MB, "h1", "h9", priority=3, rate=1 * GBPS, messages=0, name="blocked")
LONG_STORM, AT = PauseStorm(50 * MS, "h9:p0", {3}, 600 * MS), 50 * MS
PAUSED_AT_MOST = at_most(
    300, source="from the storm to its detection, one poll late at most; then its queue is empty"
)
# Datagrams, so that the flow goes on as soon as the queue is open: discarded ones are not sent again.
OPEN = Pair(4096, "h1", "h9", verb="send", transport="ud", rate=1 * GBPS, messages=0, name="stormed")
STORM_400 = PauseStorm(10 * MS, "h9:p0", {3}, 400 * MS)
FORWARDING = Qos(
    pfc=Pfc({3}, watchdog=Watchdog(detect=200 * MS, restore=200 * MS, poll=100 * MS, action="forward")),
    nic=Nic(mtu=4096),
)
BEFORE = equals(0, source="restored no sooner than 200 ms after the last pause")


@pytest.mark.plan("WD-01", "WD-02")
@pytest.mark.catches("watchdog_never", "storms detected")
@pytest.mark.catches("watchdog_never_restores", "queues restored")
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
    expect("storms detected", port[Counter.WATCHDOG_DETECTED], ONE_STORM)
    expect("paused until detection", port[Counter.PAUSE_RX_DURATION] / MS, DETECTION, "ms")
    expect("frames discarded", result.counters[Counter.DROPS_WATCHDOG], at_least(1), source="action drop")
    expect("queues restored", port[Counter.WATCHDOG_RESTORED], ITS_END)
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
    expect("storms detected", port[Counter.WATCHDOG_DETECTED], ONE_STORM)
    expect("paused until detection", port[Counter.PAUSE_RX_DURATION] / MS, DETECTION, "ms")
    expect("queues restored", port[Counter.WATCHDOG_RESTORED], ITS_END)


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
    expect("storms detected", port[Counter.WATCHDOG_DETECTED], ONE_STORM)
    expect("paused until detection", port[Counter.PAUSE_RX_DURATION] / MS, DETECTION, "ms")


@pytest.mark.plan("WD-01")
@pytest.mark.catches("watchdog_early", "storms detected")
def test_a_short_storm_is_left_alone(fabric, expect):
    """A storm of 150 ms is shorter than the detection time: nothing is detected and nothing discarded."""
    storm = PauseStorm(50 * MS, "h9:p0", {3}, 150 * MS)
    scenario = Scenario(
        [STORMED, BACKGROUND], qos=QOS, events=[storm], duration=600 * MS, sample_every=10 * MS
    )
    result = fabric.run(scenario)

    port = result.counters.at("sw1:e9").priority(3)
    expect("paused", port[Counter.PAUSE_RX_DURATION] / MS, within(149, 151), "ms", source="the storm")
    expect("storms detected", port[Counter.WATCHDOG_DETECTED], NO_STORM)
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


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
    expect("storms detected", port[Counter.WATCHDOG_DETECTED], NO_STORM)
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


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

    expect("storms detected", result.counters.at("sw1:e9").priority(3)[Counter.WATCHDOG_DETECTED], NO_STORM)
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("WD-03")
@pytest.mark.needs(Capability.RATE_SERIES)
def test_other_ports_go_on_through_a_storm(fabric, expect):
    """Through a storm at h9 a flow of another sender keeps its rate; one of the same sender has it after detection."""
    scenario = Scenario(
        [BLOCKED, VICTIM, OTHER], qos=QOS, events=[LONG_STORM], duration=600 * MS, sample_every=10 * MS,
        may_fail=["blocked-*"],
    )  # fmt: skip
    result = fabric.run(scenario)

    after = result.series["goodput_bps"].between(AT + 300 * MS + 10 * MS)
    held = result.counters.at("h1").priority(3)[Counter.PAUSE_RX_DURATION] / MS
    expect("storms detected", result.counters.at("sw1:e9").priority(3)[Counter.WATCHDOG_DETECTED], ONE_STORM)
    expect("storms seen elsewhere", result.counters.at("sw1:e8")[Counter.WATCHDOG_DETECTED], NO_STORM)
    expect("other sender", result.flow("other-0").goodput_gbps, RATE, "Gb/s")
    expect("same sender, after detection", after.mean("victim-0") / 1e9, RATE, "Gb/s")
    expect("sender paused", held, PAUSED_AT_MOST, "ms")


@pytest.mark.plan("WD-03")
@pytest.mark.needs(Capability.RATE_SERIES)
@pytest.mark.negative_control("watchdog switched off")
def test_a_storm_that_spreads_is_noticed(fabric, expect):
    """Without watchdog the sender of the stormed flow stands still to the end, and its other flow with it."""
    scenario = Scenario(
        [BLOCKED, VICTIM, OTHER], qos=Qos(pfc=Pfc({3}), nic=Nic(mtu=4096)), events=[LONG_STORM],
        duration=600 * MS, sample_every=10 * MS, may_fail=["blocked-*"],
    )  # fmt: skip
    result = fabric.run(scenario)

    after = result.series["goodput_bps"].between(AT + 300 * MS + 10 * MS)
    held = result.counters.at("h1").priority(3)[Counter.PAUSE_RX_DURATION] / MS
    expect("storms detected", result.counters.at("sw1:e9").priority(3)[Counter.WATCHDOG_DETECTED], ONE_STORM)
    expect("same sender, after detection", after.mean("victim-0") / 1e9, RATE, "Gb/s")
    expect("sender paused", held, PAUSED_AT_MOST, "ms")


@pytest.mark.plan("WD-02")
@pytest.mark.needs(Capability.UNRELIABLE_TRANSPORTS, Capability.RATE_SERIES)
@pytest.mark.catches("watchdog_never_restores", "rate after restoration time and a poll")
@pytest.mark.parametrize("end_ms", [410, 450, 490])
def test_a_queue_is_restored_in_time(fabric, expect, end_ms):
    """After a storm its queue stays shut for 200 ms, and is open again one poll (100 ms) after that at the latest."""
    storm = PauseStorm(10 * MS, "h9:p0", {3}, (end_ms - 10) * MS)
    result = fabric.run(Scenario(OPEN, qos=QOS, events=[storm], duration=900 * MS, sample_every=5 * MS))

    rate = result.series["goodput_bps"]
    shut = rate.between((end_ms + 10) * MS, (end_ms + 200) * MS).max("stormed-0") / 1e9
    opened = rate.between((end_ms + 310) * MS).mean("stormed-0") / 1e9
    port = result.counters.at("sw1:e9").priority(3)
    expect("storms detected", port[Counter.WATCHDOG_DETECTED], ONE_STORM)
    expect("rate within restoration time", shut, BEFORE, "Gb/s")
    expect("rate after restoration time and a poll", opened, RATE, "Gb/s")


@pytest.mark.plan("WD-02")
@pytest.mark.negative_control("a watchdog of twice the restoration time, or of a quarter of it")
@pytest.mark.needs(Capability.UNRELIABLE_TRANSPORTS, Capability.RATE_SERIES)
@pytest.mark.parametrize("restore", [400 * MS, 50 * MS])
def test_a_queue_that_is_restored_at_another_time_is_noticed(fabric, expect, restore):
    """A restoration time of 400 or 50 ms does not pass for one of 200 ms."""
    watchdog = Watchdog(detect=200 * MS, restore=restore, poll=100 * MS)
    qos = Qos(pfc=Pfc({3}, watchdog=watchdog), nic=Nic(mtu=4096))
    storm = PauseStorm(10 * MS, "h9:p0", {3}, 440 * MS)
    result = fabric.run(Scenario(OPEN, qos=qos, events=[storm], duration=900 * MS, sample_every=5 * MS))

    rate = result.series["goodput_bps"]
    shut = rate.between(460 * MS, 650 * MS).max("stormed-0") / 1e9
    opened = rate.between(760 * MS).mean("stormed-0") / 1e9
    expect("rate within restoration time", shut, BEFORE, "Gb/s")
    expect("rate after restoration time and a poll", opened, RATE, "Gb/s")


@pytest.mark.plan("WD-01")
@pytest.mark.needs(Capability.UNRELIABLE_TRANSPORTS, Capability.RATE_SERIES)
@pytest.mark.catches("watchdog_never", "rate after detection")
def test_a_watchdog_that_forwards_ends_the_wait(fabric, expect):
    """With the action forward the queue is served in spite of the pauses from its detection on, and nothing is lost."""
    result = fabric.run(
        Scenario(OPEN, qos=FORWARDING, events=[STORM_400], duration=450 * MS, sample_every=5 * MS)
    )

    port = result.counters.at("sw1:e9").priority(3)
    after = result.series["goodput_bps"].between(10 * MS + 300 * MS + 60 * MS)
    expect("storms detected", port[Counter.WATCHDOG_DETECTED], ONE_STORM)
    expect("paused until detection", port[Counter.PAUSE_RX_DURATION] / MS, DETECTION, "ms")
    expect("rate after detection", after.mean("stormed-0") / 1e9, RATE, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("WD-01")
@pytest.mark.needs(Capability.UNRELIABLE_TRANSPORTS, Capability.RATE_SERIES)
@pytest.mark.negative_control("the action drop")
def test_a_watchdog_that_drops_is_noticed(fabric, expect):
    """With the action drop nothing arrives during the storm, and its queue is discarded."""
    result = fabric.run(Scenario(OPEN, qos=QOS, events=[STORM_400], duration=450 * MS, sample_every=5 * MS))

    after = result.series["goodput_bps"].between(10 * MS + 300 * MS + 60 * MS)
    expect("rate after detection", after.mean("stormed-0") / 1e9, RATE, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)
