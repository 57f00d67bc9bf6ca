"""In an incast that PFC alone holds back, each of N senders stands still for 1 - 1/N of the time."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    MS,
    Buffer,
    Capability,
    Counter,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    equals,
    within,
)
from harness.analysis.pfc import pause_fraction_range, pause_ps
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("incast-64"),
    pytest.mark.needs(Capability.PFC, Capability.BUFFER_CONFIG, Capability.PER_PRIORITY_COUNTERS),
]

# A buffer that fills in a sixteenth of the run, so that nearly all of it is steady state.
SIZE, LONG = 4 * MB, 5 * MS
QOS = Qos(pfc=Pfc({3}), buffer=Buffer(size=SIZE), nic=Nic(mtu=4096))
FRAME = (4096 + 82) * 8 / 100 * 1000
"""Time of one frame in ps."""
RUNNING = (
    "a sender runs at line rate or not at all: 1/N of what the port carries and of one buffer; the frame that"
    " has begun when a pause comes ends within it; 5 % for unequal shares as in the SONiC PFC suite"
)
LONGEST = "a pause lasts 65535 quanta at most; more than that takes more frames"
RECEIVING = "a receiver takes in line rate and has no reason to pause"
LOSSLESS = "the senders are stopped before the headroom is used up"


@pytest.mark.plan("PFC-17")
@pytest.mark.catches("pause_never_released", "paused part, sender 1")
@pytest.mark.catches("nic_pause_storm", "pause frames from the receiver")
@pytest.mark.parametrize("senders", [2, 4, 8, 16, 32, 64])
def test_every_sender_is_paused_for_its_excess(fabric, expect, senders):
    """Senders 1 and N are paused for 1 - 1/N of the run, by enough frames to keep them so; nothing is dropped."""
    result = fabric.run(Scenario(Incast(senders, 1 * MB, messages=0), qos=QOS, duration=LONG))

    sender = result.counters.at("h1").priority(3)
    last = result.counters.at(f"h{senders}").priority(3)
    low, high = pause_fraction_range(senders, 100 * GBPS, LONG, buffer_bytes=SIZE, unfair=0.05)
    begun, begun_last = (each[Counter.PAUSE_TRANSITIONS] * FRAME / LONG for each in (sender, last))
    frames = sender[Counter.PAUSE_RX_DURATION] / pause_ps(100 * GBPS)
    expect(
        "paused part, sender 1",
        sender[Counter.PAUSE_RX_DURATION] / LONG,
        within(low, high + begun, source=RUNNING),
    )
    expect(
        "paused part, sender N",
        last[Counter.PAUSE_RX_DURATION] / LONG,
        within(low, high + begun_last, source=RUNNING),
    )
    expect("pause frames to sender 1", sender[Counter.PAUSE_RX], at_least(frames, source=LONGEST))
    expect(
        "pause frames from the receiver",
        result.counters.at("sw1:e65")[Counter.PAUSE_RX],
        equals(0, source=RECEIVING),
    )
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source=LOSSLESS))


@pytest.mark.plan("PFC-17")
@pytest.mark.negative_control("PFC switched off")
def test_nobody_is_paused_without_pfc(fabric, expect):
    """Without PFC senders never stand still."""
    qos = Qos(buffer=Buffer(size=SIZE), nic=Nic(mtu=4096))
    result = fabric.run(Scenario(Incast(4, 1 * MB, messages=0), qos=qos, duration=LONG))

    sender = result.counters.at("h1").priority(3)
    low, high = pause_fraction_range(4, 100 * GBPS, LONG, buffer_bytes=SIZE, unfair=0.05)
    expect(
        "paused part, sender 1",
        sender[Counter.PAUSE_RX_DURATION] / LONG,
        within(low, high + sender[Counter.PAUSE_TRANSITIONS] * FRAME / LONG, source=RUNNING),
    )
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source=LOSSLESS))


@pytest.mark.plan("PFC-17")
@pytest.mark.negative_control("half as many senders as claimed")
@pytest.mark.parametrize("claimed", [4, 64])
def test_a_wrong_number_of_senders_is_noticed(fabric, expect, claimed):
    """Half as many senders are paused for less of the time: the bound tells 2 from 4 and 32 from 64."""
    result = fabric.run(Scenario(Incast(claimed // 2, 1 * MB, messages=0), qos=QOS, duration=LONG))

    sender = result.counters.at("h1").priority(3)
    low, high = pause_fraction_range(claimed, 100 * GBPS, LONG, buffer_bytes=SIZE, unfair=0.05)
    expect(
        "paused part, sender 1",
        sender[Counter.PAUSE_RX_DURATION] / LONG,
        within(low, high + sender[Counter.PAUSE_TRANSITIONS] * FRAME / LONG, source=RUNNING),
    )


@pytest.mark.plan("PFC-17")
@pytest.mark.negative_control("a receiver that takes in less than its link carries")
@pytest.mark.needs(Capability.SLOW_RECEIVER)
def test_a_receiver_that_pauses_is_noticed(fabric, expect):
    """A receiver that drains 40 Gb/s pauses its switch, and its senders wait longer than the incast explains."""
    slow = Nic(mtu=4096, rx_buffer=1 * MB, rx_drain=40 * GBPS, rx_xoff=500_000, rx_xon=400_000)
    qos = Qos(pfc=Pfc({3}), buffer=Buffer(size=SIZE), nic=slow)
    result = fabric.run(Scenario(Incast(2, 1 * MB, messages=0), qos=qos, duration=LONG))

    sender = result.counters.at("h1").priority(3)
    low, high = pause_fraction_range(2, 100 * GBPS, LONG, buffer_bytes=SIZE, unfair=0.05)
    expect(
        "paused part, sender 1",
        sender[Counter.PAUSE_RX_DURATION] / LONG,
        within(low, high + sender[Counter.PAUSE_TRANSITIONS] * FRAME / LONG, source=RUNNING),
    )
    expect(
        "pause frames from the receiver",
        result.counters.at("sw1:e65")[Counter.PAUSE_RX],
        equals(0, source=RECEIVING),
    )
