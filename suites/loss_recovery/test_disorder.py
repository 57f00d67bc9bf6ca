"""Packets that arrive late, twice or broken: what the receiver takes of them is right, once and in order."""

from __future__ import annotations

import pytest

from harness import MS, Capability, Counter, Impair, KiB, Nic, Qos, Scenario, at_least, at_most, equals
from harness.analysis.completion import goodput_ratio
from harness.analysis.injection import injected_drops
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.HOST_COUNTERS)

FLOW = Pair(64 * KiB)
QOS = Qos(nic=Nic(mtu=1024, ack_timeout=15, retry_count=6))
ONE_NAK = "one gap is told once (InfiniBand 9.7.5.2.8; Lumina gbn_check)"
ONCE = "what was sent, each byte once"
SLOWER = "ours: go-back-N repeats a round trip of packets for each loss, 1 / (1 + p W)"


@pytest.mark.plan("RTX-10")
@pytest.mark.needs(Capability.PACKET_DELAY)
@pytest.mark.parametrize("verb", ["write", pytest.param("send", marks=pytest.mark.slow)])
def test_a_late_packet_is_taken_for_a_loss_once(fabric, expect, verb):
    """One packet is overtaken by those behind it: one NAK, the late copy counts as duplicate, all bytes arrive once."""
    late = Impair(0, "pair-0", "delay", packets=(10,), delay=100 * MS)
    behind = Pair(4 * KiB, verb=verb, start=300 * MS, name="later")
    result = fabric.run(Scenario([Pair(64 * KiB, verb=verb), behind], qos=QOS, events=[late]))

    flow, count = result.flow("pair-0"), result.counters
    expect("NAKs sent", count[Counter.OUT_OF_SEQUENCE], equals(1, source=ONE_NAK))
    expect(
        "duplicates received",
        count[Counter.DUPLICATE_REQUEST],
        at_least(1, margin=0.0, source="the copy that comes late has been replaced"),
    )
    expect(
        "packets dropped",
        injected_drops(result),
        equals(0, source="nothing is lost: held back is not dropped"),
    )
    expect("bytes delivered", flow.bytes_delivered, equals(64 * KiB, source=ONCE), "B")


@pytest.mark.plan("RTX-10")
@pytest.mark.catches("duplicate_delivered", "bytes delivered")
@pytest.mark.needs(Capability.PACKET_DUPLICATE)
def test_packets_that_come_twice_are_taken_once(fabric, expect):
    """Two packets are doubled on the way: two duplicates, no NAK, and all bytes arrive once."""
    twice = Impair(0, "pair-0", "duplicate", packets=(10, 20))
    result = fabric.run(Scenario(FLOW, qos=QOS, events=[twice]))

    flow, count = result.flow("pair-0"), result.counters
    expect(
        "duplicates received", count[Counter.DUPLICATE_REQUEST], equals(2), source="as many as were doubled"
    )
    expect("NAKs sent", count[Counter.OUT_OF_SEQUENCE], equals(0, source="a second copy leaves no gap"))
    expect("bytes delivered", flow.bytes_delivered, equals(64 * KiB, source=ONCE), "B")


@pytest.mark.plan("RTX-05")
@pytest.mark.needs(Capability.PACKET_CORRUPT)
@pytest.mark.parametrize("verb", ["write", pytest.param("send", marks=pytest.mark.slow)])
def test_a_broken_packet_is_discarded(fabric, expect, verb):
    """A packet with a wrong ICRC is as good as lost: the next one makes a NAK, and all bytes arrive."""
    broken = Impair(0, "pair-0", "corrupt", packets=(30,))
    result = fabric.run(Scenario(Pair(64 * KiB, verb=verb), qos=QOS, events=[broken]))

    flow, count = result.flow("pair-0"), result.counters
    expect("NAKs sent", count[Counter.OUT_OF_SEQUENCE], equals(1, source=ONE_NAK))
    expect(
        "packets dropped on the way",
        count.switches[Counter.DROPS],
        equals(0, source="the receiver discards it, not a switch"),
    )
    expect("bytes delivered", flow.bytes_delivered, equals(64 * KiB, source=ONCE), "B")


