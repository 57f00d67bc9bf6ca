"""One account of all frames, bytes, pauses, marks and notifications, from four witnesses that must agree."""

from __future__ import annotations

import pytest

from harness import (
    KB,
    MB,
    MS,
    US,
    Buffer,
    Capability,
    Cnp,
    Counter,
    Dcqcn,
    Ecn,
    Impair,
    Nic,
    PauseStorm,
    Pfc,
    Qos,
    Scenario,
    approx,
    at_least,
    equals,
    within,
)
from harness.analysis.pfc import pause_ps
from harness.analysis.transport import Wire
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.HOST_COUNTERS, Capability.SWITCH_COUNTERS, Capability.PFC),
]

BASE = {"nic": Nic(mtu=4096), "cnp": Cnp(interval=4 * US)}
ECN = Ecn(kmin=100 * KB, kmax=400 * KB, pmax=0.2)
CONTROLLED = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=Dcqcn("mlx5"), buffer=Buffer(size=2 * MB), **BASE)
LOSSY = Qos(buffer=Buffer(size=2 * MB), **BASE)
PAUSED = Qos(pfc=Pfc({3}), **BASE)
TRAFFIC, FRAMES = Incast(4, 4 * MB), 4 * 977
# Frames of a write of 4 MB, of an acknowledgement and of a CNP, without preamble and gap.
MESSAGE = sum(Wire(gap_bytes=0).message(4 * MB, 4096))
ACK, CNP = 66, 78
LINK = "a link without bit errors neither makes nor loses frames"
SWITCH = "what enters a switch leaves it or is counted as dropped"
HEADERS = (
    "payload, and headers by packet: write 62 and 16 B, ACK 66 B, CNP 78 B; 4 B less where no FCS is counted"
)
BOTH = "what one end counts as sent the other counts as received"
DELAY = "a pause begins and ends one link delay later at the other end: 1 us, and the time of its frame"
STORM = (
    "the storm that was asked for; its last frame holds for 65535 quanta, 335.5 us at 100 Gb/s (802.3 31B)"
)
LOST_TIME = "a flow is late by the time that its path was paused; 1 % for what was in flight"
OVERLOAD = "four hosts send to one with 2 MB of buffer and no pause"


@pytest.mark.plan("BASE-09", "REG-03")
@pytest.mark.catches("silent_drop", "frames that vanished in the switch")
@pytest.mark.catches("counter_wrong_unit", "bytes sent by hosts")
def test_every_frame_and_byte_is_accounted_for(fabric, expect):
    """Frames sent are those that enter the switch, leave it and arrive; their bytes are payload and headers."""
    result = fabric.run(Scenario(TRAFFIC, qos=CONTROLLED))

    hosts, switch = result.counters.hosts, result.counters.switches
    entered, left = switch[Counter.RX_PACKETS], switch[Counter.TX_PACKETS]
    again = hosts[Counter.RETRANSMITTED]
    vanished = entered - left - switch[Counter.DROPS]
    expect(
        "data and answers sent",
        hosts[Counter.TX_PACKETS],
        at_least(2 * FRAMES, margin=0.0),
        source="977 packets a flow and their ACKs",
    )
    expect("packets sent again", again, equals(0, source="a priority with PFC loses nothing"))
    expect("frames lost on the way in", hosts[Counter.TX_PACKETS] - entered, equals(0, source=LINK))
    expect("frames that vanished in the switch", vanished, equals(0, source=SWITCH))
    expect("frames lost on the way out", left - hosts[Counter.RX_PACKETS], equals(0, source=LINK))
    answers = ACK * hosts[Counter.ACKS_SENT] + CNP * hosts[Counter.CNP_SENT]
    most = 4 * MESSAGE + answers
    bytes_sent = within(most - 4 * hosts[Counter.TX_PACKETS], most, source=HEADERS)
    expect("bytes sent by hosts", hosts[Counter.TX_BYTES], bytes_sent, "B")
    expect(
        "bytes into the switch", switch[Counter.RX_BYTES], equals(hosts[Counter.TX_BYTES], source=LINK), "B"
    )
    expect(
        "bytes out of the switch",
        switch[Counter.TX_BYTES],
        equals(switch[Counter.RX_BYTES], source=SWITCH),
        "B",
    )
    expect(
        "bytes received by hosts", hosts[Counter.RX_BYTES], equals(switch[Counter.TX_BYTES], source=LINK), "B"
    )


