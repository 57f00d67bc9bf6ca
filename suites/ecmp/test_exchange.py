"""An exchange over equal paths takes the time of its busiest link, and chance says how busy that is."""

from __future__ import annotations

import pytest

from harness import GBPS, MB, Capability, Counter, LinkRate, Nic, Pfc, Qos, Scenario, at_most, equals, within
from harness.analysis.ecmp import fullest_path_limit
from harness.analysis.transport import Wire
from harness.analysis.uplinks import time_over_busiest_link
from harness.patterns.permutation import Permutation

pytestmark = pytest.mark.needs(
    Capability.ECMP_CONFIG, Capability.PFC, Capability.SWITCH_COUNTERS, Capability.HOST_COUNTERS
)

QOS = Qos(nic=Nic(mtu=4096), pfc=Pfc({3}))
BYTES_PER_S = 100 * GBPS / 8
GAP = Wire().gap_bytes
# 2 MB as 489 packets of 4096 B with their gaps, and the acknowledgements of as many packets of the flow that comes in.
ONE_HOST_S = 489 * (Wire().data(4096) + Wire().ack()) / BYTES_PER_S
CHANCE = 1e-4 / 8
BY_CHANCE = (
    "k balls into n bins: on one of 8 racks passed by chance once in 10,000 hashes; 1.05 for pauses (BMWG)"
)
BUSIEST = (
    "a link's bytes and gaps at its rate; a lossless fabric waits for nothing else (BMWG: up to 1.05 is good)"
)


def over_one_host(result):
    """Completion time over that of 2 MB and its acknowledgements on a host's own link."""
    return result.flows.busy_ps / 1e12 / ONE_HOST_S


def fullest(qps):
    """The load of the fullest of 16 paths of a rack over that of a host's link, with `qps` queue pairs a host."""
    return at_most(1.05 * fullest_path_limit(16, 16 * qps, CHANCE) / qps, margin=0.0, source=BY_CHANCE)


@pytest.mark.plan("CC-10")
@pytest.mark.topology("leaf-spine-16")
@pytest.mark.parametrize("qps", [1, 4, 16])
def test_an_exchange_takes_the_time_of_its_busiest_link(fabric, expect, qps):
    """Every host of a rack sends 16 MB to one of another: done as soon as the busiest link allows, nothing lost."""
    exchange = Permutation(16 * MB // qps, hosts=8, shift=4, qps=qps)
    result = fabric.run(Scenario(exchange, qos=QOS))

    expect(
        "completion over the busiest link's time",
        time_over_busiest_link(result, GAP),
        within(1.0, 1.05, source=BUSIEST),
    )
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source="PFC on the priority"))
    expect(
        "bytes delivered",
        result.flows.total("bytes_delivered"),
        equals(8 * 16 * MB, source="what was sent"),
        "B",
    )


@pytest.mark.plan("CC-10")
@pytest.mark.topology("two-tier-128")
@pytest.mark.parametrize("qps", [4, 16])
def test_many_queue_pairs_level_out_an_exchange(fabric, expect, qps):
    """128 hosts send to the next rack: no slower than chance makes the fullest of 16 paths with so many pairs."""
    exchange = Permutation(2 * MB // qps, shift=16, qps=qps)
    result = fabric.run(Scenario(exchange, qos=QOS, sample_every=0))

    expect("completion over that of one host's link", over_one_host(result), fullest(qps))
    expect(
        "completion over the busiest link's time",
        time_over_busiest_link(result, GAP),
        within(1.0, 1.05, source=BUSIEST),
    )
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source="PFC on the priority"))


@pytest.mark.plan("CC-10")
@pytest.mark.topology("two-tier-128")
@pytest.mark.negative_control("one queue pair a host where sixteen are claimed")
def test_few_queue_pairs_are_noticed(fabric, expect):
    """With one queue pair a host some uplink carries several hosts, and everybody waits for it."""
    result = fabric.run(Scenario(Permutation(2 * MB, shift=16), qos=QOS, sample_every=0))

    expect("completion over that of one host's link", over_one_host(result), fullest(16))


@pytest.mark.plan("CC-10")
@pytest.mark.topology("leaf-spine-16")
@pytest.mark.needs(Capability.LINK_RATE)
@pytest.mark.negative_control("a link at half its rate")
def test_a_slow_link_is_noticed(fabric, expect):
    """The exchange then takes longer than any link at its nominal rate explains."""
    slow = [LinkRate(0, "h3:p0", 50 * GBPS)]
    result = fabric.run(Scenario(Permutation(1 * MB, hosts=8, shift=4, qps=16), qos=QOS, events=slow))

    expect(
        "completion over the busiest link's time",
        time_over_busiest_link(result, GAP),
        within(1.0, 1.05, source=BUSIEST),
    )
