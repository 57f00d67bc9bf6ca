"""Incasts at every tier at once: under DCQCN pauses come to an end, and flows beside them keep their rate."""

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
from harness.analysis.fairness import jain
from harness.analysis.transport import Wire
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("leaf-spine-16"),
    pytest.mark.needs(
        Capability.PFC, Capability.ECN, Capability.DCQCN, Capability.CNP, Capability.RATE_SERIES
    ),
]

# Twelve hosts of three racks and two of its own send to h16; in each of the other racks one host receives from two.
FAR = ("h1", "h2", "h3", "h5", "h6", "h7", "h9", "h10", "h11", "h13", "h14")
LARGE = Incast(FAR, 2000 * MB, "h16", name="large")
LOCAL = [
    Incast(("h1", "h2"), 2000 * MB, "h4", name="rack1"),
    Incast(("h5", "h6"), 2000 * MB, "h8", name="rack2"),
    Incast(("h9", "h10"), 2000 * MB, "h12", name="rack3"),
]
BESIDE = Pair(2000 * MB, "h12", "h15", name="beside")
QOS = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=Dcqcn("paper"), nic=Nic(mtu=4096))
LINE = 100e9 * Wire().efficiency(4096)
HALF, END = 20 * MS, 40 * MS
FILLED = at_least(
    0.95, source="SONiC large-scale RoCE plan: 95 % of line rate, here less headers, after 20 ms"
)
ENDED = equals(
    0, source="sonic-mgmt pull 26698: pauses stabilise; the fixed point of DCQCN is below their threshold"
)
DEGRADED = at_least(0.8, source="Husky: a victim keeps 0.8 of what it has alone")
EVEN = at_least(0.95, source="ours: flows that deviate by 23 % have 0.95")
KEPT = equals(0, source="PFC holds senders back before the buffer is full")


@pytest.mark.plan("CC-07")
def test_pauses_of_a_hierarchical_incast_end(fabric, expect):
    """Eleven to one across three tiers and two to one in three racks: full receivers, pauses end, nothing is lost."""
    result = fabric.run(Scenario([LARGE, *LOCAL, BESIDE], qos=QOS, duration=END, sample_every=1 * MS))

    rates = result.series["goodput_bps"].between(HALF)
    paused = result.series["pause_fraction"].between(HALF)
    into = rates.values[:, : len(FAR)].mean(axis=0).sum()
    expect("part of the link of the large incast used", into / LINE, FILLED)
    expect("paused part of all ports, second half", paused.max(), ENDED)
    expect("rate of the flow beside", rates.mean("beside-0") / LINE, DEGRADED)
    expect(
        "packets marked", result.counters[Counter.ECN_MARKED], at_least(1, source="it is marks that control")
    )
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)


# Two hosts each of seven racks of 128 hosts send to the last host of the eighth, and one more to its neighbour.
SPREAD = tuple(f"h{16 * rack + place}" for rack in range(7) for place in (1, 2))
WIDE = Incast(SPREAD, 2000 * MB, "h128", name="large")
NEIGHBOUR = Pair(2000 * MB, "h3", "h127", name="beside")


@pytest.mark.plan("CC-07")
@pytest.mark.topology("two-tier-128")
def test_pauses_of_a_wide_incast_end(fabric, expect):
    """Fourteen to one over two tiers of 128 hosts: a full receiver, pauses end, a flow to its neighbour goes on."""
    scenario = Scenario([WIDE, NEIGHBOUR], qos=QOS, duration=60 * MS, sample_every=1 * MS)
    result = fabric.run(scenario)

    rates = result.series["goodput_bps"].between(30 * MS)
    into = rates.values[:, : len(SPREAD)].mean(axis=0)
    paused = result.series["pause_fraction"].between(30 * MS)
    expect("part of the link of the large incast used", into.sum() / LINE, FILLED)
    expect("Jain's index", jain(into), EVEN)
    expect("paused part of all ports, second half", paused.max(), ENDED)
    expect("rate of the flow beside", rates.mean("beside-0") / LINE, DEGRADED)
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)


@pytest.mark.plan("CC-07")
@pytest.mark.negative_control("no DCQCN")
def test_lasting_pauses_are_noticed(fabric, expect):
    """With PFC alone ports of every tier are paused to the end, and the flow beside with them."""
    alone = Qos(pfc=Pfc({3}), ecn=Ecn(), nic=Nic(mtu=4096))
    result = fabric.run(Scenario([LARGE, *LOCAL, BESIDE], qos=alone, duration=END, sample_every=1 * MS))

    rates = result.series["goodput_bps"].between(HALF)
    paused = result.series["pause_fraction"].between(HALF)
    expect("paused part of all ports, second half", paused.max(), ENDED)
    expect("rate of the flow beside", rates.mean("beside-0") / LINE, DEGRADED)