@pytest.mark.plan("BASE-09", "CNP-02", "REG-03")
@pytest.mark.needs(Capability.ECN, Capability.DCQCN, Capability.CNP)
@pytest.mark.catches("counter_counts_other", "CNPs handled or ignored")
@pytest.mark.catches("cnp_not_sent", "CNPs sent")
def test_pauses_marks_and_notifications_agree(fabric, expect):
    """Pauses, marks and CNPs are counted alike by who sends them and by who gets them; each CNP is accounted for."""
    result = fabric.run(Scenario(TRAFFIC, qos=CONTROLLED))

    hosts, switch = result.counters.hosts, result.counters.switches
    pauses, handled = switch[Counter.PAUSE_TX], hosts[Counter.CNP_HANDLED] + hosts[Counter.CNP_IGNORED]
    limit = approx(switch[Counter.PAUSE_TX_DURATION] / 1e6, abs=1.1 * pauses, source=DELAY)
    expect("pauses sent by the switch", pauses, at_least(4, source="one a sender at least: 2 MB of buffer"))
    expect("pauses received", hosts[Counter.PAUSE_RX], equals(pauses, source=BOTH))
    expect("resumes received", hosts[Counter.RESUME_RX], equals(switch[Counter.RESUME_TX], source=BOTH))
    expect("time paused, at the hosts", hosts[Counter.PAUSE_RX_DURATION] / 1e6, limit, "us")
    expect(
        "marks of the switch", switch[Counter.ECN_MARKED], at_least(1, source="a queue above Kmax of 400 KB")
    )
    expect("marks received", hosts[Counter.ECN_MARKED_RX], equals(switch[Counter.ECN_MARKED], source=BOTH))
    expect("CNPs sent", hosts[Counter.CNP_SENT], at_least(1, source="the first mark of each flow is told"))
    expect("CNPs received", hosts[Counter.CNP_RECEIVED], equals(hosts[Counter.CNP_SENT], source=BOTH))
    expect(
        "CNPs handled or ignored",
        handled,
        equals(hosts[Counter.CNP_RECEIVED], source="each is one or the other"),
    )


@pytest.mark.plan("BASE-09", "REG-03")
@pytest.mark.catches("counter_stuck", "frames counted as dropped")
def test_every_loss_is_counted(fabric, expect):
    """Without PFC four hosts overrun one port: what entered and did not leave is what was counted as dropped."""
    result = fabric.run(Scenario(TRAFFIC, qos=LOSSY))

    switch = result.counters.switches
    lost = switch[Counter.RX_PACKETS] - switch[Counter.TX_PACKETS]
    expect("frames that did not leave", lost, at_least(1, source=OVERLOAD))
    expect("frames counted as dropped", switch[Counter.DROPS], equals(lost, source=SWITCH))
    expect(
        "packets sent again",
        result.counters[Counter.RETRANSMITTED],
        at_least(lost, margin=0.0),
        source="each data packet that was lost, once at least; ACKs are never in a full queue",
    )


