"""A switch marks when its queue is long, and only then: seen from any fabric that can be set to mark.

The queue is bounded by what the sender has in flight, so that thresholds mean the same at 40 Mb/s and at 100 Gb/s.
"""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    KB,
    Capability,
    Counter,
    Ecn,
    KiB,
    LinkRate,
    Nic,
    Qos,
    Scenario,
    at_least,
    at_most,
    equals,
)
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.ECN, Capability.LINK_RATE, Capability.SWITCH_COUNTERS)

# 128 messages of 8 KiB are 1024 packets; eight of them in flight hold 64 KiB of queue at most.
PACKETS = 1024
LOAD = Pair(8 * KiB, messages=128, max_outstanding=8)
NIC = Nic(mtu=1024, ack_timeout=17)
EARLY = Qos(ecn=Ecn(kmin=15 * KB, kmax=30 * KB, pmax=1.0), nic=NIC)
LATE = Qos(ecn=Ecn(kmin=200 * KB, kmax=300 * KB, pmax=1.0), nic=NIC)
ABOVE = "a queue of 64 KiB less the bottleneck's own packets is above Kmax, so most packets are marked (ours: a tenth)"
BELOW = "8 messages of 8 KiB in flight are 64 KiB and their headers, below Kmin"


def bottleneck(fabric):
    """The link to the receiver at a quarter of the sender's."""
    return LinkRate(0, fabric.topology.host_ports[-1], int(fabric.line_rate_gbps * GBPS / 4))


@pytest.mark.plan("ECN-03", "ECN-04")
@pytest.mark.parametrize("verb", ["write", pytest.param("send", marks=pytest.mark.slow)])
def test_a_long_queue_is_marked(fabric, expect, verb):
    """A link slower than the sender: the queue stands above Kmax, packets are marked, none is dropped."""
    traffic = Pair(8 * KiB, verb=verb, messages=128, max_outstanding=8)
    result = fabric.run(Scenario(traffic, qos=EARLY, events=[bottleneck(fabric)]))

    switches = result.counters.switches
    expect("packets marked", switches[Counter.ECN_MARKED], at_least(PACKETS // 10, margin=0.0, source=ABOVE))
    expect(
        "packets marked, at most",
        switches[Counter.ECN_MARKED],
        at_most(PACKETS, margin=0.0, source="so many were sent"),
    )
    expect("packets dropped", switches[Counter.DROPS], equals(0, source="64 KiB fit the buffer"))
    expect(
        "messages complete",
        result.flow("pair-0").messages_completed,
        equals(128, source="so many were posted"),
    )


@pytest.mark.plan("ECN-03", "ECN-04")
def test_a_queue_below_the_threshold_is_not_marked(fabric, expect):
    """The same overload with Kmin above all that can queue: nothing is marked."""
    result = fabric.run(Scenario(LOAD, qos=LATE, events=[bottleneck(fabric)]))

    expect("packets marked", result.counters.switches[Counter.ECN_MARKED], equals(0, source=BELOW))
    expect(
        "messages complete",
        result.flow("pair-0").messages_completed,
        equals(128, source="so many were posted"),
    )


@pytest.mark.plan("ECN-03", "ECN-04")
def test_a_queue_that_never_builds_is_not_marked(fabric, expect):
    """One small message in flight at a time: no queue, no mark."""
    trickle = Pair(4 * KiB, messages=256, max_outstanding=1)
    result = fabric.run(Scenario(trickle, qos=EARLY))

    expect(
        "packets marked", result.counters.switches[Counter.ECN_MARKED], equals(0, source="4 KiB in flight")
    )
    completed = equals(256, source="so many were posted")
    expect("messages complete", result.flow("pair-0").messages_completed, completed)
    dropped = equals(0, source="without a queue there is nothing to drop")
    expect("packets dropped", result.counters.switches[Counter.DROPS], dropped)


@pytest.mark.plan("ECN-03", "ECN-04")
@pytest.mark.negative_control("thresholds above all that can queue")
def test_missing_marks_are_noticed(fabric, expect):
    """A switch that does not mark a long queue does not pass."""
    result = fabric.run(Scenario(LOAD, qos=LATE, events=[bottleneck(fabric)]))

    marks = result.counters.switches[Counter.ECN_MARKED]
    expect("packets marked", marks, at_least(PACKETS // 10, margin=0.0, source=ABOVE))


@pytest.mark.plan("ECN-03", "ECN-04")
@pytest.mark.negative_control("thresholds below the queue")
def test_needless_marks_are_noticed(fabric, expect):
    """Marks on a queue that is to stay unmarked show."""
    result = fabric.run(Scenario(LOAD, qos=EARLY, events=[bottleneck(fabric)]))

    expect("packets marked", result.counters.switches[Counter.ECN_MARKED], equals(0, source=BELOW))
