"""A broadcast through helpers takes the rounds of its tree; one sender to many takes the time of its own link."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    Capability,
    Counter,
    LinkRate,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    at_most,
    equals,
    within,
)
from harness.analysis.collectives import Collective, Link, binomial_seconds, bus_bandwidth
from harness.analysis.dependencies import impatient_flows
from harness.analysis.transport import Wire
from harness.patterns.broadcast import Broadcast
from harness.patterns.outcast import Outcast

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.DEPENDENT_TRANSFERS, Capability.PFC, Capability.HOST_COUNTERS),
]

QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
# A rank sends data or acknowledgements of what it receives, and in a tree never both at once.
ONE_WAY = Link(100 * GBPS / 8 * Wire().efficiency(4096))
# In a chain it does both.
BOTH_WAYS = Link(100 * GBPS / 8 * 4096 / (Wire().data(4096) + Wire().ack()))
GOOD = at_most(1.05, source="BMWG AI fabric: a ratio of 1.05 is good; ideal: rounds times S / B")
AT_LEAST = at_least(1.0, margin=0.0, source="no round is faster than its bytes")
WAITS = equals(0, source="a rank sends on what it has received")


def chain_seconds(ranks, size, chunks):
    """Chain of n ranks and m chunks without latency: (n - 2 + m) S / (m B)."""
    return ONE_WAY.seconds(0, (ranks - 2 + chunks) * size / chunks)


@pytest.mark.plan("CC-12")
@pytest.mark.catches("ordering_lost_dependency", "transfers begun too soon")
@pytest.mark.parametrize("ranks", [3, 4, 8, 9])
def test_a_binomial_tree_takes_its_rounds(fabric, expect, ranks):
    """8 MB from one rank to all through helpers: as long as ceil(log2 n) times its bytes, within 5 %."""
    result = fabric.run(Scenario(Broadcast(ranks, 8 * MB), qos=QOS))

    jct = result.flows.busy_ps / 1e12
    ideal = binomial_seconds(ranks, 8 * MB, ONE_WAY)
    sent = equals((ranks - 1) * 8 * MB, source="once to each other rank")
    expect("completion over ideal", jct / ideal, GOOD)
    expect("completion over ideal, at least", jct / ideal, AT_LEAST)
    expect("bytes delivered", result.flows.total("bytes_delivered"), sent, "B")
    expect("transfers begun too soon", impatient_flows(result), WAITS)


@pytest.mark.plan("CC-12")
@pytest.mark.parametrize("chunks", [1, 4, 8])
def test_a_chain_of_chunks_fills_like_a_pipe(fabric, expect, chunks):
    """64 MB down a chain of eight in m chunks: (n - 2 + m) times a chunk; bus bandwidth grows with m."""
    result = fabric.run(Scenario(Broadcast(8, 64 * MB, tree="chain", chunks=chunks), qos=QOS))

    jct = result.flows.busy_ps / 1e12
    steps = (8 - 2 + chunks) / chunks
    bus = bus_bandwidth(Collective.BROADCAST, 8, 64 * MB, jct) / 1e9
    rate = within(
        BOTH_WAYS.bytes_per_s / steps / 1.05e9,
        ONE_WAY.bytes_per_s / steps / 1e9,
        source="S / t of (n - 2 + m) steps, with and without acknowledgements on the same link",
    )
    expect("completion over ideal", jct / chain_seconds(8, 64 * MB, chunks), GOOD)
    expect("completion over ideal, at least", jct / chain_seconds(8, 64 * MB, chunks), AT_LEAST)
    expect("bus bandwidth", bus, rate, "GB/s")


@pytest.mark.plan("CC-12")
@pytest.mark.parametrize("receivers", [2, 4, 8])
def test_one_sender_to_many_shares_its_link(fabric, expect, receivers):
    """One host sends 4 MB to each of several: its link is full, all get the same, and nobody is paused."""
    result = fabric.run(Scenario(Outcast(receivers, 4 * MB), qos=QOS))

    jct = result.flows.busy_ps / 1e12
    ideal = ONE_WAY.seconds(0, receivers * 4 * MB)
    fair = at_least(
        0.99, margin=0.0, source="round robin of equal messages by packet: all end within n packets"
    )
    expect("completion over ideal", jct / ideal, GOOD)
    expect("completion over ideal, at least", jct / ideal, AT_LEAST)
    expect("Jain's index of the receivers", result.jain(), fair)
    expect(
        "pause frames sent", result.counters[Counter.PAUSE_TX], equals(0, source="no receiver is overloaded")
    )


@pytest.mark.plan("CC-12")
@pytest.mark.needs(Capability.LINK_RATE)
@pytest.mark.negative_control("one link at half its rate")
def test_a_slow_helper_is_noticed(fabric, expect):
    """A slow link makes its round of a tree late, its steps of a chain, and all that it sends itself."""
    slow = [LinkRate(0, "h2:p0", 50 * GBPS)]
    tree = fabric.run(Scenario(Broadcast(8, 8 * MB), qos=QOS, events=slow))
    chain = fabric.run(Scenario(Broadcast(8, 64 * MB, tree="chain", chunks=4), qos=QOS, events=slow))
    out = fabric.run(Scenario(Outcast(2, 4 * MB, "h2"), qos=QOS, events=slow))

    expect("completion over ideal", tree.flows.busy_ps / 1e12 / binomial_seconds(8, 8 * MB, ONE_WAY), GOOD)
    expect("completion of a chain", chain.flows.busy_ps / 1e12 / chain_seconds(8, 64 * MB, 4), GOOD)
    expect("completion of an outcast", out.flows.busy_ps / 1e12 / ONE_WAY.seconds(0, 8 * MB), GOOD)


@pytest.mark.plan("CC-12")
@pytest.mark.negative_control("all bytes from one sender, where helpers are claimed to send on in rounds")
def test_a_tree_without_rounds_is_noticed(fabric, expect):
    """Three receivers served by one sender take three times its bytes, not the two rounds of a tree."""
    result = fabric.run(Scenario(Outcast(3, 8 * MB), qos=QOS))

    expect("completion over ideal", result.flows.busy_ps / 1e12 / binomial_seconds(4, 8 * MB, ONE_WAY), GOOD)


@pytest.mark.plan("CC-12")
@pytest.mark.negative_control("four queue pairs to one of two receivers")
def test_an_unfair_share_is_noticed(fabric, expect):
    """A receiver with four queue pairs gets four times as much as one with one."""
    traffic = [Outcast(("h2",), 4 * MB, name="one"), Outcast(("h3",), 1 * MB, qps=4, name="four")]
    result = fabric.run(Scenario(traffic, qos=QOS))

    fair = at_least(
        0.99, margin=0.0, source="round robin of equal messages by packet: all end within n packets"
    )
    expect("Jain's index of the receivers", result.jain(), fair)
