"""When those that took the bandwidth leave, a sender comes back at the pace of fast recovery and additive increase."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    KB,
    MB,
    MS,
    US,
    Capability,
    Counter,
    Dcqcn,
    Ecn,
    Nic,
    Pfc,
    Qos,
    QosChange,
    Scenario,
    approx,
    at_least,
    at_most,
    equals,
)
from harness.analysis.convergence import last_cut, time_until_above
from harness.analysis.dcqcn import ReactionPoint, recovery_s
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9-40g"),
    pytest.mark.needs(
        Capability.ECN, Capability.DCQCN, Capability.PFC, Capability.RATE_SERIES, Capability.QOS_CHANGE
    ),
]

ECN = Ecn(kmin=5 * KB, kmax=200 * KB, pmax=0.01)
QOS = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=Dcqcn("paper"), nic=Nic(mtu=1024))
SENDER = Pair(1000 * MB, "h1", "h9", name="sender")
# Two hosts without reaction point, so that they leave when the scenario says, whatever marks they cause.
DEAF = [QosChange(0, host, nic={"cc": {"algorithm": "none"}}) for host in ("h2", "h3")]
LINE = 40e9
POINT = ReactionPoint(byte_counter_bytes=10e6 * 1106 / 1086)
"""The machine of the paper; the byte counter counts frames of 1086 B, the rate has the gaps as well."""
HELD = at_most(0.5, source="the others leave 10 or 20 of 40 Gb/s")
PACE = "SIGCOMM 2015, 3.1: halves of the gap, then 40 Mb/s each 55 us and each 10 MB; within one timer period"


@pytest.mark.plan("CC-15")
@pytest.mark.catches("rate_recovers_fast", "time from the last cut to 95 % of the line")
@pytest.mark.parametrize(("rate", "size"), [(10, 30), (15, 45)])
def test_a_sender_comes_back_when_others_leave(fabric, expect, rate, size):
    """Two hosts take 20 or 30 of 40 Gb/s and leave after 24 ms: 95 % of the line are back when arithmetic says."""
    others = Incast(("h2", "h3"), size * MB, "h9", rate=rate * GBPS, name="other")
    scenario = Scenario([SENDER, others], qos=QOS, events=DEAF, duration=70 * MS, sample_every=2 * US)
    result = fabric.run(scenario)

    rates = result.series["cc_rate_bps"]
    times, column = rates.time_ps, rates.column("sender-0")
    cut = last_cut(times, column)
    back = time_until_above(times, column, 0.95 * LINE, cut.time_ps)
    expected = recovery_s(POINT, cut.after, cut.before, 0.95 * LINE) * 1000
    expect("rate after the last cut, part of the line", cut.after / LINE, HELD)
    pace = approx(expected, abs=0.055, source=PACE)
    expect("time from the last cut to 95 % of the line", back / MS, pace, "ms")
    used = result.series["goodput_bps"].between(65 * MS).mean("sender-0") / (LINE * 1024 / 1106)
    expect("part of the line used at last", used, at_least(0.95, source="the rate that the time above is to"))
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source="PFC holds what marks do not"))


@pytest.mark.plan("CC-15")
@pytest.mark.negative_control("a rate timer of half the length")
def test_a_wrong_pace_is_noticed(fabric, expect):
    """A sender that adds twice as often is back too soon."""
    fast = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=Dcqcn("paper", rate_timer_ps=27_500_000), nic=Nic(mtu=1024))
    others = Incast(("h2", "h3"), 45 * MB, "h9", rate=15 * GBPS, name="other")
    scenario = Scenario([SENDER, others], qos=fast, events=DEAF, duration=70 * MS, sample_every=2 * US)
    result = fabric.run(scenario)

    rates = result.series["cc_rate_bps"]
    times, column = rates.time_ps, rates.column("sender-0")
    cut = last_cut(times, column)
    back = time_until_above(times, column, 0.95 * LINE, cut.time_ps)
    pace = approx(recovery_s(POINT, cut.after, cut.before, 0.95 * LINE) * 1000, abs=0.055, source=PACE)
    expect("time from the last cut to 95 % of the line", back / MS, pace, "ms")
