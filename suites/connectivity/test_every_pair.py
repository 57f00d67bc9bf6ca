"""Every host reaches every other, by every path, in the time of the links between them."""

from __future__ import annotations

import pytest

from harness import (
    MBPS,
    MS,
    Capability,
    Counter,
    LinkDown,
    LinkRate,
    Nic,
    Pfc,
    Qos,
    Scenario,
    equals,
    within,
)
from harness.analysis.transport import Wire
from harness.analysis.uplinks import used_uplinks
from harness.analysis.zero_load import waiting_ps, zero_load_ps
from harness.patterns.all_to_all import AllToAll

pytestmark = [
    pytest.mark.topology("leaf-spine-16"),
    pytest.mark.needs(
        Capability.SWITCH_COUNTERS, Capability.HOST_COUNTERS, Capability.DEPENDENT_TRANSFERS, Capability.PFC
    ),
]

QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=1024))
# Step k: every host sends to the k-th next one, as soon as it has what was sent to it in the step before.
MESH = AllToAll(64, schedule="pairwise")
PAIRS = 16 * 15
ALL = "16 hosts, each to 15 others"
BY_LINKS = (
    "links of the longest path; at most, on each link, data and ACK of the 15 other hosts go first; "
    "5 us for devices (ngc_multinode_perf: 2.5 us a way)"
)
NOTHING = "nothing is in the way of messages of 64 B"


def slowest(fabric):
    """Completion of a message between the hosts that are furthest apart, in us: alone, and behind everybody."""
    alone = zero_load_ps(fabric.topology, "h1", "h16", "write", 64, 1024)
    behind = waiting_ps(fabric.topology, "h1", "h16", 15 * [Wire().message(64, 1024)[0], Wire().ack()])
    return within(0.99 * alone / 1e6, (alone + behind) / 1e6 + 5, source=BY_LINKS)


@pytest.mark.plan("BASE-01")
@pytest.mark.catches("latency_extra", "slowest pair")
def test_every_host_reaches_every_other(fabric, expect):
    """240 ordered pairs exchange 64 B: all arrive at the first try, none later than its links allow."""
    result = fabric.run(Scenario(MESH, qos=QOS))

    count = result.counters
    expect("messages complete", result.flows.total("messages_completed"), equals(PAIRS, source=ALL))
    expect("bytes delivered", result.flows.total("bytes_delivered"), equals(PAIRS * 64, source=ALL), "B")
    expect("slowest pair", result.fct.max_ps / 1e6, slowest(fabric), "us")
    expect("packets sent again", count[Counter.RETRANSMITTED], equals(0, source=NOTHING))
    expect("frames dropped", count[Counter.DROPS], equals(0, source=NOTHING))


@pytest.mark.plan("BASE-01")
@pytest.mark.catches("ecmp_polarised", "uplinks of the first leaf in use")
def test_every_path_is_used(fabric, expect):
    """The 48 messages that leave each rack use all four spines: no cable is dark, no path left out."""
    result = fabric.run(Scenario(MESH, qos=QOS))

    spines = equals(4, source="by chance one of four is left out once in 250,000 times")
    expect("uplinks of the first leaf in use", used_uplinks(result, "leaf1"), spines)
    expect("uplinks of the second leaf in use", used_uplinks(result, "leaf2"), spines)
    expect("uplinks of the third leaf in use", used_uplinks(result, "leaf3"), spines)
    expect("uplinks of the fourth leaf in use", used_uplinks(result, "leaf4"), spines)


@pytest.mark.plan("BASE-01")
@pytest.mark.needs(Capability.LINK_FLAP)
@pytest.mark.negative_control("a host whose cable is out")
def test_a_host_that_is_cut_off_is_noticed(fabric, expect):
    """Messages to and from a host without a link do not complete."""
    events = [LinkDown(0, "h16:p0")]
    qos = Qos(pfc=Pfc({3}), nic=Nic(mtu=1024, ack_timeout=8, retry_count=1))
    result = fabric.run(Scenario(AllToAll(64), qos=qos, events=events, may_fail=["*"], duration=20 * MS))

    expect("messages complete", result.flows.total("messages_completed"), equals(PAIRS, source=ALL))
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source=NOTHING))


@pytest.mark.plan("BASE-01")
@pytest.mark.needs(Capability.LINK_RATE)
@pytest.mark.negative_control("a host that came up at 100 Mb/s")
def test_a_slow_port_is_noticed(fabric, expect):
    """A port that negotiated a thousandth of its rate makes its pairs late."""
    result = fabric.run(Scenario(MESH, qos=QOS, events=[LinkRate(0, "h16:p0", 100 * MBPS)]))

    expect("slowest pair", result.fct.max_ps / 1e6, slowest(fabric), "us")


@pytest.mark.plan("BASE-01")
@pytest.mark.needs(Capability.LINK_FLAP)
@pytest.mark.negative_control("a cable between leaf and spine that is out")
def test_a_dark_path_is_noticed(fabric, expect):
    """Routing goes around the cable, and the leaf uses three spines."""
    result = fabric.run(Scenario(MESH, qos=QOS, events=[LinkDown(0, "leaf1:e5")]))

    spines = equals(4, source="by chance one of four is left out once in 250,000 times")
    expect("uplinks of the first leaf in use", used_uplinks(result, "leaf1"), spines)
