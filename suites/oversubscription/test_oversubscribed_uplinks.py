"""Uplinks with half the bandwidth of their rack are shared fairly, lose nothing, and spare what stays inside."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    MS,
    Capability,
    Counter,
    Dcqcn,
    Ecn,
    Nic,
    Pfc,
    Qos,
    QosChange,
    Scenario,
    at_least,
    equals,
    within,
)
from harness.analysis.maxmin import max_min_rates
from harness.analysis.shares import fastest_gbps, slowest_gbps
from harness.analysis.transport import Wire
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("leaf-spine-oversub"),
    pytest.mark.needs(Capability.PFC, Capability.SWITCH_COUNTERS, Capability.PER_PRIORITY_COUNTERS),
]

# Racks of h1 to h4 and h5 to h8, 100 Gb/s each; 200 Gb/s between them.
ACROSS = [
    Pair(1 * MB, "h1", "h5", messages=0, name="first"),
    Pair(1 * MB, "h2", "h6", messages=0, name="second"),
    Pair(1 * MB, "h3", "h7", messages=0, name="third"),
    Pair(1 * MB, "h4", "h8", messages=0, name="fourth"),
]
FAIR = max_min_rates(
    {f"h{host}": [f"h{host}", "up", f"h{host + 4}"] for host in (1, 2, 3, 4)},
    {"up": 200, **{f"h{host}": 100 for host in range(1, 9)}},
)
NIC, LONG = Nic(mtu=4096), 4 * MS
QOS = Qos(pfc=Pfc({3}), nic=NIC)
PAYLOAD = Wire().efficiency(4096)
SHARE = within(
    0.95 * FAIR["h1"] * PAYLOAD,
    1.05 * FAIR["h1"] * PAYLOAD,
    source="max-min fair: a fourth of the uplink; 5 % as in the SONiC PFC suite",
)
FULL = at_least(
    0.95 * 200 * PAYLOAD,
    source="the uplink never idles while four hosts wait: its payload; 5 % for the start",
)
LOSSLESS = equals(0, source="the leaf pauses its hosts before it has to drop")
PAUSED = at_least(4, source="400 Gb/s offered, 200 carried: each of four hosts is told to stop")
CLEAR = equals(0, source="200 Gb/s come out of the uplink for 400 Gb/s of host ports")
# h1 to h3 overload the uplink; h4 sends to h1, whose receiving side nobody else uses.
OUT = ACROSS[:3]
INSIDE = Pair(1 * MB, "h4", "h1", messages=0, name="inside")
SPARED = at_least(0.95 * 100 * PAYLOAD, source="no link of this flow is shared: line rate; 5 % for the start")
OVERLOAD = at_least(1, source="300 Gb/s offered to the uplink, 200 carried")
UNPAUSED = equals(0, source="its frames leave the leaf as fast as they come")
MARKED = at_least(1, source="400 Gb/s offered, 200 carried: the queue passes Kmin")
MARKED_FIRST = equals(
    0, source="Kmax of the uplink (3.2 MB) holds back four hosts before a share of 16 MB each is used up"
)
KEPT_BUSY = at_least(0.8 * 200 * PAYLOAD, source="Husky: a flow keeps 0.8 of what it has alone")


@pytest.mark.plan("OVS-01")
@pytest.mark.catches("pause_not_sent", "pauses of hosts")
def test_an_oversubscribed_uplink_is_shared_without_loss(fabric, expect):
    """Four hosts send to another rack: each has a fourth of the uplink, only their leaf pauses, and nothing is lost."""
    result = fabric.run(Scenario(ACROSS, qos=QOS, duration=LONG))

    pauses = result.counters.priority(3)
    expect("slowest flow", slowest_gbps(result.flows), SHARE, "Gb/s")
    expect("fastest flow", fastest_gbps(result.flows), SHARE, "Gb/s")
    expect("goodput of the uplink", result.goodput_gbps, FULL, "Gb/s")
    expect("pauses of hosts", pauses.hosts[Counter.PAUSE_RX], PAUSED)
    expect("pauses behind the uplink", pauses.at("spine1")[Counter.PAUSE_TX], CLEAR)
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("OVS-01")
@pytest.mark.negative_control("PFC switched off")
def test_an_oversubscribed_uplink_drops_without_pause(fabric, expect):
    """Without PFC the leaf drops half of what comes."""
    result = fabric.run(Scenario(ACROSS, qos=Qos(nic=NIC), duration=LONG))

    pauses = result.counters.priority(3)
    expect("goodput of the uplink", result.goodput_gbps, FULL, "Gb/s")
    expect("pauses of hosts", pauses.hosts[Counter.PAUSE_RX], PAUSED)
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("OVS-01")
@pytest.mark.negative_control("a host held to a tenth of the line")
def test_an_unfair_share_of_the_uplink_is_noticed(fabric, expect):
    """One host that sends less than its share leaves more to the others."""
    flows = [*ACROSS[:3], Pair(1 * MB, "h4", "h8", messages=0, rate=10 * GBPS, name="fourth")]
    result = fabric.run(Scenario(flows, qos=QOS, duration=LONG))

    expect("slowest flow", slowest_gbps(result.flows), SHARE, "Gb/s")
    expect("fastest flow", fastest_gbps(result.flows), SHARE, "Gb/s")
    expect("goodput of the uplink", result.goodput_gbps, FULL, "Gb/s")


@pytest.mark.plan("OVS-01")
@pytest.mark.negative_control("a leaf without PFC")
@pytest.mark.needs(Capability.QOS_CHANGE)
def test_a_leaf_without_pfc_is_noticed(fabric, expect):
    """A leaf without PFC for the priority neither pauses its hosts nor keeps what they send."""
    broken = QosChange(0, "leaf1", switch={"pfc": {"priorities": []}})
    result = fabric.run(Scenario(ACROSS, qos=QOS, events=[broken], duration=LONG))

    expect("pauses of hosts", result.counters.priority(3).hosts[Counter.PAUSE_RX], PAUSED)
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("OVS-02")
@pytest.mark.catches("slow_receiver", "goodput inside the rack")
def test_traffic_inside_a_rack_is_spared(fabric, expect):
    """While three hosts overload the uplink a flow between two hosts of the rack has line rate and is never paused."""
    result = fabric.run(Scenario([*OUT, INSIDE], qos=QOS, duration=LONG))

    expect("pauses of h2", result.counters.at("h2").priority(3)[Counter.PAUSE_RX], OVERLOAD)
    expect("pauses of h4", result.counters.at("h4").priority(3)[Counter.PAUSE_RX], UNPAUSED)
    expect("goodput inside the rack", result.flow("inside-0").goodput_gbps, SPARED, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("OVS-02")
@pytest.mark.negative_control("the host inside sends over the uplink as well")
def test_a_host_that_is_paused_for_the_uplink_is_noticed(fabric, expect):
    """Pauses stop a whole priority: a host that shares in the overload is slowed inside its rack too."""
    result = fabric.run(Scenario([*ACROSS, INSIDE], qos=QOS, duration=LONG))

    expect("pauses of h4", result.counters.at("h4").priority(3)[Counter.PAUSE_RX], UNPAUSED)
    expect("goodput inside the rack", result.flow("inside-0").goodput_gbps, SPARED, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("OVS-03")
@pytest.mark.needs(Capability.ECN, Capability.DCQCN, Capability.RATE_SERIES)
@pytest.mark.catches("marking_off", "marks of the uplink")
@pytest.mark.parametrize("preset", ["paper", "mlx5", "ns3"])
def test_dcqcn_shares_an_uplink_without_pauses(fabric, expect, preset):
    """With DCQCN marks of the uplink hold the hosts back before the leaf has to pause them, and keep it busy."""
    qos = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=Dcqcn(preset), nic=NIC)
    result = fabric.run(Scenario(ACROSS, qos=qos, duration=2 * LONG))

    late = result.series["goodput_bps"].between(LONG)
    expect("marks of the uplink", result.counters.at("leaf1:e5")[Counter.ECN_MARKED], MARKED)
    expect("pauses of hosts", result.counters.priority(3).hosts[Counter.PAUSE_RX], MARKED_FIRST)
    expect("goodput of the uplink", 4 * late.mean() / 1e9, KEPT_BUSY, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("OVS-03")
@pytest.mark.negative_control("marking switched off")
@pytest.mark.needs(Capability.ECN, Capability.DCQCN)
def test_an_uplink_without_marks_is_noticed(fabric, expect):
    """Without marks the leaf pauses its hosts."""
    qos = Qos(pfc=Pfc({3}), dcqcn=Dcqcn("mlx5"), nic=NIC)
    result = fabric.run(Scenario(ACROSS, qos=qos, duration=2 * LONG))

    expect("marks of the uplink", result.counters.at("leaf1:e5")[Counter.ECN_MARKED], MARKED)
    expect("pauses of hosts", result.counters.priority(3).hosts[Counter.PAUSE_RX], MARKED_FIRST)
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("OVS-03")
@pytest.mark.negative_control("hosts held to a third of the uplink")
@pytest.mark.needs(Capability.ECN, Capability.DCQCN, Capability.RATE_SERIES)
def test_an_uplink_that_is_not_used_is_noticed(fabric, expect):
    """Hosts that send 16 Gb/s each do not keep the uplink busy."""
    flows = [
        Pair(1 * MB, "h1", "h5", messages=0, rate=16 * GBPS, name="first"),
        Pair(1 * MB, "h2", "h6", messages=0, rate=16 * GBPS, name="second"),
        Pair(1 * MB, "h3", "h7", messages=0, rate=16 * GBPS, name="third"),
        Pair(1 * MB, "h4", "h8", messages=0, rate=16 * GBPS, name="fourth"),
    ]
    qos = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=Dcqcn("mlx5"), nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=2 * LONG))

    late = result.series["goodput_bps"].between(LONG)
    expect("marks of the uplink", result.counters.at("leaf1:e5")[Counter.ECN_MARKED], MARKED)
    expect("goodput of the uplink", 4 * late.mean() / 1e9, KEPT_BUSY, "Gb/s")
