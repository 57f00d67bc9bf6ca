"""A host that sends pause frames stops its lossless priority, that one only, and loses nothing by it."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    MS,
    US,
    Capability,
    Counter,
    Nic,
    PauseStorm,
    Pfc,
    Qos,
    Scenario,
    at_least,
    at_most,
    equals,
    within,
)
from harness.analysis.transport import Wire
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.PFC, Capability.PAUSE_STORM, Capability.SWITCH_COUNTERS),
]

QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
# 45 % of the link each, as in the SONiC suite, so that the two would fit together.
STORMED = Pair(8 * MB, "h1", "h9", priority=3, rate=45 * GBPS, name="stormed")
BACKGROUND = Pair(8 * MB, "h2", "h9", priority=4, rate=45 * GBPS, name="background")
OFFERED = 45 * Wire().efficiency(4096)
LOSSLESS = equals(0, source="what is held fits in the share of the buffer and the headroom")
STILL = equals(0, source="802.1Q 36.1.3.3: a paused priority sends no frame")
UNMOVED = equals(0, source="802.1Q 36.1.3.3: a pause acts on priorities that have PFC on")
NOT_REPEATED = equals(0, source="nothing is lost, and each pause is shorter than the ACK timeout of 67 ms")
SENT = at_least(1, source="the storm is there")
RATE = at_least(0.95 * OFFERED, source="the load offered less headers; 5 % as in the SONiC PFC suite")
# 35 and 25 % of the link: in a break of 0.5 ms it has room for what comes and for what the storm before held up.
REPEATED = Pair(14 * MB, "h1", "h9", priority=3, rate=35 * GBPS, name="stormed")
BESIDE = Pair(10 * MB, "h2", "h9", priority=4, rate=25 * GBPS, name="background")
TRANSFER = 14 * MB * 8 / (35 * GBPS * Wire().efficiency(4096)) * 1000
IN_TIME = at_most(1.05 * TRANSFER, source="14 MB at 35 Gb/s and 10 MB at 25 Gb/s, less headers; 5 % as above")
SEEN = at_least(
    2000 / 335.5, source="2 ms of gapless storm; a frame of 65535 quanta lasts 335.5 us at 100 Gb/s"
)


@pytest.mark.plan("PFC-01")
def test_a_lossless_priority_stands_still_during_a_storm(fabric, expect):
    """While the receiver sends pauses nothing of that priority reaches it; the other priority keeps its rate."""
    storm = PauseStorm(0, "h9:p0", {3}, 3 * MS)
    result = fabric.run(Scenario([STORMED, BACKGROUND], qos=QOS, events=[storm], duration=2 * MS))

    expect("pause frames at the switch", result.counters.at("sw1:e9").priority(3)[Counter.PAUSE_RX], SEEN)
    expect("stormed flow delivered", result.flows.of(STORMED).total("bytes_delivered"), STILL, "B")
    expect("background", result.flows.of(BACKGROUND).goodput_gbps, RATE, "Gb/s")
    expect(
        "held by the switch",
        result.counters.at("sw1:e9")[Counter.QUEUE_MAX],
        at_most(32 * MB),
        "B",
        source="its buffer",
    )
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-01")
@pytest.mark.negative_control("pause frames further apart than they last")
def test_a_storm_with_gaps_is_noticed(fabric, expect):
    """When pauses of 335 us come every 400 us, frames pass in the gaps."""
    storm = PauseStorm(0, "h9:p0", {3}, 3 * MS, interval=400 * US)
    result = fabric.run(Scenario([STORMED, BACKGROUND], qos=QOS, events=[storm], duration=2 * MS))

    expect("pause frames at the switch", result.counters.at("sw1:e9").priority(3)[Counter.PAUSE_RX], SEEN)
    expect("stormed flow delivered", result.flows.of(STORMED).total("bytes_delivered"), STILL, "B")
    expect("background", result.flows.of(BACKGROUND).goodput_gbps, RATE, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-01")
@pytest.mark.negative_control("a switch without PFC on the stormed priority")
def test_a_switch_that_ignores_pause_is_noticed(fabric, expect):
    """A switch for which the priority is lossy sends on."""
    storm = PauseStorm(0, "h9:p0", {3}, 3 * MS)
    qos = Qos(pfc=Pfc({5}), nic=Nic(mtu=4096))
    result = fabric.run(Scenario([STORMED, BACKGROUND], qos=qos, events=[storm], duration=2 * MS))

    expect("stormed flow delivered", result.flows.of(STORMED).total("bytes_delivered"), STILL, "B")
    expect("background", result.flows.of(BACKGROUND).goodput_gbps, RATE, "Gb/s")


@pytest.mark.plan("PFC-11")
@pytest.mark.catches("idle_pause_counted", "time paused")
def test_traffic_resumes_after_repeated_storms(fabric, expect):
    """Three storms of 0.5 ms with breaks as long: the backlog of each leaves in the break, so that all is in time."""
    storms = [PauseStorm(at, "h9:p0", {3}, 500 * US) for at in (0, 1 * MS, 2 * MS)]
    result = fabric.run(Scenario([REPEATED, BESIDE], qos=QOS, events=storms))

    paused = result.counters.at("sw1:e9").priority(3)[Counter.PAUSE_RX_DURATION] / MS
    expect("time paused", paused, within(1.45, 1.55), "ms", source="three storms")
    expect("stormed flow took", result.flow("stormed-0").fct_ps / MS, IN_TIME, "ms")
    expect("background took", result.flow("background-0").fct_ps / MS, IN_TIME, "ms")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], NOT_REPEATED)


@pytest.mark.plan("PFC-11")
@pytest.mark.negative_control("storms without breaks")
def test_traffic_that_resumes_late_is_noticed(fabric, expect):
    """Storms that follow each other leave no time for the backlog: the flow is late."""
    storms = [PauseStorm(at, "h9:p0", {3}, 1 * MS) for at in (0, 1 * MS, 2 * MS)]
    result = fabric.run(Scenario([REPEATED, BESIDE], qos=QOS, events=storms))

    expect("stormed flow took", result.flow("stormed-0").fct_ps / MS, IN_TIME, "ms")
    expect("background took", result.flow("background-0").fct_ps / MS, IN_TIME, "ms")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-02")
@pytest.mark.catches("pause_hits_lossy", "time the port stood still")
@pytest.mark.parametrize("priority", [0, 1, 4])
def test_a_lossy_priority_ignores_pause(fabric, expect, priority):
    """Pause frames for a priority without PFC arrive at the switch and change nothing."""
    lossy = Pair(8 * MB, "h1", "h9", priority=priority, rate=45 * GBPS, name="lossy")
    result = fabric.run(Scenario(lossy, qos=QOS, events=[PauseStorm(0, "h9:p0", {priority}, 2 * MS)]))

    switch = result.counters.at("sw1:e9").priority(priority)
    expect("pause frames at the switch", switch[Counter.PAUSE_RX], SENT)
    expect("time the port stood still", switch[Counter.PAUSE_RX_DURATION], UNMOVED, "ps")
    expect("lossy flow", result.goodput_gbps, RATE, "Gb/s")


@pytest.mark.plan("PFC-02")
@pytest.mark.negative_control("PFC switched on for the lossy priority")
def test_a_priority_that_obeys_is_noticed(fabric, expect):
    """With PFC on its priority the same flow stands still."""
    lossy = Pair(8 * MB, "h1", "h9", priority=4, rate=45 * GBPS, name="lossy")
    qos = Qos(pfc=Pfc({3, 4}), nic=Nic(mtu=4096))
    result = fabric.run(Scenario(lossy, qos=qos, events=[PauseStorm(0, "h9:p0", {4}, 2 * MS)]))

    switch = result.counters.at("sw1:e9").priority(4)
    expect("time the port stood still", switch[Counter.PAUSE_RX_DURATION], UNMOVED, "ps")
    expect("lossy flow", result.goodput_gbps, RATE, "Gb/s")
