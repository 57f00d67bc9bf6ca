"""Incasts, exchanges, reads, sends and datagrams at once: congestion is controlled, and no counter of errors moves."""

from __future__ import annotations

import pytest

from harness import (
    KB,
    MB,
    US,
    Capability,
    Counter,
    Dcqcn,
    Ecn,
    Impair,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    equals,
)
from harness.analysis.accounts import buffer_still_taken_bytes, vanished_frames
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair
from harness.patterns.permutation import Permutation

pytestmark = [
    pytest.mark.topology("leaf-spine-16"),
    pytest.mark.needs(
        Capability.PFC, Capability.ECN, Capability.DCQCN, Capability.HOST_COUNTERS, Capability.SWITCH_COUNTERS,
        Capability.DROP_REASONS, Capability.UNRELIABLE_TRANSPORTS,
    ),
]  # fmt: skip

QOS = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=Dcqcn("paper"), nic=Nic(mtu=4096))
QUIET = equals(0, source="SOAK-02: no error; the lossless priority pauses, the others are far from any limit")
SENT = {"incast": 3 * 5 * 2 * MB, "exchange": 16 * 20 * 100 * KB, "rest": 100 * 64 * KB + 200 * 32 * KB}


def everything():
    """10 ms: three to one, every host to the next rack, reads, and sends and datagrams on lossy priorities."""
    return [
        Incast(("h5", "h9", "h13"), 2 * MB, "h1", messages=5, interval=2000 * US),
        Permutation(100 * KB, shift=4, messages=20, interval=500 * US, name="exchange"),
        Pair(64 * KB, "h2", "h16", verb="read", messages=100, interval=100 * US, name="read"),
        Pair(32 * KB, "h3", "h12", verb="send", priority=0, messages=200, interval=50 * US, name="send"),
        Pair(
            4 * KB,
            "h4",
            "h8",
            verb="send",
            transport="ud",
            priority=1,
            messages=1000,
            interval=10 * US,
            name="ud",
        ),
    ]


@pytest.mark.plan("SOAK-02")
@pytest.mark.catches("bit_errors", "frames damaged on the way")
def test_mixed_traffic_causes_no_error(fabric, expect):
    """All kinds of traffic at once: congestion is marked, all data arrives, all counters of errors stay at 0."""
    result = fabric.run(Scenario(everything(), qos=QOS, may_fail=["*"]))

    count = result.counters
    sent = equals(sum(SENT.values()) + 1000 * 4 * KB, source="what was posted, each byte once")
    expect("bytes delivered", result.flows.total("bytes_delivered"), sent, "B")
    expect("packets marked", count[Counter.ECN_MARKED], at_least(1, margin=0.0, source="three to one"))
    expect(
        "notifications handled", count[Counter.CNP_HANDLED], at_least(1, margin=0.0, source="three to one")
    )
    expect("frames damaged on the way", count[Counter.DROPS_BIT_ERROR], QUIET)
    expect("frames dropped", count[Counter.DROPS], QUIET)
    expect("frames without a trace", vanished_frames(result), QUIET)
    expect("buffer still taken", buffer_still_taken_bytes(result), equals(0, source="no frame is left"), "B")
    expect("out of sequence", count[Counter.OUT_OF_SEQUENCE], QUIET)
    expect("packets sent again", count[Counter.RETRANSMITTED], QUIET)
    expect("timeouts", count[Counter.LOCAL_ACK_TIMEOUT], QUIET)
    expect("queue pairs that gave up", count[Counter.RETRY_EXHAUSTED], QUIET)


@pytest.mark.plan("SOAK-02")
@pytest.mark.needs(Capability.PACKET_CORRUPT)
@pytest.mark.negative_control("a datagram lost and a packet broken on the way")
def test_single_errors_in_mixed_traffic_are_noticed(fabric, expect):
    """A single lost datagram and a single broken packet show."""
    events = [Impair(0, "ud-0", "drop", packets=(500,)), Impair(0, "read-0", "corrupt", packets=(100,))]
    result = fabric.run(Scenario(everything(), qos=QOS, events=events, may_fail=["*"]))

    count = result.counters
    sent = equals(sum(SENT.values()) + 1000 * 4 * KB, source="what was posted, each byte once")
    expect("bytes delivered", result.flows.total("bytes_delivered"), sent, "B")
    expect("frames dropped", count[Counter.DROPS], QUIET)
    expect("packets sent again", count[Counter.RETRANSMITTED], QUIET)
