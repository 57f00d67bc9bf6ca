"""Goodput by message size is what headers leave, and, for one message at a time, what the round trip leaves."""

from __future__ import annotations

import pytest

from harness import GBPS, MB, Capability, Counter, KiB, LinkRate, Nic, Pfc, Qos, Scenario, equals, within
from harness.analysis.transport import Wire
from harness.analysis.zero_load import zero_load_ps
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.HOST_COUNTERS, Capability.PFC),
]

QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
SIZES = [64, 1 * KiB, 4 * KiB, 64 * KiB, 1024 * KiB, 4 * MB]
TOLD = "at least 90 % (BMWG baseline throughput) of the link less headers, and ACKs of the other way; at most all of it"
ONE = "size over the latency of one message: its links there and back, and 5 us at most of devices (ngc_multinode_perf)"
WHOLE = "what was sent"
AGAIN = equals(0, source="nothing is in the way")


def streamed(fabric, size, acks):
    """Goodput of messages in a row: their payload in the time of their frames, and of so many ACKs a packet."""
    packets = -(-size // 4096)
    full = size / (sum(Wire().message(size, 4096)) + acks * packets * Wire().ack()) * fabric.line_rate_gbps
    return within(0.9 * full, 1.001 * full, source=TOLD)


def one_at_a_time(fabric, verb, size):
    """Goodput of messages that each wait for the one before."""
    least = zero_load_ps(fabric.topology, "h1", "h9", verb, size, 4096)
    slowest = size * 8000 / (1.001 * least + 5e6)
    return within(slowest, 1.001 * size * 8000 / least, source=ONE)


@pytest.mark.plan("BASE-03", "BASE-04")
@pytest.mark.parametrize(("both_ways", "acks"), [(False, 0), (True, 1)], ids=["one way", "both ways"])
@pytest.mark.parametrize("qps", [1, 4])
@pytest.mark.parametrize("size", SIZES)
def test_messages_in_a_row_leave_only_their_headers(fabric, expect, size, qps, both_ways, acks):
    """Back-to-back writes of 64 B to 4 MB by one or four QPs, one way or both: the link is full but for headers."""
    count = max(1, 2 * MB // size // qps)
    result = fabric.run(Scenario(Pair(size, messages=count, qps=qps, both_ways=both_ways), qos=QOS))

    expect("goodput there", result.flow("pair-0").goodput_gbps, streamed(fabric, size, acks), "Gb/s")
    expect("messages complete", result.flow("pair-0").messages_completed, equals(count * qps, source=WHOLE))
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], AGAIN)


@pytest.mark.plan("BASE-03")
@pytest.mark.parametrize("verb", ["write", "send", "read"])
@pytest.mark.parametrize("size", SIZES)
def test_one_message_at_a_time_waits_for_its_round_trip(fabric, expect, size, verb):
    """With one message in flight goodput is the message over its latency, whatever its size."""
    traffic = Pair(size, "h1", "h9", verb=verb, messages=20, max_outstanding=1)
    result = fabric.run(Scenario(traffic, qos=QOS))

    expect("goodput", result.flow("pair-0").goodput_gbps, one_at_a_time(fabric, verb, size), "Gb/s")
    expect("messages complete", result.flow("pair-0").messages_completed, equals(20, source=WHOLE))


@pytest.mark.plan("BASE-03", "BASE-04")
@pytest.mark.needs(Capability.LINK_RATE)
@pytest.mark.negative_control("the receiver's link at half its rate")
@pytest.mark.parametrize("size", [64, 4 * MB])
def test_half_a_link_is_noticed(fabric, expect, size):
    """Over half a link messages of any size have half of their goodput."""
    result = fabric.run(
        Scenario(
            Pair(size, messages=max(1, 2 * MB // size)), qos=QOS, events=[LinkRate(0, "h9:p0", 50 * GBPS)]
        )
    )

    expect("goodput there", result.flow("pair-0").goodput_gbps, streamed(fabric, size, 0), "Gb/s")


@pytest.mark.plan("BASE-03")
@pytest.mark.negative_control("two messages in flight where one is claimed")
@pytest.mark.parametrize("size", [64, 1 * KiB])
def test_a_second_message_in_flight_is_noticed(fabric, expect, size):
    """Two messages in flight have twice the goodput that one round trip allows."""
    result = fabric.run(Scenario(Pair(size, "h1", "h9", messages=20, max_outstanding=2), qos=QOS))

    expect("goodput", result.flow("pair-0").goodput_gbps, one_at_a_time(fabric, "write", size), "Gb/s")