@pytest.mark.plan("RTX-12")
@pytest.mark.needs(Capability.PACKET_DROP)
def test_random_loss_costs_time_and_no_data(fabric, expect):
    """3 % of all packets are lost at random: all data arrives, and later than without loss."""
    traffic = Pair(64 * KiB, messages=8)
    lossless = fabric.run(Scenario(traffic, qos=QOS)).flow("pair-0")
    lossy = fabric.run(Scenario(traffic, qos=QOS, events=[Impair(0, "pair-0", "drop", fraction=0.03)]))

    flow = lossy.flow("pair-0")
    expect(
        "packets dropped",
        injected_drops(lossy),
        at_least(1, margin=0.0, source="the order: 3 % of more than 500 packets"),
    )
    expect("bytes delivered", flow.bytes_delivered, equals(8 * 64 * KiB, source=ONCE), "B")
    expect("messages complete", flow.messages_completed, equals(8, source="what was posted"))
    expect("goodput over lossless", goodput_ratio(flow, lossless), at_most(0.95, source=SLOWER))


@pytest.mark.plan("RTX-10")
@pytest.mark.needs(Capability.PACKET_DELAY)
@pytest.mark.negative_control("the last packet held back, which nothing overtakes")
def test_a_packet_that_keeps_its_place_is_noticed(fabric, expect):
    """A late packet that none overtakes makes no NAK."""
    late = Impair(0, "pair-0", "delay", packets=(63,), delay=20 * MS)
    result = fabric.run(Scenario(FLOW, qos=QOS, events=[late]))

    expect("NAKs sent", result.counters[Counter.OUT_OF_SEQUENCE], equals(1, source=ONE_NAK))


@pytest.mark.plan("RTX-10")
@pytest.mark.needs(Capability.PACKET_DROP)
@pytest.mark.negative_control("packets lost instead of doubled")
def test_a_loss_does_not_pass_for_a_duplicate(fabric, expect):
    """Lost packets make a NAK."""
    lost = Impair(0, "pair-0", "drop", packets=(10, 20))
    result = fabric.run(Scenario(FLOW, qos=QOS, events=[lost]))

    expect(
        "NAKs sent", result.counters[Counter.OUT_OF_SEQUENCE], equals(0, source="a second copy leaves no gap")
    )


@pytest.mark.plan("RTX-05")
@pytest.mark.needs(Capability.PACKET_DUPLICATE)
@pytest.mark.negative_control("a packet doubled instead of broken")
def test_a_packet_that_is_taken_is_noticed(fabric, expect):
    """A doubled packet leaves no gap."""
    twice = Impair(0, "pair-0", "duplicate", packets=(30,))
    result = fabric.run(Scenario(FLOW, qos=QOS, events=[twice]))

    expect("NAKs sent", result.counters[Counter.OUT_OF_SEQUENCE], equals(1, source=ONE_NAK))


@pytest.mark.plan("RTX-12")
@pytest.mark.needs(Capability.PACKET_DROP)
@pytest.mark.negative_control("nothing lost at all")
def test_a_path_without_loss_is_noticed(fabric, expect):
    """The same measurements of two runs without loss."""
    traffic = Pair(64 * KiB, messages=8)
    first = fabric.run(Scenario(traffic, qos=QOS))
    second = fabric.run(Scenario(traffic, qos=QOS))

    share = goodput_ratio(second.flow("pair-0"), first.flow("pair-0"))
    expect(
        "packets dropped",
        injected_drops(second),
        at_least(1, margin=0.0, source="the order: 3 % of more than 500 packets"),
    )
    expect("goodput over lossless", share, at_most(0.95, source=SLOWER))
