"""Packets lost at a switch are found by the receiver's NAK or by the sender's timer, and all data arrives.

For any fabric: sizes and timers suit links from Mb/s to Gb/s. What is repeated beyond what was lost is not judged.
"""

from __future__ import annotations

import pytest

from harness import Capability, Counter, Impair, KiB, Nic, Qos, Scenario, at_least, at_most, equals, within
from harness.analysis.injection import injected_drops
from harness.analysis.transport import ack_timeout_ps
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.PACKET_DROP, Capability.HOST_COUNTERS)

# 64 packets of 1024 B: fewer than any sender has in flight, 15 ms at 40 Mb/s, 5 us at 100 Gb/s.
FLOW = Pair(64 * KiB)
LAST = 63
# Half a second: long beside the round trip of a NAK on slow machines, short beside the patience of a person.
EXPONENT = 17
QOS = Qos(nic=Nic(mtu=1024, ack_timeout=EXPONENT))
TIMER = ack_timeout_ps(EXPONENT) / 1e9
ONE_NAK = "one gap is told once (InfiniBand 9.7.5.2.8; Lumina gbn_check)"
BY_NAK = "sooner than the timer, 4.096 us * 2^t, which nothing waits for"
BY_TIMER = "InfiniBand 9.7.6.1.3: between T and 4 T, T = 4.096 us * 2^t; and T for the transfer"


@pytest.mark.plan("RTX-01", "RTX-02")
@pytest.mark.parametrize(
    ("verb", "lost"), [("write", 1), ("send", 17), pytest.param("write", 30, marks=pytest.mark.slow)]
)
def test_a_lost_packet_is_told_by_a_nak(fabric, expect, verb, lost):
    """One packet is lost: one NAK, and all bytes are there before any timer could have found it."""
    drop = Impair(0, "pair-0", "drop", packets=(lost,))
    result = fabric.run(Scenario(Pair(64 * KiB, verb=verb), qos=QOS, events=[drop]))

    flow, count = result.flow("pair-0"), result.counters
    expect("packets dropped", injected_drops(result), equals(1, source="as many as were ordered"))
    expect("NAKs sent", count[Counter.OUT_OF_SEQUENCE], equals(1, source=ONE_NAK))
    expect("completion", flow.fct_ps / 1e9, at_most(TIMER, source=BY_NAK), "ms")
    expect(
        "bytes delivered", flow.bytes_delivered, equals(64 * KiB, source="what was sent, each byte once"), "B"
    )


@pytest.mark.plan("RTX-01")
def test_losses_far_apart_are_told_one_by_one(fabric, expect):
    """Two packets are lost, further apart than what is in flight: two NAKs, and all bytes arrive."""
    drop = Impair(0, "pair-0", "drop", packets=(5, 300))
    result = fabric.run(Scenario(Pair(320 * KiB), qos=QOS, events=[drop]))

    flow, count = result.flow("pair-0"), result.counters
    expect("packets dropped", injected_drops(result), equals(2, source="as many as were ordered"))
    expect("NAKs sent", count[Counter.OUT_OF_SEQUENCE], equals(2, source=ONE_NAK))
    expect(
        "bytes delivered",
        flow.bytes_delivered,
        equals(320 * KiB, source="what was sent, each byte once"),
        "B",
    )


@pytest.mark.plan("RTX-03")
@pytest.mark.parametrize("exponent", [13, 15])
def test_a_lost_tail_waits_for_the_timer(fabric, expect, exponent):
    """The last packet is lost: no NAK, and completion only when the timer has found it."""
    qos = Qos(nic=Nic(mtu=1024, ack_timeout=exponent))
    drop = Impair(0, "pair-0", "drop", packets=(7,))
    result = fabric.run(Scenario(Pair(8 * KiB), qos=qos, events=[drop]))

    flow, count = result.flow("pair-0"), result.counters
    timer = ack_timeout_ps(exponent) / 1e9
    expect("packets dropped", injected_drops(result), equals(1, source="as many as were ordered"))
    expect("NAKs sent", count[Counter.OUT_OF_SEQUENCE], equals(0), source="nothing came after the loss")
    expect("completion", flow.fct_ps / 1e9, within(timer, 5 * timer, source=BY_TIMER), "ms")
    expect(
        "bytes delivered", flow.bytes_delivered, equals(8 * KiB, source="what was sent, each byte once"), "B"
    )


