"""A packet changed on the way is found by its invariant CRC and never delivered."""

from __future__ import annotations

import pytest

from harness import MB, Capability, Counter, Impair, Nic, Qos, Scenario, equals
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.PACKET_CORRUPT, Capability.HOST_COUNTERS),
]

FLOW = Pair(1 * MB, "h1", "h2")
SELECTIVE = Qos(nic=Nic(mtu=4096, loss_recovery="selective_repeat", ack_timeout=10))


@pytest.mark.plan("RTX-05", "RTX-11")
@pytest.mark.catches("corrupt_delivered", "ICRC errors")
@pytest.mark.parametrize("broken", [(0,), (10, 50, 100), (243, 244)])
def test_corrupted_packets_are_discarded_and_sent_again(fabric, expect, broken):
    """Each broken packet counts as an ICRC error and is sent again; the data is delivered once, whole."""
    result = fabric.run(
        Scenario(FLOW, qos=SELECTIVE, events=[Impair(0, "pair-0", "corrupt", packets=broken)])
    )

    flow = result.flow("pair-0")
    expect(
        "ICRC errors",
        result.counters.at("h2")[Counter.ICRC_ERRORS],
        equals(len(broken)),
        source="as many as were broken",
    )
    expect(
        "packets sent again",
        result.counters[Counter.RETRANSMITTED],
        equals(len(broken)),
        source="as many as were broken",
    )
    expect(
        "packets delivered",
        flow.packets_delivered,
        equals(245),
        source="1 MB in packets of 4096 B, each once",
    )
    expect(
        "bytes delivered", flow.bytes_delivered, equals(1 * MB, source="what was sent, each byte once"), "B"
    )


@pytest.mark.plan("RTX-05")
@pytest.mark.negative_control("packets lost instead of broken")
@pytest.mark.needs(Capability.PACKET_DROP)
def test_loss_is_not_taken_for_corruption(fabric, expect):
    """Lost packets are sent again and count no ICRC error."""
    result = fabric.run(
        Scenario(FLOW, qos=SELECTIVE, events=[Impair(0, "pair-0", "drop", packets=(10, 50, 100))])
    )

    expect(
        "ICRC errors",
        result.counters.at("h2")[Counter.ICRC_ERRORS],
        equals(3),
        source="as many as were broken",
    )
    expect(
        "packets sent again",
        result.counters[Counter.RETRANSMITTED],
        equals(3),
        source="as many as were broken",
    )


@pytest.mark.plan("RTX-05", "RTX-11")
@pytest.mark.negative_control("packets that arrive twice")
@pytest.mark.needs(Capability.PACKET_DUPLICATE)
def test_packets_delivered_twice_are_noticed(fabric, expect):
    """Packets duplicated on the way are seen as more packets delivered than the data has."""
    result = fabric.run(
        Scenario(FLOW, qos=SELECTIVE, events=[Impair(0, "pair-0", "duplicate", packets=(10, 50))])
    )

    flow = result.flow("pair-0")
    expect(
        "packets delivered",
        flow.packets_delivered,
        equals(245),
        source="1 MB in packets of 4096 B, each once",
    )
    expect(
        "bytes delivered", flow.bytes_delivered, equals(1 * MB, source="what was sent, each byte once"), "B"
    )
