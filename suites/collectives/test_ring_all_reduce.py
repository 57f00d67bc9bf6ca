"""A ring all-reduce on an idle fabric takes the time that its bytes take on the slowest link."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    Ack,
    Capability,
    Counter,
    LinkRate,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    at_most,
    equals,
    within,
)
from harness.analysis.collectives import (
    Collective,
    Link,
    bus_bandwidth,
    ideal_seconds,
    ring_all_reduce_seconds,
    ring_bytes_sent,
)
from harness.analysis.dependencies import impatient_flows
from harness.analysis.transport import Wire
from harness.patterns.ring_all_reduce import RingAllReduce

pytestmark = pytest.mark.needs(Capability.DEPENDENT_TRANSFERS, Capability.PFC, Capability.HOST_COUNTERS)

QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
# Each link carries the data of one flow and the acknowledgements of another: 4096 of 4178 + 86 B.
BYTES_PER_S = 100 * GBPS / 8 * 4096 / (Wire().data(4096) + Wire().ack())
GOOD = at_most(
    1.05, source="BMWG AI fabric: a ratio of 1.05 is good, above 1.15 bad; ideal 2 S (n-1) / (n B)"
)
WAITS = equals(0, source="a step sends on what arrives in the step before")
AT_LEAST = at_least(1.0, margin=0.0, source="no schedule is faster")


def slowest(ranks, size, part):
    """Time of a ring of which one link has a part of its rate: 2 S (n-1) / (n f B)."""
    return ring_all_reduce_seconds(ranks, size, Link(BYTES_PER_S), slowest=part)


@pytest.mark.plan("CC-12")
@pytest.mark.catches("ordering_lost_dependency", "steps begun too soon")
@pytest.mark.topology("star-9")
@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_ring_on_one_switch_is_ideal(fabric, expect, ranks, channels):
    """32 MB over 2 to 8 ranks: within 5 % of the ideal time, at the links' bus bandwidth, each step after the last."""
    result = fabric.run(Scenario(RingAllReduce(ranks, 32 * MB, channels=channels), qos=QOS))

    jct = result.flows.busy_ps / 1e12
    ideal = ideal_seconds(Collective.ALL_REDUCE, ranks, 32 * MB, Link(BYTES_PER_S))
    bus = bus_bandwidth(Collective.ALL_REDUCE, ranks, 32 * MB, jct) / 1e9
    sent = ring_bytes_sent(32 * MB, ranks, 0)
    expect("completion over ideal", jct / ideal, GOOD)
    expect("completion over ideal, at least", jct / ideal, AT_LEAST)
    expect(
        "bus bandwidth",
        bus,
        within(BYTES_PER_S / 1.05e9, BYTES_PER_S / 1e9, source="line rate less headers and acknowledgements"),
        "GB/s",
    )
    expect(
        "sent by rank 0",
        result.flows.sent_by("h1").total("bytes_sent"),
        equals(sent, source="2 S (n-1) / n"),
        "B",
    )
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source="PFC on the priority"))
    expect("steps begun too soon", impatient_flows(result), WAITS)


@pytest.mark.plan("CC-12")
@pytest.mark.topology("leaf-spine-16")
@pytest.mark.needs(Capability.ECMP_CONFIG)
def test_a_ring_over_racks_is_ideal(fabric, expect):
    """Ring neighbours in host order cross racks on four links only, so that no path is shared: ideal again."""
    result = fabric.run(Scenario(RingAllReduce(16, 64 * MB), qos=QOS))

    jct = result.flows.busy_ps / 1e12
    ideal = ideal_seconds(Collective.ALL_REDUCE, 16, 64 * MB, Link(BYTES_PER_S))
    expect("completion over ideal", jct / ideal, GOOD)
    expect("completion over ideal, at least", jct / ideal, AT_LEAST)
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source="PFC on the priority"))
    expect("steps begun too soon", impatient_flows(result), WAITS)


@pytest.mark.plan("CC-12")
@pytest.mark.topology("star-9")
@pytest.mark.needs(Capability.LINK_RATE)
@pytest.mark.parametrize("part", [0.5, 0.25])
def test_a_ring_is_as_slow_as_its_slowest_link(fabric, expect, part):
    """One link at a part of its rate slows the whole ring to that part, and no further."""
    slow = [LinkRate(0, "h3:p0", round(part * 100) * GBPS)]
    apart = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096), ack=Ack(priority=5))
    result = fabric.run(Scenario(RingAllReduce(8, 32 * MB), qos=apart, events=slow))

    jct = result.flows.busy_ps / 1e12
    expect("completion over that of the slowest link", jct / slowest(8, 32 * MB, part), GOOD)
    expect("completion over that of the slowest link, at least", jct / slowest(8, 32 * MB, part), AT_LEAST)


@pytest.mark.plan("CC-12")
@pytest.mark.topology("star-9")
@pytest.mark.negative_control("one link of the ring at half its rate")
@pytest.mark.needs(Capability.LINK_RATE)
def test_a_slow_link_slows_the_whole_ring(fabric, expect):
    """One link at half its rate doubles the time of the ring."""
    slow = [LinkRate(0, "h3:p0", 50 * GBPS)]
    result = fabric.run(Scenario(RingAllReduce(8, 32 * MB), qos=QOS, events=slow))

    jct = result.flows.busy_ps / 1e12
    ideal = ideal_seconds(Collective.ALL_REDUCE, 8, 32 * MB, Link(BYTES_PER_S))
    expect("completion over ideal", jct / ideal, GOOD)


@pytest.mark.plan("CC-12")
@pytest.mark.topology("star-9")
@pytest.mark.negative_control("an eighth more data than claimed")
def test_extra_bytes_are_noticed(fabric, expect):
    """A schedule that sends more than 2 S (n-1) / n is seen by time and by bytes."""
    result = fabric.run(Scenario(RingAllReduce(8, 36 * MB), qos=QOS))

    jct = result.flows.busy_ps / 1e12
    ideal = ideal_seconds(Collective.ALL_REDUCE, 8, 32 * MB, Link(BYTES_PER_S))
    sent = ring_bytes_sent(32 * MB, 8, 0)
    expect("completion over ideal", jct / ideal, GOOD)
    expect(
        "sent by rank 0",
        result.flows.sent_by("h1").total("bytes_sent"),
        equals(sent, source="2 S (n-1) / n"),
        "B",
    )
