"""Counters of errors stand at 0 after healthy traffic, and those of what happened have moved."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    KB,
    MB,
    US,
    Buffer,
    Capability,
    Cnp,
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
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair
from harness.patterns.permutation import Permutation

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.HOST_COUNTERS, Capability.SWITCH_COUNTERS, Capability.DROP_REASONS, Capability.PFC,
        Capability.ECN, Capability.DCQCN, Capability.CNP, Capability.QUEUE_WATERMARKS,
    ),
]  # fmt: skip

CONTROLLED = Qos(
    pfc=Pfc({3}),
    ecn=Ecn(kmin=100 * KB, kmax=400 * KB, pmax=0.2),
    dcqcn=Dcqcn("mlx5"),
    cnp=Cnp(interval=4 * US),
    buffer=Buffer(size=2 * MB),
    nic=Nic(mtu=4096),
)
# Writes, sends and reads of every host at 25 Gb/s each; reads are answered at line rate, one at a time.
HEALTHY = [
    Permutation(2 * MB, shift=1, rate=25 * GBPS, name="writes"),
    Permutation(2 * MB, shift=2, verb="send", rate=25 * GBPS, name="sends"),
    Permutation(4 * KB, shift=4, verb="read", messages=50, interval=10 * US, name="reads"),
]
CLEAN = equals(0, source="cvs verify_lib: no error, drop, discard, NAK or retry; 50 % of load, good cables")
SENT = "2 x 2 MB of 4096 B and 50 reads from each of 9 hosts"
HAPPENED = "an incast of four hosts with marks, CNPs and pauses"


@pytest.mark.plan("REG-03")
@pytest.mark.catches("bit_errors", "frames with bit errors")
@pytest.mark.catches("silent_drop", "packets out of sequence")
def test_healthy_traffic_leaves_no_error(fabric, expect):
    """Writes, sends and reads between all hosts at half load: no counter of losses, NAKs, timeouts or retries moves."""
    count = fabric.run(Scenario(HEALTHY, qos=CONTROLLED)).counters

    expect(
        "frames sent by hosts",
        count.hosts[Counter.TX_PACKETS],
        at_least(9 * (2 * 489 + 50), margin=0.0),
        source=SENT,
    )
    expect("frames with bit errors", count[Counter.DROPS_BIT_ERROR], CLEAN)
    expect("frames dropped", count[Counter.DROPS], CLEAN)
    expect("packets discarded by NICs", count[Counter.RX_DISCARDS], CLEAN)
    expect("wrong checksums", count[Counter.ICRC_ERRORS], CLEAN)
    expect("packets out of sequence", count[Counter.OUT_OF_SEQUENCE], CLEAN)
    expect("sequence-error NAKs", count[Counter.PACKET_SEQ_ERR], CLEAN)
    expect("implied NAKs", count[Counter.IMPLIED_NAK], CLEAN)
    expect("receivers not ready", count[Counter.RNR_NAK_SENT], CLEAN)
    expect("timeouts", count[Counter.LOCAL_ACK_TIMEOUT], CLEAN)
    expect("duplicate requests", count[Counter.DUPLICATE_REQUEST], CLEAN)
    expect("packets sent again", count[Counter.RETRANSMITTED], CLEAN)
    expect("queue pairs that gave up", count[Counter.RETRY_EXHAUSTED], CLEAN)
    expect("queue pairs that gave up on receivers", count[Counter.RNR_RETRY_EXHAUSTED], CLEAN)


@pytest.mark.plan("REG-03")
@pytest.mark.catches("marking_off", "packets marked")
def test_counters_of_what_happened_have_moved(fabric, expect):
    """After an incast that was marked, told and paused, each counter of that is above 0: none stands still."""
    count = fabric.run(Scenario(Incast(4, 4 * MB), qos=CONTROLLED)).counters

    moved = at_least(1, source=HAPPENED)
    expect("frames into switches", count.switches[Counter.RX_PACKETS], moved)
    expect("frames received by hosts", count.hosts[Counter.RX_PACKETS], moved)
    expect("bytes out of switches", count.switches[Counter.TX_BYTES], moved, "B")
    expect("bytes received by hosts", count.hosts[Counter.RX_BYTES], moved, "B")
    expect("acknowledgements sent", count[Counter.ACKS_SENT], moved)
    expect("acknowledgements received", count[Counter.ACKS_RECEIVED], moved)
    expect("packets marked", count[Counter.ECN_MARKED], moved)
    expect("marked packets received", count[Counter.ECN_MARKED_RX], moved)
    expect("CNPs sent", count[Counter.CNP_SENT], moved)
    expect("CNPs received", count[Counter.CNP_RECEIVED], moved)
    expect("CNPs handled", count[Counter.CNP_HANDLED], moved)
    expect("pauses sent", count[Counter.PAUSE_TX], moved)
    expect("pauses received", count[Counter.PAUSE_RX], moved)
    expect("resumes sent", count[Counter.RESUME_TX], moved)
    expect("resumes received", count[Counter.RESUME_RX], moved)
    expect("times a host was paused", count.hosts[Counter.PAUSE_TRANSITIONS], moved)
    expect("time that hosts were paused", count.hosts[Counter.PAUSE_RX_DURATION], moved, "ps")
    expect("time that switches paused hosts", count.switches[Counter.PAUSE_TX_DURATION], moved, "ps")
    expect("longest queue", count.switches[Counter.QUEUE_MAX], moved, "B")
    expect("fullest ingress group", count.switches[Counter.INGRESS_MAX], moved, "B")


@pytest.mark.plan("REG-03")
@pytest.mark.needs(Capability.PACKET_DROP)
@pytest.mark.negative_control("two packets of each kind dropped")
@pytest.mark.parametrize("kind", ["writes", "sends", "reads"])
def test_an_unhealthy_flow_is_noticed(fabric, expect, kind):
    """Losses of writes, sends or reads show in the counters of errors."""
    harm = Impair(0, f"{kind}-0", "drop", packets=(5, 30))
    count = fabric.run(Scenario(HEALTHY, qos=CONTROLLED, events=[harm])).counters

    expect("frames dropped", count[Counter.DROPS], CLEAN)
    expect("sequence-error NAKs", count[Counter.PACKET_SEQ_ERR], CLEAN)
    expect("packets sent again", count[Counter.RETRANSMITTED], CLEAN)


@pytest.mark.plan("REG-03")
@pytest.mark.negative_control("traffic without congestion")
def test_counters_that_stand_still_are_noticed(fabric, expect):
    """Where nothing was marked or paused the same expectations are not met."""
    count = fabric.run(Scenario(Pair(4 * MB), qos=CONTROLLED)).counters

    moved = at_least(1, source=HAPPENED)
    expect("packets marked", count[Counter.ECN_MARKED], moved)
    expect("CNPs handled", count[Counter.CNP_HANDLED], moved)
    expect("pauses sent", count[Counter.PAUSE_TX], moved)
