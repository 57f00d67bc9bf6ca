"""A hash spreads queue pairs over equal paths as chance would, and keeps each on one of them."""

from __future__ import annotations

import pytest

from harness import (
    KB,
    MB,
    Capability,
    Counter,
    Ecmp,
    Flow,
    Flows,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    at_most,
    equals,
)
from harness.analysis.ecmp import emptiest_path_limit, fullest_path_limit, least_distinct
from harness.analysis.uplinks import (
    busiest_uplink_packets,
    idlest_uplink_packets,
    source_ports,
    uplink_packets,
    used_uplinks,
)
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("leaf-spine-16"),
    pytest.mark.needs(Capability.ECMP_CONFIG, Capability.SWITCH_COUNTERS, Capability.HOST_COUNTERS),
]

# h1 is on leaf1 and h5 on leaf2: four spines are between them, and four equal paths.
PATHS = 4
QOS = Qos(nic=Nic(mtu=4096), pfc=Pfc({3}))
# 64 KB are 16 packets of 4096 B; acknowledgements leave by the other leaf.
SIZE, PACKETS = 64 * KB, 16
CHANCE = 1e-4
BY_CHANCE = "k balls into n bins: passed by chance once in 10,000 hashes"
ONE_PATH = (
    "the five tuple of a queue pair does not change, so neither does its path (BMWG AI fabric, category 3)"
)


@pytest.mark.plan("CC-10")
@pytest.mark.catches("ecmp_polarised", "uplinks used")
@pytest.mark.parametrize("qps", [64, 256])
def test_queue_pairs_spread_as_chance_would(fabric, expect, qps):
    """Many queue pairs of one pair of hosts: all four uplinks carry some, none more than chance explains."""
    result = fabric.run(Scenario(Pair(SIZE, "h1", "h5", qps=qps), qos=QOS))

    fullest = at_most(fullest_path_limit(PATHS, qps, CHANCE), margin=0.0, source=BY_CHANCE)
    emptiest = at_least(emptiest_path_limit(PATHS, qps, CHANCE), margin=0.0, source=BY_CHANCE)
    carried = equals(qps * PACKETS, source="64 KB a queue pair in packets of 4096 B")
    expect("packets over the uplinks", uplink_packets(result, "leaf1"), carried)
    expect("uplinks used", used_uplinks(result, "leaf1"), equals(PATHS, source="the spines"))
    expect("queue pairs on the busiest uplink", busiest_uplink_packets(result, "leaf1") / PACKETS, fullest)
    expect("queue pairs on the idlest uplink", idlest_uplink_packets(result, "leaf1") / PACKETS, emptiest)


@pytest.mark.plan("CC-10")
@pytest.mark.catches("udp_sport_constant", "different UDP source ports")
@pytest.mark.parametrize("qps", [64, 256])
def test_queue_pairs_differ_in_their_source_port(fabric, expect, qps):
    """The entropy of a hash is in the UDP source ports: nearly all queue pairs of a pair of hosts have their own."""
    result = fabric.run(Scenario(Pair(SIZE, "h1", "h5", qps=qps), qos=QOS))

    ports = at_least(
        least_distinct(2**14, qps, CHANCE),
        margin=0.0,
        source="14 bits of the flow label (annex A17; Linux rdma_flow_label_to_udp_sport); passed once in 10,000",
    )
    expect("different UDP source ports", source_ports(result, "pair-0"), ports)


@pytest.mark.plan("CC-10")
@pytest.mark.catches("packets_reordered", "packets out of order")
@pytest.mark.parametrize("receiver", ["h5", "h9", "h16"])
def test_a_queue_pair_keeps_its_path(fabric, expect, receiver):
    """All packets of one queue pair leave by one uplink and arrive in order."""
    result = fabric.run(Scenario(Pair(10 * MB, "h1", receiver), qos=QOS))

    expect("uplinks used", used_uplinks(result, "leaf1"), equals(1, source=ONE_PATH))
    expect("NAKs sent", result.counters[Counter.OUT_OF_SEQUENCE], equals(0, source=ONE_PATH))
    expect("packets out of order", result.flow("pair-0").packets_out_of_order, equals(0, source=ONE_PATH))
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], equals(0, source="nothing is lost"))


@pytest.mark.plan("CC-10")
@pytest.mark.negative_control("one flow label, and so one source port, for all queue pairs")
def test_queue_pairs_without_entropy_are_noticed(fabric, expect):
    """Queue pairs with one source port all take one path."""
    flow = Flow(name="pair-0", src="h1:p0", dst="h5:p0", message_bytes=SIZE, qps=64, flow_label=0x12345)
    result = fabric.run(Scenario(Flows([flow]), qos=QOS))

    ports = at_least(least_distinct(2**14, 64, CHANCE), margin=0.0, source=BY_CHANCE)
    fullest = at_most(fullest_path_limit(PATHS, 64, CHANCE), margin=0.0, source=BY_CHANCE)
    expect("different UDP source ports", source_ports(result, "pair-0"), ports)
    expect("uplinks used", used_uplinks(result, "leaf1"), equals(PATHS, source="the spines"))
    expect("queue pairs on the busiest uplink", busiest_uplink_packets(result, "leaf1") / PACKETS, fullest)


@pytest.mark.plan("CC-10")
@pytest.mark.negative_control("packets sprayed over all paths")
def test_a_queue_pair_that_changes_its_path_is_noticed(fabric, expect):
    """Sprayed packets use all uplinks and overtake each other where others are in the way."""
    spray = Qos(nic=Nic(mtu=4096), pfc=Pfc({3}), ecmp=Ecmp("spray"))
    result = fabric.run(
        Scenario([Pair(1 * MB, "h1", "h5"), Pair(1 * MB, "h2", "h6", name="other")], qos=spray)
    )

    expect("uplinks used", used_uplinks(result, "leaf1"), equals(1, source=ONE_PATH))
    expect("NAKs sent", result.counters[Counter.OUT_OF_SEQUENCE], equals(0, source=ONE_PATH))
    expect("packets out of order", result.flow("pair-0").packets_out_of_order, equals(0, source=ONE_PATH))
