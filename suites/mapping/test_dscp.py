"""A packet is sorted by its DSCP: into an ingress group, an egress queue and the priority that pauses name."""

from __future__ import annotations

import pytest

from harness import Capability, Counter, KiB, Nic, Pfc, Qos, Scenario, at_least, equals
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.PER_PRIORITY_COUNTERS,
        Capability.SWITCH_COUNTERS,
        Capability.QUEUE_WATERMARKS,
        Capability.PFC,
    ),
]

NIC = Nic(mtu=4096)
SIZE, FRAMES = 64 * KiB, 16
DATA = "64 KiB are 16 packets of 4096 B"
ACKS = "one acknowledgement a packet, with the DSCP of the data"
ELSEWHERE = "the fabric carries nothing but this flow"
BY_CLASS = "by the upper three bits of the DSCP (RFC 2474, 4.2.2)"
BY_MAP = "as the map says; the first two are those of the AZURE map of SONiC"


@pytest.mark.plan("MAP-01")
@pytest.mark.catches("dscp_wrong_priority", "data out of the queue")
@pytest.mark.parametrize(
    ("priority", "dscp"),
    [(p, 8 * p + low) for p in range(8) for low in (0, 2, 7)],
)
def test_a_dscp_has_its_priority(fabric, expect, priority, dscp):
    """Three code points of each priority: data and acknowledgements use its ingress group and queue and no other."""
    traffic = Pair(SIZE, "h1", "h9", priority=priority, dscp=dscp)
    result = fabric.run(Scenario(traffic, qos=Qos(pfc=Pfc({priority}), nic=NIC)))

    sorted_in = result.counters.priority(priority)
    entry, way_out = sorted_in.at("sw1:e1"), sorted_in.at("sw1:e9")
    all_out = result.counters.at("sw1:e9")[Counter.TX_PACKETS]
    largest = at_least(4096, margin=0.0, source="a full packet was there")
    expect(
        "data into the ingress group", entry[Counter.RX_PACKETS], equals(FRAMES, source=f"{DATA}, {BY_CLASS}")
    )
    expect("data out of the queue", way_out[Counter.TX_PACKETS], equals(FRAMES, source=f"{DATA}, {BY_CLASS}"))
    expect("acknowledgements out of the queue", entry[Counter.TX_PACKETS], equals(FRAMES, source=ACKS))
    expect("frames in other queues", all_out - way_out[Counter.TX_PACKETS], equals(0, source=ELSEWHERE))
    expect("ingress group at most", entry[Counter.INGRESS_MAX], largest, "B")
    expect("queue at most", way_out[Counter.QUEUE_MAX], largest, "B")


@pytest.mark.plan("MAP-01")
@pytest.mark.needs(Capability.DSCP_MAP)
@pytest.mark.parametrize(
    ("dscp", "priority"),
    [(3, 3), (4, 4), (26, 5), (10, 3), (46, 0), (0, 7), (63, 1)],
)
def test_a_map_that_is_not_the_default_is_followed(fabric, expect, dscp, priority):
    """Switches sort by the map they were given, whatever class the DSCP is of."""
    traffic = Pair(SIZE, "h1", "h9", priority=priority, dscp=dscp)
    qos = Qos(pfc=Pfc({priority}), nic=NIC, dscp_map={dscp: priority})
    result = fabric.run(Scenario(traffic, qos=qos))

    sorted_in = result.counters.priority(priority)
    entry, way_out = sorted_in.at("sw1:e1"), sorted_in.at("sw1:e9")
    usual = result.counters.priority(dscp >> 3).at("sw1")
    expect(
        "data into the ingress group", entry[Counter.RX_PACKETS], equals(FRAMES, source=f"{DATA}, {BY_MAP}")
    )
    expect("data out of the queue", way_out[Counter.TX_PACKETS], equals(FRAMES, source=f"{DATA}, {BY_MAP}"))
    expect("frames in the priority of the class", usual[Counter.TX_PACKETS], equals(0, source=BY_MAP))


@pytest.mark.plan("MAP-01")
@pytest.mark.needs(Capability.DSCP_MAP)
@pytest.mark.negative_control("a switch without the map")
@pytest.mark.parametrize(("dscp", "priority"), [(10, 3), (46, 0)])
def test_a_map_that_is_not_there_is_noticed(fabric, expect, dscp, priority):
    """Without its map a switch sorts by class, and the priority that is claimed stays empty."""
    traffic = Pair(SIZE, "h1", "h9", priority=priority, dscp=dscp)
    result = fabric.run(Scenario(traffic, qos=Qos(pfc=Pfc({priority}), nic=NIC)))

    sorted_in = result.counters.priority(priority)
    entry, way_out = sorted_in.at("sw1:e1"), sorted_in.at("sw1:e9")
    usual = result.counters.priority(dscp >> 3).at("sw1")
    expect(
        "data into the ingress group", entry[Counter.RX_PACKETS], equals(FRAMES, source=f"{DATA}, {BY_MAP}")
    )
    expect("data out of the queue", way_out[Counter.TX_PACKETS], equals(FRAMES, source=f"{DATA}, {BY_MAP}"))
    expect("frames in the priority of the class", usual[Counter.TX_PACKETS], equals(0, source=BY_MAP))
