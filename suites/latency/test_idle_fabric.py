"""Without other traffic a message takes the time of its links, and no message much longer than another."""

from __future__ import annotations

import pytest

from harness import US, Capability, Impair, KiB, Nic, Pfc, Qos, Scenario, at_most, equals, within
from harness.analysis.zero_load import zero_load_ps
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("leaf-spine-16"),
    pytest.mark.needs(Capability.LATENCY_HISTOGRAM, Capability.PFC),
]

QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
# h2 is on the leaf of h1, h16 three switches away.
NEAR, FAR = "h2", "h16"
MESSAGES = 200
LINKS = "serialisation and propagation on each link; 1 % for the classes of a histogram"
DEVICES = {"write": 5.0, "send": 5.0, "read": 4.5}
"""Microseconds that devices may add: 2.5 a way for writes and sends, 4.5 for a read (ngc_multinode_perf)."""
TAIL = "SONiC RoCE plan: a latency of at most 50 us; a lost packet costs a timeout of 67 ms"


def idle(verb, size, target):
    """Messages far enough apart that each finds the fabric empty."""
    return Scenario(Pair(size, "h1", target, verb=verb, messages=MESSAGES, interval=40 * US), qos=QOS)


def by_links(fabric, verb, size, target):
    """The time of the links, and no more above it than devices may add, in us."""
    least = zero_load_ps(fabric.topology, "h1", target, verb, size, 4096) / 1e6
    return within(0.99 * least, 1.01 * least + DEVICES[verb], source=f"{LINKS}; devices: ngc_multinode_perf")


@pytest.mark.plan("BASE-06")
@pytest.mark.catches("latency_extra", "median latency")
@pytest.mark.parametrize("target", [NEAR, FAR], ids=["one switch", "three switches"])
@pytest.mark.parametrize("verb", ["write", "send", "read"])
@pytest.mark.parametrize("size", [8, 1 * KiB, 64 * KiB])
def test_a_message_takes_the_time_of_its_links(fabric, expect, verb, size, target):
    """From the median to the slowest of 200 messages: what the links need and at most what devices may add."""
    result = fabric.run(idle(verb, size, target))

    latency, limit = result.flow("pair-0").latency, by_links(fabric, verb, size, target)
    expect("messages timed", latency.count, equals(MESSAGES, source="all that were sent"))
    expect("fastest message", latency.min_ps / 1e6, limit, "us")
    expect("median latency", latency.p50_ps / 1e6, limit, "us")
    expect("P99.9 of the latency", latency.p999_ps / 1e6, limit, "us")
    expect("slowest message", latency.max_ps / 1e6, at_most(50 + limit.low, source=TAIL), "us")


@pytest.mark.plan("BASE-06")
@pytest.mark.catches("latency_extra", "what three switches add to one")
@pytest.mark.parametrize("verb", ["write", "read"])
def test_each_hop_costs_the_same(fabric, expect, verb):
    """Three switches instead of one cost four more links, there and back, whatever the devices are."""
    near = fabric.run(idle(verb, 8, NEAR)).flow("pair-0").latency
    far = fabric.run(idle(verb, 8, FAR)).flow("pair-0").latency

    links = zero_load_ps(fabric.topology, "h1", FAR, verb, 8, 4096) - zero_load_ps(
        fabric.topology, "h1", NEAR, verb, 8, 4096
    )
    source = f"{LINKS}; 1 us for each switch passed (ours)"
    limit = within(0.98 * links / 1e6, 1.02 * links / 1e6 + 4.0, source=source)
    expect("what three switches add to one", (far.p50_ps - near.p50_ps) / 1e6, limit, "us")


@pytest.mark.plan("BASE-06")
@pytest.mark.needs(Capability.PACKET_DELAY)
@pytest.mark.negative_control("every packet held back by 10 us")
@pytest.mark.parametrize("verb", ["write", "read"])
def test_a_path_that_holds_packets_is_noticed(fabric, expect, verb):
    """Ten microseconds more than the links need do not pass."""
    held = Impair(0, "pair-0", "delay", fraction=1.0, delay=10 * US)
    traffic = Pair(8, "h1", FAR, verb=verb, messages=MESSAGES, interval=40 * US)
    result = fabric.run(Scenario(traffic, qos=QOS, events=[held]))

    latency, limit = result.flow("pair-0").latency, by_links(fabric, verb, 8, FAR)
    expect("fastest message", latency.min_ps / 1e6, limit, "us")
    expect("median latency", latency.p50_ps / 1e6, limit, "us")
    expect("P99.9 of the latency", latency.p999_ps / 1e6, limit, "us")


@pytest.mark.plan("BASE-06")
@pytest.mark.needs(Capability.PACKET_DROP)
@pytest.mark.negative_control("one packet lost")
def test_a_slow_message_is_noticed(fabric, expect):
    """A message whose only packet is lost waits for the timer: the slowest one shows it."""
    traffic = Pair(8, "h1", FAR, messages=MESSAGES, interval=40 * US)
    result = fabric.run(Scenario(traffic, qos=QOS, events=[Impair(0, "pair-0", "drop", packets=(199,))]))

    latency, limit = result.flow("pair-0").latency, by_links(fabric, "write", 8, FAR)
    expect("P99.9 of the latency", latency.p999_ps / 1e6, limit, "us")
    expect("slowest message", latency.max_ps / 1e6, at_most(50 + limit.low, source=TAIL), "us")


@pytest.mark.plan("BASE-06")
@pytest.mark.negative_control("five switch passages where one is claimed")
def test_a_longer_way_is_noticed(fabric, expect):
    """Messages to a host three switches away do not pass for those to one on the same leaf."""
    result = fabric.run(idle("write", 8, FAR))

    near = zero_load_ps(fabric.topology, "h1", NEAR, "write", 8, 4096) / 1e6
    limit = within(0.98 * near, 1.02 * near + 1.0, source=LINKS)
    expect("median latency", result.flow("pair-0").latency.p50_ps / 1e6, limit, "us")
