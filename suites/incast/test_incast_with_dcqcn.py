"""An incast under DCQCN loses nothing, is hardly ever paused, and fills the receiver's link."""

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
from harness.analysis.fairness import jain
from harness.analysis.transport import Wire
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.PFC, Capability.ECN, Capability.DCQCN, Capability.RATE_SERIES),
]

NIC = Nic(mtu=4096)
LINE = 100e9 * Wire().efficiency(4096)
SETTLED = 20 * MS
FEW = at_most(100, source="SONiC RoCE plan, TC3: PFC_TOLERANCE_FRAMES")
FILLED = at_least(
    0.95, source="SONiC large-scale RoCE plan: 95 % of line rate, here less headers, after 20 ms"
)
MARKS = at_most(0.05, source="SONiC large-scale RoCE plan: fewer than 5 % CE")
KEPT = equals(0, source="PFC holds senders back before the buffer is full")
MARKED = at_least(1, source="SONiC RoCE plan, TC3: CE is seen")
TOLD = at_least(1, source="SONiC RoCE plan, TC3: CNPs are seen")


@pytest.mark.plan("CC-01")
@pytest.mark.parametrize("preset", ["paper", "mlx5", "ns3"])
def test_three_to_one_is_controlled_by_marks(fabric, expect, preset):
    """Three senders: marks and CNPs, no loss, at most a hundred pauses, and a full link."""
    qos = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=Dcqcn(preset), nic=NIC)
    result = fabric.run(Scenario(Incast(3, 1000 * MB), qos=qos, duration=40 * MS, sample_every=1 * MS))

    rates = result.series["goodput_bps"].between(SETTLED).values.mean(axis=0)
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], FEW)
    expect("packets marked", result.counters[Counter.ECN_MARKED], MARKED)
    expect("CNPs sent", result.counters[Counter.CNP_SENT], TOLD)
    expect("part of the link used", rates.sum() / LINE, FILLED)


@pytest.mark.plan("CC-06")
@pytest.mark.parametrize("senders", [2, 4, 8])
@pytest.mark.parametrize("size", [64 * KB, 1 * MB])
def test_incast_of_messages_is_controlled(fabric, expect, senders, size):
    """N senders of messages of 64 KB or 1 MB: no loss, few pauses, few marks, 95 % of the link, equal shares."""
    traffic = Incast(senders, size, messages=0, jitter=1_000_000)
    qos = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=Dcqcn("paper"), nic=NIC)
    result = fabric.run(Scenario(traffic, qos=qos, duration=60 * MS, sample_every=1 * MS))

    rates = result.series["goodput_bps"].between(SETTLED).values.mean(axis=0)
    marked = result.counters[Counter.ECN_MARKED] / result.counters.at("sw1:e9")[Counter.TX_PACKETS]
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], FEW)
    expect("CNPs sent", result.counters[Counter.CNP_SENT], TOLD)
    expect("part of packets marked", marked, MARKS)
    expect("part of the link used", rates.sum() / LINE, FILLED)
    expect(
        "Jain's index",
        jain(rates),
        at_least(0.9, source="ours: equal shares, before the flows have quite settled"),
    )


@pytest.mark.plan("CC-01", "CC-06")
@pytest.mark.negative_control("no DCQCN")
def test_incast_without_control_is_noticed(fabric, expect):
    """PFC alone fills the link too, with thousands of pauses and a queue above the marking threshold."""
    qos = Qos(pfc=Pfc({3}), ecn=Ecn(), nic=NIC)
    result = fabric.run(
        Scenario(Incast(8, 1 * MB, messages=0), qos=qos, duration=40 * MS, sample_every=1 * MS)
    )

    marked = result.counters[Counter.ECN_MARKED] / result.counters.at("sw1:e9")[Counter.TX_PACKETS]
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], FEW)
    expect("part of packets marked", marked, MARKS)


@pytest.mark.plan("CC-01", "CC-06")
@pytest.mark.negative_control("senders that never recover")
def test_an_idle_link_is_noticed(fabric, expect):
    """Senders that are cut and never raise their rate leave the link idle."""
    frozen = Dcqcn("paper", rate_timer_ps=1000 * MS, byte_counter_bytes=0)
    qos = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=frozen, nic=NIC)
    result = fabric.run(Scenario(Incast(3, 1000 * MB), qos=qos, duration=40 * MS, sample_every=1 * MS))

    rates = result.series["goodput_bps"].between(SETTLED).values.mean(axis=0)
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], FEW)
    expect("CNPs sent", result.counters[Counter.CNP_SENT], TOLD)
    expect("part of the link used", rates.sum() / LINE, FILLED)
