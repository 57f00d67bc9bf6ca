"""What no NAK can tell, the sender's timer finds: the last packet, and a packet that is lost twice."""

from __future__ import annotations

import pytest

from harness import MB, Capability, Counter, Impair, Nic, Qos, Scenario, equals, within
from harness.analysis.transport import ack_timeout_ps
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.PACKET_DROP, Capability.HOST_COUNTERS),
]

FLOW = Pair(1 * MB, "h1", "h2")
LAST = 244
"""1 MB in packets of 4096 B: 245."""
LAW = "InfiniBand 9.7.6.1.3: between T and 4 T, T = 4.096 us * 2^t; and the transfer of 1 MB, below 0.1 ms"


@pytest.mark.plan("RTX-03", "RTX-06")
@pytest.mark.catches("ack_timeout_x16", "completion")
@pytest.mark.parametrize("exponent", [8, 10, 12, 14])
def test_a_lost_tail_is_found_by_the_timer(fabric, expect, exponent):
    """The last packet is lost: no NAK, one timeout, one packet sent again, in the time the exponent sets."""
    qos = Qos(nic=Nic(mtu=4096, ack_timeout=exponent))
    result = fabric.run(Scenario(FLOW, qos=qos, events=[Impair(0, "pair-0", "drop", packets=(LAST,))]))

    timeout = ack_timeout_ps(exponent)
    expect(
        "frames dropped", result.counters[Counter.DROPS_INJECTED], equals(1, source="as many as were ordered")
    )
    expect(
        "NAKs received",
        result.counters[Counter.PACKET_SEQ_ERR],
        equals(0),
        source="nothing came after the loss",
    )
    expect(
        "timeouts",
        result.counters[Counter.LOCAL_ACK_TIMEOUT],
        equals(1, source="one loss that no NAK tells of"),
    )
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], equals(1, source="the lost one"))
    expect(
        "completion",
        result.fct.max_ps / 1e9,
        within(timeout / 1e9, 4 * timeout / 1e9 + 0.1, source=LAW),
        "ms",
    )
    expect(
        "bytes delivered",
        result.flow("pair-0").bytes_delivered,
        equals(1 * MB, source="what was sent, each byte once"),
        "B",
    )


@pytest.mark.plan("RTX-03")
@pytest.mark.parametrize("lost", [0, 100])
def test_a_packet_lost_twice_is_found_by_the_timer(fabric, expect, lost):
    """A packet and its repetition are lost: one NAK, then one timeout, and all data arrives."""
    qos = Qos(nic=Nic(mtu=4096, ack_timeout=10))
    drops = [Impair(0, "pair-0", "drop", packets=(lost,), iteration=turn) for turn in (1, 2)]
    result = fabric.run(Scenario(FLOW, qos=qos, events=drops))

    timeout = ack_timeout_ps(10)
    expect(
        "frames dropped", result.counters[Counter.DROPS_INJECTED], equals(2, source="as many as were ordered")
    )
    expect("NAKs received", result.counters[Counter.PACKET_SEQ_ERR], equals(1), source="one gap is told once")
    expect(
        "timeouts",
        result.counters[Counter.LOCAL_ACK_TIMEOUT],
        equals(1, source="one loss that no NAK tells of"),
    )
    expect(
        "completion",
        result.fct.max_ps / 1e9,
        within(timeout / 1e9, 4 * timeout / 1e9 + 0.2, source=LAW),
        "ms",
    )
    expect(
        "bytes delivered",
        result.flow("pair-0").bytes_delivered,
        equals(1 * MB, source="what was sent, each byte once"),
        "B",
    )


@pytest.mark.plan("RTX-03", "RTX-06")
@pytest.mark.negative_control("a timer eight times as long as set")
def test_a_slow_timer_is_noticed(fabric, expect):
    """A timer of exponent 13 does not pass for one of 10."""
    qos = Qos(nic=Nic(mtu=4096, ack_timeout=13))
    result = fabric.run(Scenario(FLOW, qos=qos, events=[Impair(0, "pair-0", "drop", packets=(LAST,))]))

    timeout = ack_timeout_ps(10)
    expect(
        "timeouts",
        result.counters[Counter.LOCAL_ACK_TIMEOUT],
        equals(1, source="one loss that no NAK tells of"),
    )
    expect(
        "completion",
        result.fct.max_ps / 1e9,
        within(timeout / 1e9, 4 * timeout / 1e9 + 0.1, source=LAW),
        "ms",
    )


@pytest.mark.plan("RTX-03", "RTX-06")
@pytest.mark.negative_control("a packet in the middle lost instead of the last")
def test_a_recovery_without_timer_is_noticed(fabric, expect):
    """A loss in the middle is told by a NAK: no timeout, and completion long before the timer."""
    qos = Qos(nic=Nic(mtu=4096, ack_timeout=10))
    result = fabric.run(Scenario(FLOW, qos=qos, events=[Impair(0, "pair-0", "drop", packets=(100,))]))

    timeout = ack_timeout_ps(10)
    expect(
        "NAKs received",
        result.counters[Counter.PACKET_SEQ_ERR],
        equals(0),
        source="nothing came after the loss",
    )
    expect(
        "timeouts",
        result.counters[Counter.LOCAL_ACK_TIMEOUT],
        equals(1, source="one loss that no NAK tells of"),
    )
    expect(
        "completion",
        result.fct.max_ps / 1e9,
        within(timeout / 1e9, 4 * timeout / 1e9 + 0.1, source=LAW),
        "ms",
    )
