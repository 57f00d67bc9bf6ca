"""DCQCN flows through one bottleneck share it equally, whichever way they come and whenever they join."""

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
    QosChange,
    Scenario,
    at_least,
    at_most,
    equals,
)
from harness.analysis.convergence import time_to_jain
from harness.analysis.fairness import jain
from harness.patterns.incast import Incast

pytestmark = pytest.mark.needs(Capability.ECN, Capability.DCQCN, Capability.PFC, Capability.RATE_SERIES)

ECN = Ecn(kmin=5 * KB, kmax=200 * KB, pmax=0.01)
QOS = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=Dcqcn("paper"), nic=Nic(mtu=1024))
JAIN = at_least(0.95, source="ours: four flows that deviate by 23 % have 0.95")
DEVIATION = at_most(0.3, source="SONiC RoCE plan, TC6: below 30 %")
SOON = at_most(50, source="ours: 20 to 50 ms are usual with the paper's parameters; over windows of 20 ms")
FULL = at_least(0.95, source="goodput over that of a full link, 5 % for the queue running empty (ours)")
KEPT = equals(0, source="PFC holds senders back before the buffer is full")


@pytest.mark.plan("CC-04")
@pytest.mark.topology("star-9-40g")
@pytest.mark.parametrize("senders", [2, 4, 8])
def test_flows_of_one_switch_share_equally(fabric, expect, senders):
    """N flows settle at 1/N of the link each."""
    result = fabric.run(Scenario(Incast(senders, 1000 * MB), qos=QOS, duration=80 * MS, sample_every=1 * MS))

    rates = result.series["goodput_bps"].between(30 * MS).values.mean(axis=0)
    share = 40e9 * 1024 / 1106 / senders
    expect("Jain's index", jain(rates), JAIN)
    expect(
        "largest deviation",
        abs(rates / share - 1).max(),
        DEVIATION,
        source="SONiC RoCE plan, TC6: below 30 %",
    )
    expect("part of the link used", rates.sum() / (share * senders), FULL)
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)


@pytest.mark.plan("CC-04")
@pytest.mark.topology("two-racks-40g")
def test_a_near_sender_gets_no_more_than_far_ones(fabric, expect):
    """Three senders of the other rack and one of the receiver's own settle at a quarter each."""
    traffic = Incast(("h1", "h2", "h3", "h5"), 1000 * MB, "h8")
    result = fabric.run(Scenario(traffic, qos=QOS, duration=80 * MS, sample_every=1 * MS))

    rates = result.series["goodput_bps"].between(30 * MS).values.mean(axis=0)
    share = 40e9 * 1024 / 1106 / 4
    expect("Jain's index", jain(rates), JAIN)
    expect("largest deviation", abs(rates / share - 1).max(), DEVIATION)
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)


@pytest.mark.plan("CC-04")
@pytest.mark.topology("two-racks-40g")
@pytest.mark.negative_control("PFC alone")
def test_pauses_alone_favour_the_near_sender(fabric, expect):
    """With PFC alone ports share and not flows: the near sender gets half, as in figure 3 of the DCQCN paper."""
    traffic = Incast(("h1", "h2", "h3", "h5"), 1000 * MB, "h8")
    qos = Qos(pfc=Pfc({3}), nic=Nic(mtu=1024))
    result = fabric.run(Scenario(traffic, qos=qos, duration=80 * MS, sample_every=1 * MS))

    rates = result.series["goodput_bps"].between(30 * MS).values.mean(axis=0)
    share = 40e9 * 1024 / 1106 / 4
    expect("Jain's index", jain(rates), JAIN)
    expect("largest deviation", abs(rates / share - 1).max(), DEVIATION)
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)


@pytest.mark.plan("CC-03")
@pytest.mark.topology("star-9-40g")
@pytest.mark.parametrize("number", [1, 2, 4])
def test_flows_that_join_get_their_share(fabric, expect, number):
    """M flows run, M more join: within 50 ms Jain's index is 0.95 or more and stays so, and the link is full."""
    hosts = ("h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8")
    first = Incast(hosts[:number], 1000 * MB, "h9", name="first")
    joining = Incast(hosts[number : 2 * number], 1000 * MB, "h9", name="joining", start=30 * MS)
    scenario = Scenario([first, joining], qos=QOS, duration=130 * MS, sample_every=1 * MS)
    result = fabric.run(scenario)

    rates = result.series["goodput_bps"].between(30 * MS)
    settled = rates.between(80 * MS).values.mean(axis=0)
    reached = time_to_jain(rates.time_ps, rates.values.cumsum(axis=0), 0.95, window_ps=20 * MS)
    expect("time to fairness", (reached - 30 * MS) / MS, SOON, "ms")
    expect("Jain's index afterwards", jain(settled), JAIN)
    expect("part of the link used", settled.sum() / (40e9 * 1024 / 1106), FULL)


@pytest.mark.plan("CC-03")
@pytest.mark.topology("star-9-40g")
@pytest.mark.negative_control("joining hosts that do not react")
@pytest.mark.needs(Capability.QOS_CHANGE)
def test_joining_flows_that_do_not_yield_are_noticed(fabric, expect):
    """Two hosts without reaction point take the link from those that have one."""
    first = Incast(("h1", "h2"), 1000 * MB, "h9", name="first")
    joining = Incast(("h3", "h4"), 1000 * MB, "h9", name="joining", start=30 * MS)
    deaf = [QosChange(0, host, nic={"cc": {"algorithm": "none"}}) for host in ("h3", "h4")]
    result = fabric.run(
        Scenario([first, joining], qos=QOS, duration=130 * MS, sample_every=1 * MS, events=deaf)
    )

    settled = result.series["goodput_bps"].between(80 * MS).values.mean(axis=0)
    expect("Jain's index afterwards", jain(settled), JAIN)
    expect("part of the link used", settled.sum() / (40e9 * 1024 / 1106), FULL)


@pytest.mark.plan("CC-03")
@pytest.mark.topology("star-9-40g")
@pytest.mark.negative_control("increase steps of a tenth")
def test_slow_convergence_is_noticed(fabric, expect):
    """With additive and hyper increase a tenth of the paper's, flows that join take several times as long."""
    slow = Dcqcn("paper", rate_ai_bps=4_000_000, rate_hai_bps=40_000_000)
    qos = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=slow, nic=Nic(mtu=1024))
    first = Incast(("h1", "h2"), 1000 * MB, "h9", name="first")
    joining = Incast(("h3", "h4"), 1000 * MB, "h9", name="joining", start=30 * MS)
    result = fabric.run(Scenario([first, joining], qos=qos, duration=250 * MS, sample_every=1 * MS))

    rates = result.series["goodput_bps"].between(30 * MS)
    reached = time_to_jain(rates.time_ps, rates.values.cumsum(axis=0), 0.95, window_ps=20 * MS)
    expect("time to fairness", (reached - 30 * MS) / MS, SOON, "ms")
