"""Weights that change in mid-run change the shares, at once and to what was asked."""

from __future__ import annotations

import pytest

from harness import MB, MS, US, Capability, Ets, Nic, Pfc, Qos, QosChange, Scenario, at_most
from harness.analysis.sched import ets_shares
from harness.analysis.shares import time_off_ps, worst_deviation
from harness.analysis.transport import Wire
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.ETS, Capability.PFC, Capability.QOS_CHANGE, Capability.RATE_SERIES, Capability.SWITCH_COUNTERS
    ),
]  # fmt: skip

AT, SAMPLE = 2 * MS, 20 * US
BEFORE, AFTER = {3: 60, 4: 40}, {3: 20, 4: 80}
LINE = 1e9 * 100 * Wire().efficiency(4096)
BOUNDLESS = float("inf")
WEIGHTS = "weight over the sum of weights; 3 % is the tolerance of the featureprofiles WRR test (802.1Qaz allows 10 %)"
# At 100 Gb/s a sample of 20 us is 61 packets: one packet more or less of a flow that has a fifth of them is 8 %.
SOON = at_most(
    3 * 20,
    source="a round of DWRR is less than a microsecond: the sample that is open, and two for its counting (ours)",
)


def shares(weights):
    """Bits per second of both flows."""
    return ets_shares([BOUNDLESS] * 2, list(weights.values()), [], LINE)


def greedy(source, target):
    """Two greedy priorities that meet in a switch port or in a NIC."""
    return [
        Pair(1 * MB, "h1", "h9", priority=3, messages=0, name="first"),
        Pair(1 * MB, source, target, priority=4, messages=0, name="second"),
    ]


def settings(weights):
    """Equal settings but for the weights."""
    return Qos(pfc=Pfc({3, 4}), ets=Ets(weights), nic=Nic(mtu=4096))


@pytest.mark.plan("ETS-03")
@pytest.mark.catches("ets_weights_ignored", "shares before, off by")
@pytest.mark.parametrize(
    ("source", "target", "node"),
    [("h2", "h9", "sw1"), ("h1", "h8", "h1")],
    ids=["at the switch", "at the sender"],
)
def test_new_weights_take_effect(fabric, expect, source, target, node):
    """Two greedy priorities share 60 to 40 and, from one sample to the next, 20 to 80."""
    change = QosChange(AT, node, Qos(ets=Ets(AFTER)))
    scenario = Scenario(
        greedy(source, target), qos=settings(BEFORE), events=[change], duration=2 * AT, sample_every=SAMPLE
    )
    series = fabric.run(scenario).series["goodput_bps"]

    before, after = series.between(200 * US, AT), series.between(AT + 200 * US)
    changed = series.between(AT)
    off = time_off_ps(changed.values, shares(AFTER), within=0.1, every_ps=SAMPLE)
    limit = at_most(3, source=WEIGHTS)
    expect(
        "shares before, off by", 100 * worst_deviation(before.values.mean(axis=0), shares(BEFORE)), limit, "%"
    )
    expect(
        "shares after, off by", 100 * worst_deviation(after.values.mean(axis=0), shares(AFTER)), limit, "%"
    )
    expect("time off the new shares", off / 1e6, SOON, "us")


@pytest.mark.plan("ETS-03")
@pytest.mark.negative_control("weights that do not change")
def test_weights_that_stay_are_noticed(fabric, expect):
    """Without the change the shares after it are those before it."""
    scenario = Scenario(greedy("h2", "h9"), qos=settings(BEFORE), duration=2 * AT, sample_every=SAMPLE)
    series = fabric.run(scenario).series["goodput_bps"]

    after = series.between(AT + 200 * US)
    limit = at_most(3, source=WEIGHTS)
    expect(
        "shares after, off by", 100 * worst_deviation(after.values.mean(axis=0), shares(AFTER)), limit, "%"
    )


@pytest.mark.plan("ETS-03")
@pytest.mark.negative_control("weights that change half a millisecond late")
def test_a_late_change_is_noticed(fabric, expect):
    """A change that comes later than it was asked for shows in the time off the new shares."""
    change = QosChange(AT + 500 * US, "sw1", Qos(ets=Ets(AFTER)))
    scenario = Scenario(
        greedy("h2", "h9"), qos=settings(BEFORE), events=[change], duration=2 * AT, sample_every=SAMPLE
    )
    changed = fabric.run(scenario).series["goodput_bps"].between(AT)

    off = time_off_ps(changed.values, shares(AFTER), within=0.1, every_ps=SAMPLE)
    expect("time off the new shares", off / 1e6, SOON, "us")
