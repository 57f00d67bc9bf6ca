"""The switch marks with the probability that its thresholds ask for at the depth of its queue."""

from __future__ import annotations

import pytest

from harness import (
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
    equals,
    within,
)
from harness.analysis.queueing import red_probability
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.ECN, Capability.QUEUE_SERIES, Capability.SWITCH_COUNTERS),
]

# Thresholds of the SONiC ECN accuracy plan. Two senders with a window each hold the queue still: what their windows
# exceed the path by (50 KB) stands in it.
KMIN, KMAX, PMAX = 500 * KB, 2000 * KB, 0.05
QOS = Qos(pfc=Pfc({3}), ecn=Ecn(kmin=KMIN, kmax=KMAX, pmax=PMAX), nic=Nic(mtu=1024))
SETTLED = 1 * MS
# From the first sample after settling to the last one: 3.99 ms of a full link at 1106 B a packet. A message of a
# gigabyte never ends, so that all packets are full ones.
PACKETS = 3.99e-3 * 100e9 / (8 * 1106)
SPREAD = "four standard deviations of a binomial: 6 to 19 % of the value, where the SONiC plan has 10 %"
ALL = approx(1, abs=0.002, source="every packet; a packet more or less at the samples")
KEPT = equals(0, source="PFC holds senders back before the buffer is full")
UNMARKED = equals(0, source="RED: probability 0 up to Kmin")
ABOVE = at_least(KMAX, source="what is claimed begins at Kmax")


@pytest.mark.plan("ECN-01", "ECN-02", "ECN-04")
@pytest.mark.parametrize("window_kb", [400, 500, 600, 700, 800, 900])
def test_the_ramp_marks_in_proportion_to_the_queue(fabric, expect, window_kb):
    """Between Kmin and Kmax the part marked is Pmax (q - Kmin) / (Kmax - Kmin) at the depth q measured."""
    traffic = Incast(2, 1000 * MB, window=window_kb * KB)
    result = fabric.run(Scenario(traffic, qos=QOS, duration=SETTLED + 4 * MS))

    queue = result.series["queue_bytes"].between(SETTLED)
    marked = result.series["ecn_marked"].between(SETTLED)
    part = (marked.max("sw1:e9") - marked.min("sw1:e9")) / PACKETS
    expected = red_probability(queue.mean("sw1:e9/3"), kmin_bytes=KMIN, kmax_bytes=KMAX, pmax=PMAX)
    spread = 4 * (expected * (1 - expected) / PACKETS) ** 0.5
    expect("lowest queue", queue.min("sw1:e9/3"), at_least(KMIN), "B", source="the ramp begins at Kmin")
    expect("part of packets marked", part, approx(expected, abs=spread, source=SPREAD))
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)


@pytest.mark.plan("ECN-01", "ECN-03", "ECN-04")
@pytest.mark.catches("thresholds_div10", "packets marked")
@pytest.mark.parametrize("window_kb", [100, 180])
def test_nothing_is_marked_below_kmin(fabric, expect, window_kb):
    """A standing queue of up to two thirds of Kmin marks nothing."""
    result = fabric.run(Scenario(Incast(2, 1000 * MB, window=window_kb * KB), qos=QOS, duration=5 * MS))

    depth = within(50 * KB, KMIN * 2 / 3, source="two thirds of the limit, as in the Linux RED test")
    expect("mean queue", result.series["queue_bytes"].between(SETTLED).mean("sw1:e9/3"), depth, "B")
    expect("packets marked", result.counters[Counter.ECN_MARKED], UNMARKED)


@pytest.mark.plan("ECN-03", "ECN-04")
@pytest.mark.catches("marking_off", "part of packets marked")
@pytest.mark.parametrize("window_kb", [1150, 1500])
def test_everything_is_marked_above_kmax(fabric, expect, window_kb):
    """A standing queue above Kmax marks every packet."""
    result = fabric.run(
        Scenario(Incast(2, 1000 * MB, window=window_kb * KB), qos=QOS, duration=SETTLED + 4 * MS)
    )

    marked = result.series["ecn_marked"].between(SETTLED)
    part = (marked.max("sw1:e9") - marked.min("sw1:e9")) / PACKETS
    expect("lowest queue", result.series["queue_bytes"].between(SETTLED).min("sw1:e9/3"), ABOVE, "B")
    expect("part of packets marked", part, ALL)


@pytest.mark.plan("ECN-01", "ECN-02", "ECN-04")
@pytest.mark.negative_control("Pmax at half its value")
def test_a_wrong_pmax_is_noticed(fabric, expect):
    """A ramp of half the slope marks half as much."""
    wrong = Qos(pfc=Pfc({3}), ecn=Ecn(kmin=KMIN, kmax=KMAX, pmax=PMAX / 2), nic=Nic(mtu=1024))
    result = fabric.run(Scenario(Incast(2, 1000 * MB, window=700 * KB), qos=wrong, duration=SETTLED + 4 * MS))

    queue = result.series["queue_bytes"].between(SETTLED)
    marked = result.series["ecn_marked"].between(SETTLED)
    part = (marked.max("sw1:e9") - marked.min("sw1:e9")) / PACKETS
    expected = red_probability(queue.mean("sw1:e9/3"), kmin_bytes=KMIN, kmax_bytes=KMAX, pmax=PMAX)
    spread = 4 * (expected * (1 - expected) / PACKETS) ** 0.5
    expect("part of packets marked", part, approx(expected, abs=spread, source=SPREAD))


@pytest.mark.plan("ECN-03", "ECN-04")
@pytest.mark.negative_control("marking switched off")
def test_absent_marking_is_noticed(fabric, expect):
    """Without marking the same queue marks nothing."""
    plain = Qos(pfc=Pfc({3}), nic=Nic(mtu=1024))
    result = fabric.run(
        Scenario(Incast(2, 1000 * MB, window=1150 * KB), qos=plain, duration=SETTLED + 4 * MS)
    )

    marked = result.series["ecn_marked"].between(SETTLED)
    part = (marked.max("sw1:e9") - marked.min("sw1:e9")) / PACKETS
    expect("lowest queue", result.series["queue_bytes"].between(SETTLED).min("sw1:e9/3"), ABOVE, "B")
    expect("part of packets marked", part, ALL)


@pytest.mark.plan("ECN-01", "ECN-03")
@pytest.mark.negative_control("Kmin at a tenth of its value")
def test_a_low_kmin_is_noticed(fabric, expect):
    """With Kmin a tenth of what it should be the queue that must not mark does."""
    low = Qos(pfc=Pfc({3}), ecn=Ecn(kmin=KMIN // 10, kmax=KMAX, pmax=PMAX), nic=Nic(mtu=1024))
    result = fabric.run(Scenario(Incast(2, 1000 * MB, window=180 * KB), qos=low, duration=5 * MS))

    depth = within(50 * KB, KMIN * 2 / 3, source="two thirds of the limit, as in the Linux RED test")
    expect("mean queue", result.series["queue_bytes"].between(SETTLED).mean("sw1:e9/3"), depth, "B")
    expect("packets marked", result.counters[Counter.ECN_MARKED], UNMARKED)
