"""Marks begin when the queue has grown to Kmin and end when it has drained to it, and follow the packets that wait."""

from __future__ import annotations

import pytest

from harness import (
    KB,
    MB,
    MS,
    US,
    Capability,
    Counter,
    Ecn,
    Nic,
    PauseStorm,
    Pfc,
    Qos,
    Scenario,
    approx,
    equals,
)
from harness.analysis.moments import time_to_first_rise, time_to_last_rise
from harness.analysis.queueing import incast_completion_ps, incast_fill_ps
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.ECN, Capability.PFC, Capability.QUEUE_SERIES, Capability.SWITCH_COUNTERS),
]

# A step at KMIN, so that the first and the last mark are those of the queue that crosses it.
KMIN = 500 * KB
STEP = Qos(pfc=Pfc({3}), ecn=Ecn(kmin=KMIN, kmax=KMIN, pmax=1.0), nic=Nic(mtu=1024))
SIZE = 1 * MB
RATE = 100e9 * 1086 / 1106
"""Bytes of frames that a link carries, in bit/s: the gaps between them are not in the queue."""
WAY = 1 * US + 88_480
"""ps from a sender's first bit to the switch: the cable, and one packet of 1106 B in store and forward."""
GROWTH = "path, and the time in which N - 1 links fill Kmin; within a sample and a packet of each sender"
DRAIN = "path, and all bytes of the burst less Kmin at the rate of the port; within a sample and a packet a sender"
NOTHING = "the burst fits the buffer"


@pytest.mark.plan("ECN-07")
@pytest.mark.catches("thresholds_x10", "first mark after the overload began")
@pytest.mark.parametrize("senders", [2, 4, 8])
def test_marks_begin_and_end_with_the_overload(fabric, expect, senders):
    """N senders burst 1 MB each: the first mark comes when Kmin is filled, the last when the queue is back at it."""
    result = fabric.run(Scenario(Incast(senders, SIZE), qos=STEP, duration=1 * MS, sample_every=1 * US))

    marks = result.series["ecn_marked"]
    begin = WAY + incast_fill_ps(KMIN, senders, RATE)
    end = WAY + incast_completion_ps(senders * SIZE * 1086 / 1024 - KMIN, RATE)
    near = 1 + senders * 0.0885
    first = approx(begin / US, abs=near, source=GROWTH)
    last = approx(end / US, abs=near, source=DRAIN)
    expect("first mark after the overload began", time_to_first_rise(marks, "sw1:e9") / US, first, "us")
    expect("last mark after the overload began", time_to_last_rise(marks, "sw1:e9") / US, last, "us")
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source=NOTHING))


@pytest.mark.plan("ECN-07")
@pytest.mark.negative_control("Kmin a fifth higher")
def test_late_marks_are_noticed(fabric, expect):
    """A queue that has to grow to six fifths of Kmin is marked later, and for a shorter time."""
    high = Qos(pfc=Pfc({3}), ecn=Ecn(kmin=600 * KB, kmax=600 * KB, pmax=1.0), nic=Nic(mtu=1024))
    result = fabric.run(Scenario(Incast(4, SIZE), qos=high, duration=1 * MS, sample_every=1 * US))

    marks = result.series["ecn_marked"]
    begin = WAY + incast_fill_ps(KMIN, 4, RATE)
    end = WAY + incast_completion_ps(4 * SIZE * 1086 / 1024 - KMIN, RATE)
    first = approx(begin / US, abs=1 + 4 * 0.0885, source=GROWTH)
    last = approx(end / US, abs=1 + 4 * 0.0885, source=DRAIN)
    expect("first mark after the overload began", time_to_first_rise(marks, "sw1:e9") / US, first, "us")
    expect("last mark after the overload began", time_to_last_rise(marks, "sw1:e9") / US, last, "us")


# While h9 holds the port of the switch, 50 packets of h1 and then 50 of h2 gather in its queue: 54.3 KB each. What a
# packet of h1 leaves behind is never less than all of h2's; what one of h2 leaves behind is always less than those.
HELD = PauseStorm(0, "h9:p0", priorities={3}, duration=60 * US, quanta=500)
EARLY = Pair(50 * KB * 1024 // 1000, "h1", "h9", start=10 * US, name="early")
LATE = Pair(50 * KB * 1024 // 1000, "h2", "h9", start=30 * US, name="late")
AT = Ecn(kmin=54 * KB, kmax=54 * KB, pmax=1.0)
ALL_BEHIND = "the 50 packets of the late flow (54.3 KB, above Kmin) are behind each of them"
FEW_BEHIND = "at most 49 packets (53.2 KB, below Kmin) are behind any of them"


@pytest.mark.plan("ECN-05")
@pytest.mark.catches("marking_at_enqueue", "marks on the first packets")
@pytest.mark.needs(Capability.PAUSE_STORM)
def test_the_first_packets_of_a_burst_are_marked(fabric, expect):
    """A burst gathers in a paused queue and drains: marked at dequeue, its first half is, and its last half is not."""
    qos = Qos(pfc=Pfc({3}), ecn=AT, nic=Nic(mtu=1024))
    result = fabric.run(Scenario([EARLY, LATE], qos=qos, events=[HELD]))

    expect("marks on the first packets", result.flow("early-0").ecn_marked, equals(50, source=ALL_BEHIND))
    expect("marks on the last packets", result.flow("late-0").ecn_marked, equals(0, source=FEW_BEHIND))
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source=NOTHING))


@pytest.mark.plan("ECN-05")
@pytest.mark.needs(Capability.PAUSE_STORM)
@pytest.mark.negative_control("marking at enqueue")
def test_marking_at_enqueue_is_noticed(fabric, expect):
    """A switch that marks what arrives at a long queue marks the last half and not the first."""
    late = Ecn(kmin=54 * KB, kmax=54 * KB, pmax=1.0, mark_at="enqueue")
    qos = Qos(pfc=Pfc({3}), ecn=late, nic=Nic(mtu=1024))
    result = fabric.run(Scenario([EARLY, LATE], qos=qos, events=[HELD]))

    expect("marks on the first packets", result.flow("early-0").ecn_marked, equals(50, source=ALL_BEHIND))
    expect("marks on the last packets", result.flow("late-0").ecn_marked, equals(0, source=FEW_BEHIND))
