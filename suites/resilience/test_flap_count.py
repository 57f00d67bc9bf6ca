"""A link that flaps is told by what it lost and by the gaps in what it carried; one that does not shows neither."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    MS,
    US,
    Capability,
    Counter,
    LinkDown,
    LinkUp,
    Nic,
    Qos,
    Scenario,
    at_least,
    equals,
)
from harness.analysis.outage import outages_seen
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("dumbbell"),
    pytest.mark.needs(
        Capability.LINK_FLAP, Capability.RATE_SERIES, Capability.SWITCH_COUNTERS, Capability.HOST_COUNTERS,
        Capability.DROP_REASONS,
    ),
]  # fmt: skip

# 62.5 MB at 50 Gb/s: 10 ms. Eight timeouts of 0.26 ms are longer than an outage of 1 ms.
LOAD = Pair(62 * MB, rate=50 * GBPS)
QOS = Qos(nic=Nic(mtu=4096, ack_timeout=6, retry_count=7))
OUTAGE = 1 * MS
# Between packets of a paced flow pass 0.7 us, and a lost packet costs 20 us: an outage is told from both.
GAP = OUTAGE // 2
SEEN = "as often as the link was taken down"
QUIET = "AzNHC azure_ib_link_flapping: no flap in the window of the test"


def flaps(count):
    """The receiver's link goes away for 1 ms, each 3 ms after the last."""
    downs = [MS + 3 * number * MS for number in range(count)]
    return [event for at in downs for event in (LinkDown(at, "h2:p0"), LinkUp(at + OUTAGE, "h2:p0"))]


@pytest.mark.plan("RES-02")
@pytest.mark.catches("link_stays_down", "messages complete")
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_flap_is_counted(fabric, expect, count):
    """Flaps of a link under load: so many gaps in its goodput, frames lost each time, and all data arrives."""
    scenario = Scenario(LOAD, qos=QOS, events=flaps(count), may_fail=["pair-0"], sample_every=50 * US)
    result = fabric.run(scenario)

    lost = at_least(count, margin=0.0, source="a frame each time at least, at 50 Gb/s")
    expect("outages seen", outages_seen(result, "pair-0", GAP), equals(count, source=SEEN))
    expect("frames lost with the link", result.counters[Counter.DROPS_LINK_DOWN], lost)
    expect("messages complete", result.flow("pair-0").messages_completed, equals(1, source="the one posted"))


@pytest.mark.plan("RES-02")
def test_a_quiet_link_does_not_flap(fabric, expect):
    """Without a flap there is no gap, no loss, and no timeout."""
    result = fabric.run(Scenario(LOAD, qos=QOS, may_fail=["pair-0"], sample_every=50 * US))

    count = result.counters
    expect("outages seen", outages_seen(result, "pair-0", GAP), equals(0, source=QUIET))
    expect("frames lost with the link", count[Counter.DROPS_LINK_DOWN], equals(0, source=QUIET))
    expect("timeouts", count[Counter.LOCAL_ACK_TIMEOUT], equals(0, source=QUIET))
    expect("NAKs sent", count[Counter.OUT_OF_SEQUENCE], equals(0, source=QUIET))


@pytest.mark.plan("RES-02")
@pytest.mark.negative_control("a flap in a window without any")
def test_a_flap_is_noticed(fabric, expect):
    """A single flap does not pass for a quiet link."""
    result = fabric.run(Scenario(LOAD, qos=QOS, events=flaps(1), sample_every=50 * US))

    count = result.counters
    expect("outages seen", outages_seen(result, "pair-0", GAP), equals(0, source=QUIET))
    expect("frames lost with the link", count[Counter.DROPS_LINK_DOWN], equals(0, source=QUIET))


@pytest.mark.plan("RES-02")
@pytest.mark.negative_control("one flap where two are claimed")
def test_a_missing_flap_is_noticed(fabric, expect):
    """One flap does not pass for two."""
    result = fabric.run(Scenario(LOAD, qos=QOS, events=flaps(1), sample_every=50 * US))

    expect("outages seen", outages_seen(result, "pair-0", GAP), equals(2, source=SEEN))
