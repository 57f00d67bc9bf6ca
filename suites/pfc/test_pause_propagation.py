"""A pause travels back over every switch of the path until it reaches the sender."""

from __future__ import annotations

import pytest

from harness import (
    MB,
    MS,
    Capability,
    Counter,
    Nic,
    PauseStorm,
    Pfc,
    Qos,
    QosChange,
    Scenario,
    at_least,
    at_most,
    equals,
)
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("chain-3"),
    pytest.mark.needs(Capability.PFC, Capability.PAUSE_STORM, Capability.PER_PRIORITY_COUNTERS),
]

QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
STORM = PauseStorm(0, "h2:p0", {3}, 2 * MS)
FLOW = Pair(10 * MB, "h1", "h2")
FILL = "the buffer of a switch before it (2 MB) fills in 160 us at 100 Gb/s; its share of it is smaller"


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
    expect("frames dropped", result.counters[Counter.DROPS], equals(0))
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], equals(0))


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
    expect("frames dropped", result.counters[Counter.DROPS], equals(0))
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], equals(0))