@pytest.mark.plan("RTX-03")
def test_a_packet_lost_twice_waits_for_the_timer(fabric, expect):
    """A packet is lost and so is its repetition: one NAK, then the timer, and all bytes arrive."""
    drops = [Impair(0, "pair-0", "drop", packets=(20,), iteration=turn) for turn in (1, 2)]
    result = fabric.run(Scenario(FLOW, qos=QOS, events=drops))

    flow, count = result.flow("pair-0"), result.counters
    expect("packets dropped", injected_drops(result), equals(2, source="as many as were ordered"))
    expect("NAKs sent", count[Counter.OUT_OF_SEQUENCE], equals(1, source=ONE_NAK))
    expect("completion", flow.fct_ps / 1e9, within(TIMER, 5 * TIMER, source=BY_TIMER), "ms")
    expect(
        "bytes delivered", flow.bytes_delivered, equals(64 * KiB, source="what was sent, each byte once"), "B"
    )


@pytest.mark.plan("RTX-04")
@pytest.mark.deviation("lost read responses")
@pytest.mark.parametrize("lost", [30, pytest.param(0, marks=pytest.mark.slow)])
def test_a_lost_response_is_asked_for_again(fabric, expect, lost):
    """A response to a read is lost: the requester asks again, without waiting for its timer."""
    drop = Impair(0, "pair-0", "drop", packets=(lost,))
    result = fabric.run(Scenario(Pair(64 * KiB, verb="read"), qos=QOS, events=[drop]))

    flow, count = result.flow("pair-0"), result.counters
    expect("packets dropped", injected_drops(result), equals(1, source="as many as were ordered"))
    expect(
        "requests received again",
        count[Counter.DUPLICATE_REQUEST],
        at_least(1, margin=0.0, source="the request for what is missing"),
    )
    expect("NAKs sent", count[Counter.OUT_OF_SEQUENCE], equals(0), source="a response is not answered")
    expect("completion", flow.fct_ps / 1e9, at_most(TIMER, source=BY_NAK), "ms")
    expect(
        "bytes delivered", flow.bytes_delivered, equals(64 * KiB, source="what was sent, each byte once"), "B"
    )


@pytest.mark.plan("RTX-01", "RTX-02")
@pytest.mark.negative_control("a second packet lost")
def test_a_second_loss_is_noticed(fabric, expect):
    """Two losses, further apart than what is in flight, are not taken for one."""
    drop = Impair(0, "pair-0", "drop", packets=(5, 300))
    result = fabric.run(Scenario(Pair(320 * KiB), qos=QOS, events=[drop]))

    expect("packets dropped", injected_drops(result), equals(1, source="as many as were ordered"))
    expect("NAKs sent", result.counters[Counter.OUT_OF_SEQUENCE], equals(1, source=ONE_NAK))


@pytest.mark.plan("RTX-01", "RTX-02", "RTX-04")
@pytest.mark.negative_control("the last packet lost instead of one before it")
@pytest.mark.parametrize("verb", ["write", "read"])
def test_a_loss_that_nothing_tells_of_is_noticed(fabric, expect, verb):
    """After the last packet nothing tells of the loss, and completion is late."""
    drop = Impair(0, "pair-0", "drop", packets=(LAST,))
    result = fabric.run(Scenario(Pair(64 * KiB, verb=verb), qos=QOS, events=[drop]))

    flow = result.flow("pair-0")
    expect("completion", flow.fct_ps / 1e9, at_most(TIMER, source=BY_NAK), "ms")


@pytest.mark.plan("RTX-03")
@pytest.mark.negative_control("a packet in the middle lost instead of the last")
def test_a_recovery_that_waits_for_no_timer_is_noticed(fabric, expect):
    """A NAK tells of a loss in the middle, long before the timer."""
    drop = Impair(0, "pair-0", "drop", packets=(20,))
    result = fabric.run(Scenario(FLOW, qos=QOS, events=[drop]))

    flow, count = result.flow("pair-0"), result.counters
    expect("NAKs sent", count[Counter.OUT_OF_SEQUENCE], equals(0), source="nothing came after the loss")
    expect("completion", flow.fct_ps / 1e9, within(TIMER, 5 * TIMER, source=BY_TIMER), "ms")
