"""A long way costs a DCQCN flow nothing: its rate rises with time and bytes, not with round trips."""

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
    equals,
    within,
)
from harness.analysis.fairness import jain
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("near-far-40g"),
    pytest.mark.needs(Capability.ECN, Capability.DCQCN, Capability.PFC, Capability.RATE_SERIES),
]

ECN = Ecn(kmin=5 * KB, kmax=200 * KB, pmax=0.01)
QOS = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=Dcqcn("paper"), nic=Nic(mtu=1024))
SETTLED = 50 * MS
TRAFFIC = Incast(4, 1000 * MB)
SHARE = 40e9 * 1024 / 1106 / 4
EQUAL = within(
    0.7,
    1.3,
    source="fixed point of the fluid model (CoNEXT 2016): rates do not depend on delay; 30 % as SONiC TC6",
)
JAIN = at_least(0.95, source="ours: four flows that deviate by 23 % have 0.95")
FULL = at_least(0.95, source="goodput over that of a full link, 5 % for the queue running empty (ours)")


@pytest.mark.plan("CC-04")
def test_far_senders_get_as_much_as_near_ones(fabric, expect):
    """Two senders at 4 us and two at 102 us of round trip share a receiver equally."""
    result = fabric.run(Scenario(TRAFFIC, qos=QOS, duration=130 * MS, sample_every=1 * MS))

    rates = result.series["goodput_bps"].between(SETTLED).values.mean(axis=0)
    expect(
        "marks", result.counters[Counter.ECN_MARKED], at_least(1, source="it is marks that share the link")
    )
    expect("rate of far senders over near ones", rates[2:].sum() / rates[:2].sum(), EQUAL)
    expect("Jain's index", jain(rates), JAIN)
    expect("part of the link used", rates.sum() / (4 * SHARE), FULL)
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source="PFC holds what marks do not"))


@pytest.mark.plan("CC-04")
@pytest.mark.negative_control("windows of one size for all ways")
def test_a_share_by_round_trips_is_noticed(fabric, expect):
    """With the same window and nothing else the far senders get what is left of their round trips."""
    same = Incast(4, 1000 * MB, window=100 * KB)
    qos = Qos(pfc=Pfc({3}), nic=Nic(mtu=1024))
    result = fabric.run(Scenario(same, qos=qos, duration=130 * MS, sample_every=1 * MS))

    rates = result.series["goodput_bps"].between(SETTLED).values.mean(axis=0)
    expect("rate of far senders over near ones", rates[2:].sum() / rates[:2].sum(), EQUAL)
    expect("Jain's index", jain(rates), JAIN)
