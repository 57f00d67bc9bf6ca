"""Two senders that ask for 1 % more than a port has are marked while the queue is still short."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    KB,
    MB,
    MS,
    Capability,
    Counter,
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
from harness.analysis.moments import time_to_first_rise
from harness.analysis.queueing import fill_ps
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.ECN,
        Capability.PFC,
        Capability.HOST_COUNTERS,
        Capability.SWITCH_COUNTERS,
        Capability.LATENCY_HISTOGRAM,
        Capability.QUEUE_SERIES,
    ),
]

# The load and the threshold of the test plan DP-1.12: 51 % and 50 % of the port, marking from 80,000 B on. Senders
# that do not react leave 1 Gb/s in the queue: 4 ms are 0.5 MB.
KMIN = 80 * KB
QOS = Qos(pfc=Pfc({3}), ecn=Ecn(kmin=KMIN, kmax=KMIN, pmax=1.0), nic=Nic(mtu=1024))
LATE = Qos(pfc=Pfc({3}), ecn=Ecn(kmin=1 * MB, kmax=1 * MB, pmax=1.0), nic=Nic(mtu=1024))
FIRST = Pair(4096, "h1", "h9", rate=51 * GBPS, messages=5700, name="first")
SECOND = Pair(4096, "h2", "h9", rate=50 * GBPS, messages=5700, name="second")
SHORT = at_most(100, source="featureprofiles DP-1.12: below 100 us")
GROWN = fill_ps(KMIN, 101e9 * 1086 / 1106, 100e9 * 1086 / 1106) / MS
SOON = approx(
    GROWN,
    abs=0.03,
    source="1 Gb/s of excess fills Kmin; within a sample (10 us) and two packets that meet (20 us of excess)",
)


@pytest.mark.plan("ECN-08")
def test_an_overload_of_one_percent_is_marked(fabric, expect):
    """51 % and 50 % of a port: marked from Kmin on, latency below 100 us, and both ends count the same marks."""
    result = fabric.run(Scenario([FIRST, SECOND], qos=QOS))

    marked = result.counters.switches[Counter.ECN_MARKED]
    begun = time_to_first_rise(result.series["ecn_marked"], "sw1:e9")
    expect("packets marked", marked, at_least(1, source="featureprofiles DP-1.12: CE is seen"))
    expect("first mark", begun / MS, SOON, "ms")
    expect("slowest message of the first flow", result.flow("first-0").latency.max_ps / 1e6, SHORT, "us")
    expect("slowest message of the second flow", result.flow("second-0").latency.max_ps / 1e6, SHORT, "us")
    same = equals(
        marked, source="featureprofiles DP-1.12: counters of the switch equal those of the receiver"
    )
    expect("marks received", result.counters.hosts[Counter.ECN_MARKED_RX], same)
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source="0.5 MB fit the buffer"))


@pytest.mark.plan("ECN-08")
@pytest.mark.negative_control("a threshold above all that queues")
def test_an_unmarked_overload_is_noticed(fabric, expect):
    """With Kmin at 1 MB the half megabyte that gathers is not marked."""
    result = fabric.run(Scenario([FIRST, SECOND], qos=LATE))

    marked = result.counters.switches[Counter.ECN_MARKED]
    begun = time_to_first_rise(result.series["ecn_marked"], "sw1:e9")
    expect("packets marked", marked, at_least(1, source="featureprofiles DP-1.12: CE is seen"))
    expect("first mark", begun / MS, SOON, "ms")
