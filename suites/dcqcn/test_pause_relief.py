"""DCQCN takes the work from PFC: with it pauses all but vanish and throughput stays."""

from __future__ import annotations

import pytest

from harness import (
    KB,
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
    at_most,
    equals,
)
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("star-9-40g"),
    pytest.mark.needs(Capability.PFC, Capability.ECN, Capability.DCQCN, Capability.RATE_SERIES),
]

# Thresholds and parameters of the DCQCN paper, at its rate.
ECN = Ecn(kmin=5 * KB, kmax=200 * KB, pmax=0.01)
PFC_ONLY = Qos(pfc=Pfc({3}), nic=Nic(mtu=1024))
WITH_DCQCN = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=Dcqcn("paper"), nic=Nic(mtu=1024))
FALL = "SIGCOMM 2015, 6.2: from millions of pauses to hundreds or thousands; a hundredth is ours"
HOLD = "ours: 5 %, the loss that the SONiC RoCE plan grants any load; after 20 ms of settling"
MANY = at_least(100, source="a hundredth of less would be below one pause")
MARKED = at_least(1, source="it is marks that replace the pauses")
KEPT = equals(0, source="PFC holds senders back before the buffer is full")
SETTLED = 20 * MS


@pytest.mark.plan("CC-02")
@pytest.mark.parametrize("senders", [2, 4, 8])
def test_pauses_fall_and_throughput_holds(fabric, expect, senders):
    """The same incast with PFC alone and with DCQCN: less than a hundredth of the pauses, the same throughput."""
    traffic = Incast(senders, 1000 * MB)
    alone = fabric.run(Scenario(traffic, qos=PFC_ONLY, duration=40 * MS, sample_every=1 * MS))
    both = fabric.run(Scenario(traffic, qos=WITH_DCQCN, duration=40 * MS, sample_every=1 * MS))

    pauses, before = both.counters[Counter.PAUSE_TX], alone.counters[Counter.PAUSE_TX]
    rate, rate_before = (run.series["goodput_bps"].between(SETTLED).mean() for run in (both, alone))
    expect("pauses with PFC alone", before, MANY, evidence="run 1")
    expect("marks with DCQCN", both.counters[Counter.ECN_MARKED], MARKED)
    expect("pauses, with over without", pauses / before, at_most(0.01, source=FALL))
    expect("throughput, with over without", rate / rate_before, at_least(0.95, source=HOLD))
    expect("frames dropped", both.counters[Counter.DROPS], KEPT)


@pytest.mark.plan("CC-02")
@pytest.mark.negative_control("marking switched off")
def test_reaction_points_without_marks_are_noticed(fabric, expect):
    """Senders with DCQCN that are never told of congestion are paused as before."""
    traffic, deaf = Incast(8, 1000 * MB), Qos(pfc=Pfc({3}), dcqcn=Dcqcn("paper"), nic=Nic(mtu=1024))
    alone = fabric.run(Scenario(traffic, qos=PFC_ONLY, duration=40 * MS, sample_every=1 * MS))
    both = fabric.run(Scenario(traffic, qos=deaf, duration=40 * MS, sample_every=1 * MS))

    pauses, before = both.counters[Counter.PAUSE_TX], alone.counters[Counter.PAUSE_TX]
    expect("pauses with PFC alone", before, MANY, evidence="run 1")
    expect("pauses, with over without", pauses / before, at_most(0.01, source=FALL))


@pytest.mark.plan("CC-02")
@pytest.mark.negative_control("thresholds above those of PFC")
def test_marking_after_pausing_is_noticed(fabric, expect):
    """Marking that begins above the pause threshold comes too late: senders are paused first."""
    late = Qos(pfc=Pfc({3}), ecn=Ecn(kmin=11 * MB, kmax=12 * MB), dcqcn=Dcqcn("paper"), nic=Nic(mtu=1024))
    traffic = Incast(8, 1000 * MB)
    alone = fabric.run(Scenario(traffic, qos=PFC_ONLY, duration=40 * MS, sample_every=1 * MS))
    both = fabric.run(Scenario(traffic, qos=late, duration=40 * MS, sample_every=1 * MS))

    pauses, before = both.counters[Counter.PAUSE_TX], alone.counters[Counter.PAUSE_TX]
    expect("pauses with PFC alone", before, MANY, evidence="run 1")
    expect("pauses, with over without", pauses / before, at_most(0.01, source=FALL))


@pytest.mark.plan("CC-02")
@pytest.mark.negative_control("senders that recover at a hundredth of the speed")
def test_lost_throughput_is_noticed(fabric, expect):
    """Rate timers a hundred times as long leave the link idle after each cut."""
    slow = Dcqcn("paper", rate_timer_ps=5500 * 10**6, byte_counter_bytes=0)
    traffic, qos = Incast(4, 1000 * MB), Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=slow, nic=Nic(mtu=1024))
    alone = fabric.run(Scenario(traffic, qos=PFC_ONLY, duration=40 * MS, sample_every=1 * MS))
    both = fabric.run(Scenario(traffic, qos=qos, duration=40 * MS, sample_every=1 * MS))

    rate, rate_before = (run.series["goodput_bps"].between(SETTLED).mean() for run in (both, alone))
    expect("pauses with PFC alone", alone.counters[Counter.PAUSE_TX], MANY, evidence="run 1")
    expect("throughput, with over without", rate / rate_before, at_least(0.95, source=HOLD))
