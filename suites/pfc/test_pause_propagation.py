"""A pause travels back over every switch of the path until it reaches the sender."""

from __future__ import annotations

import pytest

from harness import (
    MB,
    MS,
    Buffer,
    Capability,
    Counter,
    Ecmp,
    Nic,
    PauseStorm,
    Pfc,
    Qos,
    QosChange,
    Scenario,
    at_least,
    at_most,
    equals,
    within,
)
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("chain-3"),
    pytest.mark.needs(Capability.PFC, Capability.PAUSE_STORM, Capability.PER_PRIORITY_COUNTERS),
]

QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
STORM = PauseStorm(0, "h2:p0", {3}, 2 * MS)
FLOW = Pair(10 * MB, "h1", "h2")
LOSSLESS = equals(0, source="each switch pauses the one before it before it has to drop")
NOT_REPEATED = equals(0, source="nothing is lost, and the pause is shorter than the ACK timeout of 67 ms")
FILL = "the buffer of a switch before it (2 MB) fills in 160 us at 100 Gb/s; its share of it is smaller"
# Four hosts of the first rack send to one host of the last, over four spines. With buffers of 1 MB all are paused soon.
ACROSS = Incast(4, 1 * MB, "h16", messages=0)
SMALL, LONG = Buffer(size=1 * MB), 4 * MS
SPREAD = Qos(pfc=Pfc({3}), buffer=SMALL, nic=Nic(mtu=4096), ecmp=Ecmp("dqpn"))
STEPS = "the tier behind it is overrun: four senders of line rate, one receiver"
LEAST = 3 - 6 * 1 * MB * 8 / (100 * LONG / 1000)
FRAME = (4096 + 82) * 8 / 100 * 1000
"""Time of one frame in ps."""
EXCESS = (
    "a sender runs or stands still; together four run as long as one link is busy and they fill two leaves and four"
    " spines of 1 MB; a frame that has begun when a pause comes ends within it"
)


@pytest.mark.plan("PFC-16")
def test_a_pause_reaches_the_sender_hop_by_hop(fabric, expect):
    """The receiver pauses for 2 ms: each switch pauses the one before it a little later, the sender last; no drop."""
    result = fabric.run(Scenario(FLOW, qos=QOS, events=[STORM]))

    paused = result.counters.priority(3)
    last, middle = (
        paused.at("sw3:e2")[Counter.PAUSE_RX_DURATION] / MS,
        paused.at("sw2:e2")[Counter.PAUSE_RX_DURATION] / MS,
    )
    first, sender = (
        paused.at("sw1:e2")[Counter.PAUSE_RX_DURATION] / MS,
        paused.at("h1:p0")[Counter.PAUSE_RX_DURATION] / MS,
    )
    expect("last switch paused", last, at_least(2.0, margin=0.0), "ms", source="the storm")
    expect("middle switch paused", middle, at_least(last - 0.16), "ms", source=FILL)
    expect("first switch paused", first, at_least(middle - 0.16), "ms", source=FILL)
    expect("sender paused", sender, at_least(first - 0.16), "ms", source=FILL)
    expect(
        "sender paused after the first switch", sender, at_most(first, margin=0.0), "ms", source="causality"
    )
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], NOT_REPEATED)


@pytest.mark.plan("PFC-16")
@pytest.mark.negative_control("a middle switch without PFC")
@pytest.mark.needs(Capability.QOS_CHANGE)
def test_a_switch_that_breaks_the_chain_is_noticed(fabric, expect):
    """When the switch in the middle has no PFC the pause ends there, the sender goes on and frames are dropped."""
    broken = QosChange(0, "sw2", switch={"pfc": {"priorities": []}})
    result = fabric.run(Scenario(FLOW, qos=QOS, events=[STORM, broken]))

    expect(
        "sender paused",
        result.counters.at("h1:p0").priority(3)[Counter.PAUSE_RX_DURATION] / MS,
        at_least(1.5),
        "ms",
        source=FILL,
    )
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], NOT_REPEATED)


@pytest.mark.plan("PFC-16")
@pytest.mark.topology("leaf-spine-16")
@pytest.mark.needs(Capability.BUFFER_CONFIG, Capability.ECMP_CONFIG)
def test_a_pause_crosses_the_tiers_of_a_fabric(fabric, expect):
    """The last leaf pauses the spines, they the first leaf, and that one its hosts, for what is too much; no drop."""
    result = fabric.run(Scenario(ACROSS, qos=SPREAD, duration=LONG))

    pauses = result.counters.priority(3)
    spines = (
        pauses.switches[Counter.PAUSE_TX]
        - pauses.at("leaf1")[Counter.PAUSE_TX]
        - pauses.at("leaf4")[Counter.PAUSE_TX]
    )
    stood = pauses.hosts[Counter.PAUSE_RX_DURATION] / LONG
    most = 3 + pauses.hosts[Counter.PAUSE_TRANSITIONS] * FRAME / LONG
    expect("pauses of the last leaf", pauses.at("leaf4")[Counter.PAUSE_TX], at_least(1, source=STEPS))
    expect("pauses of the spines", spines, at_least(1, source=STEPS))
    expect("pauses of the first leaf", pauses.at("leaf1")[Counter.PAUSE_TX], at_least(4, source=STEPS))
    expect("paused part, sum of the senders", stood, within(LEAST, most, source=EXCESS))
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-16")
@pytest.mark.topology("leaf-spine-16")
@pytest.mark.negative_control("a first leaf without PFC")
@pytest.mark.needs(Capability.BUFFER_CONFIG, Capability.ECMP_CONFIG, Capability.QOS_CHANGE)
def test_a_tier_that_breaks_the_chain_is_noticed(fabric, expect):
    """A leaf without PFC does not stop for the spines, nor does it stop its hosts: frames are dropped."""
    broken = QosChange(0, "leaf1", switch={"pfc": {"priorities": []}})
    result = fabric.run(Scenario(ACROSS, qos=SPREAD, events=[broken], duration=LONG))

    pauses = result.counters.priority(3)
    stood = pauses.hosts[Counter.PAUSE_RX_DURATION] / LONG
    most = 3 + pauses.hosts[Counter.PAUSE_TRANSITIONS] * FRAME / LONG
    expect("pauses of the first leaf", pauses.at("leaf1")[Counter.PAUSE_TX], at_least(4, source=STEPS))
    expect("paused part, sum of the senders", stood, within(LEAST, most, source=EXCESS))
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)
