"""Without congestion nothing is lost, nothing is marked, nobody is paused, and a link carries its rate."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    KB,
    MB,
    Capability,
    Counter,
    Dcqcn,
    Ecn,
    Impair,
    LinkRate,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    equals,
)
from harness.analysis.transport import Wire
from harness.patterns.pair import Pair
from harness.patterns.permutation import Permutation

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.HOST_COUNTERS, Capability.SWITCH_COUNTERS, Capability.PFC, Capability.ECN),
]

QOS = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=Dcqcn("mlx5"), nic=Nic(mtu=4096))
PAYLOAD_SHARE = Wire().efficiency(4096)
HEADERS = "payload part of a full frame on the link: 4096 of 4178 B (RoCEv2 over IPv4, preamble and gap)"
START_UP = "1 % for start-up and the last acknowledgement: ours, some microseconds of two milliseconds"
NINETY = at_least(0.99 * 90 * PAYLOAD_SHARE, margin=0.0, source=f"{HEADERS}; {START_UP}")
NOTHING = "no link is asked for more than it carries"
NONE = equals(0, source=NOTHING)
TEN = at_least(0.99 * 10 * PAYLOAD_SHARE, margin=0.0, source=f"{HEADERS}; {START_UP}")


@pytest.mark.plan("BASE-03")
@pytest.mark.catches("slow_sender", "goodput")
@pytest.mark.catches("slow_receiver", "pauses of the receiver")
@pytest.mark.parametrize("mtu", [1024, 2048, 4096])
@pytest.mark.parametrize("qps", [1, 4, 16])
def test_one_sender_fills_the_link(fabric, expect, mtu, qps):
    """One host alone sends at line rate less headers with any MTU and number of queue pairs, and repeats nothing."""
    result = fabric.run(Scenario(Pair(16 * MB // qps, qps=qps), qos=Qos(pfc=Pfc({3}), nic=Nic(mtu=mtu))))

    bound = at_least(0.99 * fabric.line_rate_gbps * Wire().efficiency(mtu), margin=0.0)
    source = f"payload part of a full frame on the link; {START_UP}"
    expect("goodput", result.goodput_gbps, bound, "Gb/s", source=source)
    pauses = result.counters.hosts[Counter.PAUSE_TX]
    expect("pauses of the receiver", pauses, equals(0, source="a host takes in what its link carries"))
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], NONE)


@pytest.mark.plan("BASE-04")
@pytest.mark.catches("link_half_rate", "goodput back")
@pytest.mark.parametrize("mtu", [1024, 4096])
def test_both_directions_fill_the_link(fabric, expect, mtu):
    """Two hosts that send to each other get the line rate less headers and the acknowledgements of the other."""
    result = fabric.run(Scenario(Pair(16 * MB, both_ways=True), qos=Qos(pfc=Pfc({3}), nic=Nic(mtu=mtu))))

    share = mtu / (Wire().data(mtu) + Wire().ack())
    bound = at_least(0.99 * fabric.line_rate_gbps * share, margin=0.0)
    source = f"one acknowledgement of 86 B a packet on the same link; {START_UP}"
    expect("goodput there", result.flow("pair-0").goodput_gbps, bound, "Gb/s", source=source)
    expect("goodput back", result.flow("pair-1").goodput_gbps, bound, "Gb/s", source=source)


@pytest.mark.plan("BASE-03", "BASE-04")
@pytest.mark.negative_control("a window of half of what the path holds")
@pytest.mark.parametrize("both_ways", [False, True])
def test_a_sender_that_waits_is_noticed(fabric, expect, both_ways):
    """Senders that wait for acknowledgements with half the path's 58 KB in flight leave the link half empty."""
    traffic = Pair(16 * MB, window=28 * KB, both_ways=both_ways)
    result = fabric.run(Scenario(traffic, qos=Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))))

    share = 4096 / (Wire().data(4096) + Wire().ack())
    bound = at_least(0.99 * fabric.line_rate_gbps * share, margin=0.0)
    expect(
        "goodput there", result.flow("pair-0").goodput_gbps, bound, "Gb/s", source=f"{HEADERS}; {START_UP}"
    )
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], NONE)


