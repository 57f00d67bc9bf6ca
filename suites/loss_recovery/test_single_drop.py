"""A lost packet costs one NAK and exactly what the recovery says must be sent again."""

from __future__ import annotations

import pytest

from harness import MB, Capability, Counter, Impair, Nic, Qos, Scenario, at_most, equals
from harness.analysis.transport import in_flight_packets
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.PACKET_DROP, Capability.HOST_COUNTERS, Capability.LOSS_RECOVERY_CHOICE),
]

FLOW = Pair(1 * MB, "h1", "h2")
GO_BACK_N = Qos(nic=Nic(mtu=4096, loss_recovery="go_back_n", ack_timeout=10))
SELECTIVE = Qos(nic=Nic(mtu=4096, loss_recovery="selective_repeat", ack_timeout=10))
# Two links of 1 us each way, and a 4178 B packet and a NAK of 86 B stored twice: 4.68 us.
IN_FLIGHT = 2 + in_flight_packets(100e9, 4_682_000, 4178)
ONE_NAK = "one gap is told once (InfiniBand 9.7.5.2.8; Lumina gbn_check)"


@pytest.mark.plan("RTX-01")
@pytest.mark.catches("nak_storm", "NAKs sent")
@pytest.mark.catches("nak_not_sent", "NAKs received")
@pytest.mark.parametrize(
    "lost",
    [
        0,
        1,
        pytest.param(100, marks=pytest.mark.catches("go_back_0", "packets sent again, by time")),
        pytest.param(200, marks=pytest.mark.catches("go_back_0", "packets sent again, by time")),
    ],
)
def test_go_back_n_repeats_from_the_loss(fabric, expect, lost):
    """One lost packet: one NAK; it and all sent after it go once more, and the receiver discards what ran ahead."""
    result = fabric.run(Scenario(FLOW, qos=GO_BACK_N, events=[Impair(0, "pair-0", "drop", packets=(lost,))]))

    flow, count = result.flow("pair-0"), result.counters
    again = at_most(
        IN_FLIGHT, margin=0.0, source="the lost packet, the next one, and a round trip of packets"
    )
    expect("frames dropped", count[Counter.DROPS_INJECTED], equals(1, source="as many as were ordered"))
    expect("NAKs sent", count[Counter.OUT_OF_SEQUENCE], equals(1), source=ONE_NAK)
    expect("NAKs received", count[Counter.PACKET_SEQ_ERR], equals(1), source=ONE_NAK)
    expect(
        "packets sent again",
        count[Counter.RETRANSMITTED],
        equals(flow.packets_out_of_order + 1),
        source="those discarded and the lost one",
    )
    expect("packets sent again, by time", count[Counter.RETRANSMITTED], again)
    expect(
        "timeouts", count[Counter.LOCAL_ACK_TIMEOUT], equals(0, source="a NAK is there long before the timer")
    )
    expect(
        "bytes delivered", flow.bytes_delivered, equals(1 * MB, source="what was sent, each byte once"), "B"
    )


@pytest.mark.plan("RTX-01")
@pytest.mark.catches("selective_repeat_goes_back", "packets sent again")
@pytest.mark.parametrize("lost", [(0,), (100,), (50, 51, 52), (10, 100, 200)])
def test_selective_repeat_sends_again_what_was_lost(fabric, expect, lost):
    """Lost packets, and only those, are sent once more."""
    result = fabric.run(Scenario(FLOW, qos=SELECTIVE, events=[Impair(0, "pair-0", "drop", packets=lost)]))

    expect(
        "frames dropped",
        result.counters[Counter.DROPS_INJECTED],
        equals(len(lost), source="as many as were ordered"),
    )
    expect(
        "packets sent again",
        result.counters[Counter.RETRANSMITTED],
        equals(len(lost)),
        source="the lost ones",
    )
    expect(
        "timeouts",
        result.counters[Counter.LOCAL_ACK_TIMEOUT],
        equals(0, source="a NAK is there long before the timer"),
    )
    expect(
        "bytes delivered",
        result.flow("pair-0").bytes_delivered,
        equals(1 * MB, source="what was sent, each byte once"),
        "B",
    )


@pytest.mark.plan("RTX-01")
@pytest.mark.negative_control("go-back-N where selective repeat is claimed")
def test_needless_repetition_is_noticed(fabric, expect):
    """A sender that goes back repeats more than was lost."""
    result = fabric.run(Scenario(FLOW, qos=GO_BACK_N, events=[Impair(0, "pair-0", "drop", packets=(100,))]))

    expect("packets sent again", result.counters[Counter.RETRANSMITTED], equals(1), source="the lost ones")
    expect(
        "timeouts",
        result.counters[Counter.LOCAL_ACK_TIMEOUT],
        equals(0, source="a NAK is there long before the timer"),
    )


@pytest.mark.plan("RTX-01")
@pytest.mark.negative_control("a receiver that repeats its NAK every microsecond")
def test_a_storm_of_naks_is_noticed(fabric, expect):
    """A receiver that tells one gap many times makes the sender go back many times."""
    eager = Qos(nic=Nic(mtu=4096, loss_recovery="go_back_n", ack_timeout=10, nak_interval=1_000_000))
    result = fabric.run(Scenario(FLOW, qos=eager, events=[Impair(0, "pair-0", "drop", packets=(100,))]))

    expect("NAKs sent", result.counters[Counter.OUT_OF_SEQUENCE], equals(1), source=ONE_NAK)
    expect("NAKs received", result.counters[Counter.PACKET_SEQ_ERR], equals(1), source=ONE_NAK)
