"""A requester that misses a read response knows it from the next one and asks again."""

from __future__ import annotations

import pytest

from harness import MB, Capability, Counter, Impair, Nic, Qos, Scenario, at_most, equals
from harness.analysis.transport import in_flight_packets
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.PACKET_DROP, Capability.HOST_COUNTERS),
]

FLOW = Pair(1 * MB, "h1", "h2", verb="read")
QOS = Qos(nic=Nic(mtu=4096, ack_timeout=10))
# Two links of 1 us each way, and a 4178 B response and a request of 98 B stored twice: 4.68 us.
IN_FLIGHT = at_most(
    2 + in_flight_packets(100e9, 4_684_000, 4178),
    margin=0.0,
    source="the lost response, the next one, and a round trip of them",
)
LUMINA = "Lumina read_gbn_check: one gap is one implied NAK at the requester and one repeated request at the responder"


@pytest.mark.plan("RTX-04")
@pytest.mark.catches("read_response_lost_silently", "implied NAKs")
@pytest.mark.parametrize("lost", [0, 1, 100, 200])
def test_a_lost_response_is_read_again(fabric, expect, lost):
    """One lost response: one implied NAK, one request from there on, no timeout, and all data arrives."""
    result = fabric.run(Scenario(FLOW, qos=QOS, events=[Impair(0, "pair-0", "drop", packets=(lost,))]))

    count = result.counters
    expect("frames dropped", count[Counter.DROPS_INJECTED], equals(1, source="as many as were ordered"))
    expect("implied NAKs", count[Counter.IMPLIED_NAK], equals(1, source=LUMINA))
    expect("repeated requests", count[Counter.DUPLICATE_REQUEST], equals(1, source=LUMINA))
    expect("NAKs received", count[Counter.PACKET_SEQ_ERR], equals(0), source="a response is not answered")
    expect(
        "timeouts", count[Counter.LOCAL_ACK_TIMEOUT], equals(0, source="a NAK is there long before the timer")
    )
    expect("responses sent again", count[Counter.RETRANSMITTED], IN_FLIGHT)
    expect(
        "bytes delivered",
        result.flow("pair-0").bytes_delivered,
        equals(1 * MB, source="what was sent, each byte once"),
        "B",
    )


@pytest.mark.plan("RTX-04")
@pytest.mark.negative_control("the last response lost instead of one before it")
def test_a_lost_last_response_is_noticed(fabric, expect):
    """After the last response nothing tells of the loss but the timer."""
    result = fabric.run(Scenario(FLOW, qos=QOS, events=[Impair(0, "pair-0", "drop", packets=(244,))]))

    count = result.counters
    expect("implied NAKs", count[Counter.IMPLIED_NAK], equals(1, source=LUMINA))
    expect(
        "timeouts", count[Counter.LOCAL_ACK_TIMEOUT], equals(0, source="a NAK is there long before the timer")
    )


@pytest.mark.plan("RTX-04")
@pytest.mark.negative_control("half of the responses held back by 10 us")
@pytest.mark.needs(Capability.PACKET_DELAY)
def test_reordered_responses_are_noticed(fabric, expect):
    """Responses out of order look like losses, again and again."""
    late = Impair(0, "pair-0", "delay", fraction=0.5, delay=10_000_000)
    result = fabric.run(Scenario(FLOW, qos=QOS, events=[late]))

    count = result.counters
    expect("implied NAKs", count[Counter.IMPLIED_NAK], equals(1, source=LUMINA))
    expect("repeated requests", count[Counter.DUPLICATE_REQUEST], equals(1, source=LUMINA))
    expect("responses sent again", count[Counter.RETRANSMITTED], IN_FLIGHT)
