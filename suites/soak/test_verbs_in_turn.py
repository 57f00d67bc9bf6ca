"""Traffic of all kinds for a while: nothing is lost, nobody waits in vain, no counter of errors moves."""

from __future__ import annotations

import pytest

from harness import KB, MS, Capability, Counter, Impair, Nic, Qos, Scenario, equals
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.HOST_COUNTERS)

QOS = Qos(nic=Nic(mtu=4096, ack_timeout=17, retry_count=6))
QUIET = "a fabric without loss, with receives enough and timers long enough"


def alternating(rounds):
    """A write, a read, a send and a write back in turn, each 10 KB, each round 80 ms."""
    turn = {"messages": rounds, "interval": 80 * MS}
    return [
        Pair(10 * KB, verb="write", name="write", **turn),
        Pair(10 * KB, verb="read", name="read", start=20 * MS, **turn),
        Pair(10 * KB, verb="send", name="send", start=40 * MS, **turn),
        Pair(10 * KB, verb="write", name="both", both_ways=True, start=60 * MS, **turn),
    ]


@pytest.mark.plan("SOAK-02")
@pytest.mark.parametrize(
    "rounds",
    [
        50,
        pytest.param(750, marks=pytest.mark.slow),
        pytest.param(3750, marks=pytest.mark.slow),
    ],
    ids=["four-seconds", "a-minute", "five-minutes"],
)
def test_verbs_in_turn_cause_no_error(fabric, expect, rounds):
    """Writes, reads and sends in turn: all complete, and all counters of errors stay at 0."""
    scenario = Scenario(alternating(rounds), qos=QOS, duration="900s", until="done", sample_every=100 * MS)
    result = fabric.run(scenario)

    count = result.counters
    expect(
        "messages complete",
        result.flows.total("messages_completed"),
        equals(5 * rounds, source="what was posted"),
    )
    expect(
        "bytes delivered",
        result.flows.total("bytes_delivered"),
        equals(5 * rounds * 10 * KB, source="what was sent, each byte once"),
        "B",
    )
    expect("out of sequence", count[Counter.OUT_OF_SEQUENCE], equals(0, source=QUIET))
    expect("duplicates", count[Counter.DUPLICATE_REQUEST], equals(0, source=QUIET))
    expect("receivers not ready", count[Counter.RNR_NAK_SENT], equals(0, source=QUIET))
    expect("queue pairs that gave up", count[Counter.RETRY_EXHAUSTED], equals(0, source=QUIET))


@pytest.mark.plan("SOAK-02")
@pytest.mark.needs(Capability.PACKET_DROP)
@pytest.mark.negative_control("a packet lost on the way")
def test_one_lost_packet_is_noticed(fabric, expect):
    """A single loss shows in the counters of errors."""
    drop = Impair(0, "write-0", "drop", packets=(10,))
    result = fabric.run(Scenario(alternating(10), qos=QOS, events=[drop], sample_every=100 * MS))

    count = result.counters
    expect("out of sequence", count[Counter.OUT_OF_SEQUENCE], equals(0, source=QUIET))
