"""All-reduce and all-to-all in turn: each round takes the time of the first, and nothing is used up on the way."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    US,
    Buffer,
    Capability,
    Counter,
    Impair,
    LinkRate,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_most,
    equals,
    within,
)
from harness.analysis.accounts import buffer_still_taken_bytes, vanished_frames
from harness.analysis.drift import round_times_ps, spread, trend
from harness.patterns.all_to_all import AllToAll
from harness.patterns.incast import Incast
from harness.patterns.ring_all_reduce import RingAllReduce

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.DEPENDENT_TRANSFERS,
        Capability.PFC,
        Capability.HOST_COUNTERS,
        Capability.SWITCH_COUNTERS,
        Capability.BUFFER_CONFIG,
    ),
]

# A small switch: what leaks away is missed soon.
QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096), buffer=Buffer(size=2 * MB))
# 8 ranks: 8 MB take 1.17 ms around a ring, 1 MB to each other rank takes 0.58 ms.
RING_US, ROUND_US = 1300, 2000
REPEATABLE = at_most(0.05, source="BMWG reporting: a coefficient of variation below 5 % is repeatable")
STEADY = within(
    -0.05, 0.05, source="BMWG AI fabric, category 7: iterations within 105 % of the ideal, first to last"
)
QUIET = equals(0, source="SOAK-01: no error, on a fabric without loss")


def rounds(count):
    """An all-reduce and an all-to-all in turn, a new round each 2 ms."""
    return [
        pattern
        for number in range(count)
        for pattern in (
            RingAllReduce(8, 8 * MB, name=f"ring-{number}", start=ROUND_US * number * US),
            AllToAll(1 * MB, hosts=8, name=f"all-{number}", start=(ROUND_US * number + RING_US) * US),
        )
    ]


def times(result, kind, count):
    """Times of the rounds of one kind."""
    return round_times_ps(result, [f"{kind}-{number}-" for number in range(count)])


@pytest.mark.plan("SOAK-01")
@pytest.mark.catches("buffer_leak", "buffer still taken")
@pytest.mark.catches("silent_drop", "frames without a trace")
@pytest.mark.parametrize("count", [20, pytest.param(100, marks=pytest.mark.slow)], ids=["40-ms", "200-ms"])
def test_rounds_do_not_drift(fabric, expect, count):
    """Round after round takes the same time, no counter of errors moves, and all buffer is free at the end."""
    result = fabric.run(Scenario(rounds(count), qos=QOS, sample_every=0))

    counters = result.counters
    sent = count * (8 * 14 * MB + 8 * 7 * MB)
    expect("spread of all-reduce rounds", spread(times(result, "ring", count)), REPEATABLE)
    expect("trend of all-reduce rounds", trend(times(result, "ring", count)), STEADY)
    expect("spread of all-to-all rounds", spread(times(result, "all", count)), REPEATABLE)
    expect("trend of all-to-all rounds", trend(times(result, "all", count)), STEADY)
    expect(
        "bytes delivered", result.flows.total("bytes_delivered"), equals(sent, source="what was sent"), "B"
    )
    expect("buffer still taken", buffer_still_taken_bytes(result), equals(0, source="no frame is left"), "B")
    expect("frames dropped", counters[Counter.DROPS], QUIET)
    expect("frames without a trace", vanished_frames(result), QUIET)
    expect("out of sequence", counters[Counter.OUT_OF_SEQUENCE], QUIET)
    expect("packets sent again", counters[Counter.RETRANSMITTED], QUIET)
    expect("timeouts", counters[Counter.LOCAL_ACK_TIMEOUT], QUIET)
    expect("ICRC errors", counters[Counter.ICRC_ERRORS], QUIET)
    expect("queue pairs that gave up", counters[Counter.RETRY_EXHAUSTED], QUIET)


@pytest.mark.plan("SOAK-01")
@pytest.mark.negative_control("a link that gets slower and slower")
@pytest.mark.needs(Capability.LINK_RATE)
def test_a_drift_is_noticed(fabric, expect):
    """Each second round one link has 5 Gb/s less: the rounds spread, and the last is longer than the first."""
    slower = [
        LinkRate(ROUND_US * number * US, "h3:p0", (100 - 5 * number) * GBPS) for number in range(0, 10, 2)
    ]
    result = fabric.run(Scenario(rounds(10), qos=QOS, events=slower, sample_every=0))

    expect("spread of all-reduce rounds", spread(times(result, "ring", 10)), REPEATABLE)
    expect("trend of all-reduce rounds", trend(times(result, "ring", 10)), STEADY)
    expect("spread of all-to-all rounds", spread(times(result, "all", 10)), REPEATABLE)
    expect("trend of all-to-all rounds", trend(times(result, "all", 10)), STEADY)


@pytest.mark.plan("SOAK-01")
@pytest.mark.needs(Capability.PACKET_DROP)
@pytest.mark.negative_control("a packet lost on order")
def test_an_error_in_a_round_is_noticed(fabric, expect):
    """A single loss in a round shows in the counters of errors."""
    drop = Impair(0, "all-1-0-1", "drop", packets=(10,))
    result = fabric.run(Scenario(rounds(3), qos=QOS, events=[drop], sample_every=0))

    counters = result.counters
    expect("frames dropped", counters[Counter.DROPS], QUIET)
    expect("out of sequence", counters[Counter.OUT_OF_SEQUENCE], QUIET)
    expect("packets sent again", counters[Counter.RETRANSMITTED], QUIET)


@pytest.mark.plan("SOAK-01")
@pytest.mark.negative_control("a run cut off with frames in the switch")
def test_a_buffer_that_stays_taken_is_noticed(fabric, expect):
    """While frames wait in a switch their buffer is taken, and they have not come out."""
    incast = Incast(8, 4 * MB)
    result = fabric.run(Scenario(incast, qos=QOS, until="duration", duration=500 * US, sample_every=0))

    expect("buffer still taken", buffer_still_taken_bytes(result), equals(0, source="no frame is left"), "B")
    expect("frames without a trace", vanished_frames(result), QUIET)
