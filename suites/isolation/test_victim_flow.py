"""Congestion at one receiver does not slow a flow to another, though both cross the same trunk."""

from __future__ import annotations

import pytest

from harness import (
    MB,
    MS,
    Capability,
    Counter,
    Dcqcn,
    Ecn,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    equals,
)
from harness.analysis.maxmin import max_min_rates
from harness.analysis.transport import Wire
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("two-racks"),
    pytest.mark.needs(Capability.PFC, Capability.ECN, Capability.DCQCN, Capability.SWITCH_COUNTERS),
]

NIC = Nic(mtu=4096)
HOSTS = ("h1", "h2", "h3")
VICTIM = Pair(1000 * MB, "h4", "h6", name="victim")
SPARED = "Husky: a victim keeps 0.8 of what it has alone"
UNPAUSED = equals(0, source="the incast is marked long before the trunk's share of the buffer is used up")
KEPT = equals(0, source="PFC holds senders back before the buffer is full")
MARKED = at_least(1, source="the incast fills the queue of its receiver above Kmin")
# The trunk of 400 Gb/s carries all four hosts at once: max-min fairness leaves the victim its whole link.
FAIR = max_min_rates(
    {
        "a": ["h1", "trunk", "h5"],
        "b": ["h2", "trunk", "h5"],
        "c": ["h3", "trunk", "h5"],
        "victim": ["h4", "trunk", "h6"],
    },
    {"h1": 100, "h2": 100, "h3": 100, "h4": 100, "h5": 100, "h6": 100, "trunk": 400},
)


@pytest.mark.plan("ISO-01", "ISO-03")
@pytest.mark.parametrize("preset", ["paper", "mlx5", "ns3"])
@pytest.mark.parametrize("senders", [2, 3])
def test_dcqcn_spares_the_victim(fabric, expect, preset, senders):
    """With DCQCN the flow past an incast keeps its max-min fair rate, and the trunk is never paused."""
    qos = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=Dcqcn(preset), nic=NIC)
    incast = Incast(HOSTS[:senders], 1000 * MB, "h5")
    result = fabric.run(Scenario([incast, VICTIM], qos=qos, duration=5 * MS))

    fair = FAIR["victim"] * Wire().efficiency(4096)
    expect("marks on the incast", result.flows.of(incast).total("ecn_marked"), MARKED)
    expect(
        "victim over its fair rate", result.flow("victim-0").goodput_gbps / fair, at_least(0.8, source=SPARED)
    )
    expect("pauses of the trunk", result.counters.at("sw1:e5").priority(3)[Counter.PAUSE_RX], UNPAUSED)
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)


@pytest.mark.plan("ISO-01", "ISO-03")
@pytest.mark.negative_control("PFC alone")
@pytest.mark.parametrize("senders", [2, 3])
def test_pauses_alone_hit_the_victim(fabric, expect, senders):
    """With PFC alone the trunk is paused for the incast, and the victim waits with it."""
    incast = Incast(HOSTS[:senders], 1000 * MB, "h5")
    result = fabric.run(Scenario([incast, VICTIM], qos=Qos(pfc=Pfc({3}), nic=NIC), duration=5 * MS))

    fair = FAIR["victim"] * Wire().efficiency(4096)
    expect(
        "victim over its fair rate", result.flow("victim-0").goodput_gbps / fair, at_least(0.8, source=SPARED)
    )
    expect("pauses of the trunk", result.counters.at("sw1:e5").priority(3)[Counter.PAUSE_RX], UNPAUSED)
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)