@pytest.mark.plan("BASE-09", "REG-03")
@pytest.mark.needs(Capability.PAUSE_STORM)
@pytest.mark.catches("idle_pause_counted", "time paused, at the switch")
@pytest.mark.parametrize("storm", [1, 2])
def test_a_pause_lasts_as_long_as_is_counted(fabric, expect, storm):
    """A storm of 1 or 2 ms is counted as such at the switch, and the flow that it holds is late by as much."""
    flow = Pair(4 * MB, "h1", "h9")
    alone = fabric.run(Scenario(flow, qos=PAUSED))
    result = fabric.run(Scenario(flow, qos=PAUSED, events=[PauseStorm(0, "h9:p0", {3}, storm * MS)]))

    late = (result.fct.max_ps - alone.fct.max_ps) / 1e9
    held = result.counters.at("sw1:e9")[Counter.PAUSE_RX_DURATION] / 1e9
    limit = within(0.99 * storm, storm + 0.001 + pause_ps(10**11) / 1e9, source=STORM)
    expect("time paused, at the switch", held, limit, "ms")
    expect("lateness of the flow", late, approx(held, rel=0.01, source=LOST_TIME), "ms")


@pytest.mark.plan("BASE-09", "REG-03")
@pytest.mark.needs(Capability.PACKET_DROP)
@pytest.mark.negative_control("packets that vanish between host and switch")
def test_frames_that_vanish_are_noticed(fabric, expect):
    """Where one packet in 200 is taken off the wire, the two ends do not agree and bytes are too many."""
    harm = Impair(0, "incast-0", "drop", fraction=0.005)
    result = fabric.run(Scenario(TRAFFIC, qos=CONTROLLED, events=[harm]))

    hosts, switch = result.counters.hosts, result.counters.switches
    most = 4 * MESSAGE + ACK * hosts[Counter.ACKS_SENT] + CNP * hosts[Counter.CNP_SENT]
    bytes_sent = within(most - 4 * hosts[Counter.TX_PACKETS], most, source=HEADERS)
    lost = hosts[Counter.TX_PACKETS] - switch[Counter.RX_PACKETS]
    expect("frames lost on the way in", lost, equals(0, source=LINK))
    expect("bytes sent by hosts", hosts[Counter.TX_BYTES], bytes_sent, "B")


@pytest.mark.plan("BASE-09", "CNP-02", "REG-03")
@pytest.mark.needs(Capability.ECN, Capability.CNP)
@pytest.mark.negative_control("senders without a reaction point, and a switch that never pauses")
def test_notifications_that_nobody_handles_are_noticed(fabric, expect):
    """Without congestion control CNPs arrive and are handled by nobody; without PFC there is no pause to agree on."""
    qos = Qos(ecn=ECN, **BASE)
    result = fabric.run(Scenario(TRAFFIC, qos=qos))

    hosts, switch = result.counters.hosts, result.counters.switches
    expect("pauses sent by the switch", switch[Counter.PAUSE_TX], at_least(4, source="one a sender at least"))
    expect("CNPs handled", hosts[Counter.CNP_HANDLED], equals(hosts[Counter.CNP_RECEIVED], source=BOTH))


@pytest.mark.plan("BASE-09", "REG-03")
@pytest.mark.negative_control("PFC where losses are claimed")
def test_losses_that_are_absent_are_noticed(fabric, expect):
    """With PFC nothing is lost, and the cause of the count is missing."""
    result = fabric.run(Scenario(TRAFFIC, qos=CONTROLLED))

    switch = result.counters.switches
    lost = switch[Counter.RX_PACKETS] - switch[Counter.TX_PACKETS]
    expect("frames that did not leave", lost, at_least(1, source=OVERLOAD))


@pytest.mark.plan("BASE-09", "REG-03")
@pytest.mark.needs(Capability.PAUSE_STORM)
@pytest.mark.negative_control("a storm of half the time")
def test_a_shorter_pause_is_noticed(fabric, expect):
    """Half a millisecond of storm does not pass for one."""
    flow = Pair(4 * MB, "h1", "h9")
    result = fabric.run(Scenario(flow, qos=PAUSED, events=[PauseStorm(0, "h9:p0", {3}, 500 * US)]))

    held = result.counters.at("sw1:e9")[Counter.PAUSE_RX_DURATION] / 1e9
    limit = within(0.99, 1.001 + pause_ps(10**11) / 1e9, source=STORM)
    expect("time paused, at the switch", held, limit, "ms")
