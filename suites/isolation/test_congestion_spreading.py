"""A burst to one receiver costs a flow that shares a link with it no more than DCQCN's own recovery from the cuts."""

from __future__ import annotations

import pytest

from harness import (
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
    Scenario,
    approx,
    at_least,
    at_most,
    equals,
)
from harness.analysis.convergence import last_cut, time_until_above
from harness.analysis.dcqcn import ReactionPoint, recovery_s
from harness.analysis.transport import Wire
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("leaf-spine-16"),
    pytest.mark.needs(Capability.PFC, Capability.ECN, Capability.DCQCN, Capability.RATE_SERIES),
]

# All eleven hosts of the first three racks but one send 1 ms worth of h16's link at once; the flow of the other one
# shares a link from spine to leaf with some of them, whichever path the hash gives it.
START = 2 * MS
SENDERS = ("h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "h9", "h10", "h11")
BURST = Incast(SENDERS, 12_500 * KB // 11, "h16", start=START, name="burst")
VICTIM = Pair(2000 * MB, "h12", "h15", name="victim")
QOS = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=Dcqcn("paper"), nic=Nic(mtu=1024))
LINE = 100e9
POINT = ReactionPoint(line_rate_bps=LINE, byte_counter_bytes=10e6 * 1106 / 1086)
"""The machine of the paper at 100 Gb/s; the byte counter counts frames of 1086 B, the rate has the gaps as well."""
CUT = at_least(1, source="the burst fills the queue of the shared link above Kmin")
SHORT = at_most(16, source="DCQCN-validation: a burst of 1 ms leaves a victim under-used for 16 ms")
PACE = "SIGCOMM 2015, 3.1: halves of the gap, then 40 Mb/s each 55 us and each 10 MB; within one timer period"
KEPT = equals(0, source="PFC holds senders back before the buffer is full")


@pytest.mark.plan("ISO-01")
def test_a_short_burst_is_a_short_disturbance(fabric, expect):
    """After a burst of 1 ms to another receiver a flow is back at 95 % within 16 ms, at the pace of its machine."""
    result = fabric.run(Scenario([VICTIM, BURST], qos=QOS, duration=30 * MS, sample_every=10 * US))

    rates = result.series["cc_rate_bps"]
    times, column = rates.time_ps, rates.column("victim-0")
    cut = last_cut(times, column)
    back = time_until_above(times, column, 0.95 * LINE, START)
    pace = recovery_s(POINT, cut.after, cut.before, 0.95 * LINE) * 1000
    used = result.series["goodput_bps"].between(25 * MS).mean("victim-0") / (LINE * Wire().efficiency(1024))
    expect("cuts of the victim", result.flow("victim-0").rate_cuts, CUT)
    expect("time from the burst to 95 % of the line", back / MS, SHORT, "ms")
    since = time_until_above(times, column, 0.95 * LINE, cut.time_ps) / MS
    expect("time from the last cut to 95 % of the line", since, approx(pace, abs=0.055, source=PACE), "ms")
    expect(
        "part of the line used at last", used, at_least(0.95, source="the rate that the times above are to")
    )
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)


@pytest.mark.plan("ISO-01")
@pytest.mark.negative_control("a rate timer a hundred times as long")
def test_a_lasting_disturbance_is_noticed(fabric, expect):
    """A sender that waits 5.5 ms for each step needs four of them even after one cut: it is not back in time."""
    slow = Dcqcn("paper", rate_timer_ps=5500 * US, byte_counter_bytes=0)
    qos = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=slow, nic=Nic(mtu=1024))
    result = fabric.run(Scenario([VICTIM, BURST], qos=qos, duration=30 * MS, sample_every=10 * US))

    rates = result.series["cc_rate_bps"]
    times, column = rates.time_ps, rates.column("victim-0")
    expect("cuts of the victim", result.flow("victim-0").rate_cuts, CUT)
    back = time_until_above(times, column, 0.95 * LINE, START)
    expect("time from the burst to 95 % of the line", back / MS, SHORT, "ms")