@pytest.mark.plan("BASE-08")
@pytest.mark.parametrize("other", ["h1", "h2"])
def test_lossless_and_lossy_traffic_share_a_full_link(fabric, expect, other):
    """90 % lossless and 10 % lossy traffic of one host or two fill a link: both reach their rate, no drop, no pause."""
    lossless = Pair(18 * MB, "h1", "h9", priority=3, rate=90 * GBPS, name="lossless")
    lossy = Pair(2 * MB, other, "h9", priority=0, rate=10 * GBPS, name="lossy")
    result = fabric.run(Scenario([lossless, lossy], qos=QOS))

    expect("lossless", result.flows.of(lossless).goodput_gbps, NINETY, "Gb/s")
    expect("lossy", result.flows.of(lossy).goodput_gbps, TEN, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], NONE)
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], NONE)


@pytest.mark.plan("BASE-08")
@pytest.mark.negative_control("the receiver's link at half its rate")
@pytest.mark.needs(Capability.LINK_RATE)
def test_a_slow_link_is_noticed(fabric, expect):
    """The same traffic over a link of half the rate stays below its rate."""
    lossless = Pair(18 * MB, "h1", "h9", priority=3, rate=90 * GBPS, name="lossless")
    lossy = Pair(2 * MB, "h2", "h9", priority=0, rate=10 * GBPS, name="lossy")
    events = [LinkRate(0, "h9:p0", 50 * GBPS)]
    result = fabric.run(Scenario([lossless, lossy], qos=QOS, events=events))

    expect("lossless", result.flows.of(lossless).goodput_gbps, NINETY, "Gb/s")
    expect("lossy", result.flows.of(lossy).goodput_gbps, TEN, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], NONE)
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], NONE)


@pytest.mark.plan("BASE-09")
@pytest.mark.parametrize("load", [30, 60, 90])
def test_nothing_happens_without_congestion(fabric, expect, load):
    """Every host sends to the next at a load the links can carry: no loss, no NAK, no mark, no CNP, no pause."""
    result = fabric.run(Scenario(Permutation(4 * MB, shift=1, rate=load * GBPS), qos=QOS))

    carried = at_least(9 * 977, source="nine flows of 977 packets")
    expect("frames received", result.counters.hosts[Counter.RX_PACKETS], carried)
    expect("frames dropped", result.counters[Counter.DROPS], NONE)
    expect("packets out of sequence", result.counters[Counter.OUT_OF_SEQUENCE], NONE)
    expect("sequence-error NAKs", result.counters[Counter.PACKET_SEQ_ERR], NONE)
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], NONE)
    expect("packets marked", result.counters[Counter.ECN_MARKED], NONE)
    expect("CNPs sent", result.counters[Counter.CNP_SENT], NONE)
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], NONE)


@pytest.mark.plan("BASE-09")
@pytest.mark.negative_control("one packet in a hundred of one flow dropped")
@pytest.mark.needs(Capability.PACKET_DROP)
def test_injected_loss_is_noticed(fabric, expect):
    """The same traffic with loss injected into one flow shows as drops, NAKs and repeated packets."""
    events = [Impair(0, "permutation-0", "drop", fraction=0.01)]
    result = fabric.run(Scenario(Permutation(16 * MB, shift=1, rate=60 * GBPS), qos=QOS, events=events))

    expect("frames dropped", result.counters[Counter.DROPS], NONE)
    expect("packets out of sequence", result.counters[Counter.OUT_OF_SEQUENCE], NONE)
    expect("sequence-error NAKs", result.counters[Counter.PACKET_SEQ_ERR], NONE)
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], NONE)


@pytest.mark.plan("BASE-08", "BASE-09")
@pytest.mark.negative_control("two hosts sending to one at full rate")
def test_congestion_is_noticed(fabric, expect):
    """Two hosts that send to one make marks, CNPs and pauses: the counters that must stay at 0 above can move."""
    traffic = [Pair(16 * MB, "h1", "h9", name="first"), Pair(16 * MB, "h2", "h9", name="second")]
    result = fabric.run(Scenario(traffic, qos=Qos(pfc=Pfc({3}), ecn=Ecn(), nic=Nic(mtu=4096))))

    expect("packets marked", result.counters[Counter.ECN_MARKED], NONE)
    expect("CNPs sent", result.counters[Counter.CNP_SENT], NONE)
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], NONE)
