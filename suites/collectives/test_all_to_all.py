"""An all-to-all takes the time that the bytes of one rank take on its link; between racks, that of the busiest link."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
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
from harness.analysis.collectives import Collective, Link, bus_bandwidth, ideal_seconds
from harness.analysis.dependencies import impatient_flows
from harness.analysis.transport import Wire
from harness.analysis.uplinks import time_over_busiest_link
from harness.patterns.all_to_all import AllToAll

pytestmark = pytest.mark.needs(
    Capability.DEPENDENT_TRANSFERS, Capability.PFC, Capability.HOST_COUNTERS, Capability.SWITCH_COUNTERS
)

GAP = Wire().gap_bytes
QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
# Each link carries the data of a rank and the acknowledgements of what it receives.
BYTES_PER_S = 100 * GBPS / 8 * 4096 / (Wire().data(4096) + Wire().ack())
GOOD = at_most(1.05, source="BMWG AI fabric: a ratio of 1.05 is good, above 1.15 bad; ideal S (n-1) / (n B)")
AT_LEAST = at_least(1.0, margin=0.0, source="no schedule is faster")
# Racks of 16 hosts: the first of each.
ONE_A_RACK = ("h1", "h17", "h33", "h49", "h65", "h81", "h97", "h113")
WAITS = equals(0, source="a pairwise step begins when that before it has arrived")
BUSIEST = "a link's bytes and gaps at its rate (BMWG: up to 1.05 is good)"


def ideal(ranks, pair):
    """Ideal time of an all-to-all with `pair` bytes from each rank to each other: the buffer has one more part."""
    return ideal_seconds(Collective.ALL_TO_ALL, ranks, ranks * pair, Link(BYTES_PER_S))


@pytest.mark.plan("CC-12")
@pytest.mark.topology("star-9")
@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize("schedule", ["at_once", "pairwise"])
def test_an_all_to_all_on_one_switch_is_ideal(fabric, expect, ranks, schedule):
    """4 MB from each rank to each other, at once or in pairs: within 5 % of the ideal time, nothing dropped."""
    result = fabric.run(Scenario(AllToAll(4 * MB, hosts=ranks, schedule=schedule), qos=QOS))

    jct = result.flows.busy_ps / 1e12
    bus = bus_bandwidth(Collective.ALL_TO_ALL, ranks, ranks * 4 * MB, jct) / 1e9
    rate = within(
        BYTES_PER_S / 1.05e9, BYTES_PER_S / 1e9, source="line rate less headers and acknowledgements"
    )
    sent = equals((ranks - 1) * 4 * MB, source="S (n-1) / n")
    expect("completion over ideal", jct / ideal(ranks, 4 * MB), GOOD)
    expect("completion over ideal, at least", jct / ideal(ranks, 4 * MB), AT_LEAST)
    expect("bus bandwidth", bus, rate, "GB/s")
    expect("sent by rank 0", result.flows.sent_by("h1").total("bytes_sent"), sent, "B")
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source="PFC on the priority"))


@pytest.mark.plan("CC-12")
@pytest.mark.topology("star-9")
@pytest.mark.catches("ordering_lost_dependency", "steps begun too soon")
def test_pairwise_steps_wait_for_each_other(fabric, expect):
    """No step of a pairwise exchange begins before the one it waits for; no receiver is ever overloaded."""
    result = fabric.run(Scenario(AllToAll(4 * MB, hosts=8, schedule="pairwise"), qos=QOS))

    sent = equals(8 * 7 * 4 * MB, source="n (n-1) messages")
    expect("bytes delivered", result.flows.total("bytes_delivered"), sent, "B")
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], equals(0, source="one sender at a time"))
    expect("steps begun too soon", impatient_flows(result), WAITS)


@pytest.mark.plan("CC-12")
@pytest.mark.topology("leaf-spine-16")
@pytest.mark.needs(Capability.ECMP_CONFIG)
def test_an_all_to_all_over_racks_takes_the_time_of_its_busiest_link(fabric, expect):
    """All 16 hosts, 1 MB to each other at once: as fast as the busiest link allows, nothing dropped."""
    result = fabric.run(Scenario(AllToAll(1 * MB), qos=QOS))

    sent = equals(16 * 15 * MB, source="n (n-1) messages")
    expect("bytes delivered", result.flows.total("bytes_delivered"), sent, "B")
    expect(
        "completion over the busiest link's time",
        time_over_busiest_link(result, GAP),
        within(1.0, 1.05, source=BUSIEST),
    )
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source="PFC on the priority"))


@pytest.mark.plan("CC-12")
@pytest.mark.topology("two-tier-128")
@pytest.mark.parametrize("schedule", ["at_once", "pairwise"])
def test_an_all_to_all_of_one_host_a_rack_is_ideal(fabric, expect, schedule):
    """One host of each of 8 racks: no link between switches carries more than a host sends, so it is ideal again."""
    exchange = AllToAll(4 * MB, hosts=ONE_A_RACK, schedule=schedule)
    result = fabric.run(Scenario(exchange, qos=QOS, sample_every=0))

    jct = result.flows.busy_ps / 1e12
    expect("completion over ideal", jct / ideal(8, 4 * MB), GOOD)
    expect("completion over ideal, at least", jct / ideal(8, 4 * MB), AT_LEAST)
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source="PFC on the priority"))


@pytest.mark.plan("CC-12")
@pytest.mark.topology("star-9")
@pytest.mark.needs(Capability.LINK_RATE)
@pytest.mark.negative_control("one link at half its rate")
def test_a_slow_link_slows_an_all_to_all(fabric, expect):
    """What goes through one slow link holds up the exchange."""
    slow = [LinkRate(0, "h3:p0", 50 * GBPS)]
    result = fabric.run(Scenario(AllToAll(1 * MB, hosts=8), qos=QOS, events=slow))

    jct = result.flows.busy_ps / 1e12
    bus = bus_bandwidth(Collective.ALL_TO_ALL, 8, 8 * MB, jct) / 1e9
    rate = within(
        BYTES_PER_S / 1.05e9, BYTES_PER_S / 1e9, source="line rate less headers and acknowledgements"
    )
    expect("completion over ideal", jct / ideal(8, 1 * MB), GOOD)
    expect("bus bandwidth", bus, rate, "GB/s")
    expect(
        "completion over the busiest link's time",
        time_over_busiest_link(result, GAP),
        within(1.0, 1.05, source=BUSIEST),
    )


@pytest.mark.plan("CC-12")
@pytest.mark.topology("star-9")
@pytest.mark.needs(Capability.LINK_RATE)
@pytest.mark.negative_control("two links at four times their rate, so that what they carry is there too soon")
def test_a_step_begun_too_soon_is_noticed(fabric, expect):
    """A step that begins before its data can have arrived at the nominal rate is seen."""
    fast = [LinkRate(0, "h3:p0", 400 * GBPS), LinkRate(0, "h4:p0", 400 * GBPS)]
    result = fabric.run(Scenario(AllToAll(4 * MB, hosts=8, schedule="pairwise"), qos=QOS, events=fast))

    expect("steps begun too soon", impatient_flows(result), WAITS)
