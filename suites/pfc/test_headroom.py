"""Headroom takes what still comes after a pause: in the worst case it suffices, with one frame less it does not."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    KB,
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
from harness.analysis.pfc import worst_headroom_bytes
from harness.patterns.incast import Incast
from harness.patterns.outcast import Outcast

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.PFC, Capability.BUFFER_CONFIG, Capability.DROP_REASONS, Capability.QUEUE_WATERMARKS
    ),
]

# Sends of 1024 B on links of 1 us: frames of 1086 B, 1106 B of link time. Hundreds of pauses at all alignments of the
# data and of the frames that a pause has to wait for, which the receiver sends to every sender in another priority.
FRAME = 1024 + 62
HEADROOM = worst_headroom_bytes(100 * GBPS, 1_000_000, mtu_wire_bytes=FRAME + 20, mtu_buffer_bytes=FRAME)
NIC = Nic(mtu=1024)
INCAST = Incast(8, 1 * MB, "h9", messages=0, verb="send")
BACK = Outcast(8, 1 * MB, "h9", messages=0, verb="send", priority=4)
LONG = 4 * MS
WORST = (
    "in flight both ways, one frame before the pause, the pause, one frame begun: in whole frames (802.1Qbb)"
)
PAUSED = "the port is overrun, so that the case is there"
LOSSLESS = "all that can arrive after the pause finds room"

# XON lies 20 KB below XOFF, so that no resume stands in the way of the next pause.
ENOUGH = Buffer(size=2 * MB, reserve=0, headroom=HEADROOM, xon_offset=20 * KB)
ONE_LESS = Buffer(size=2 * MB, reserve=0, headroom=HEADROOM - FRAME, xon_offset=20 * KB)
QUARTER = Buffer(size=2 * MB, reserve=0, headroom=HEADROOM // 4, xon_offset=20 * KB)


@pytest.mark.plan("PFC-06")
@pytest.mark.catches("headroom_small", "frames dropped for want of headroom")
@pytest.mark.parametrize("senders", [4, 8])
def test_headroom_of_the_worst_case_loses_nothing(fabric, expect, senders):
    """With headroom for the worst alignment of pause and data no frame is dropped, and what is used stays within it."""
    incast = Incast(senders, 1 * MB, "h9", messages=0, verb="send")
    back = Outcast(senders, 1 * MB, "h9", messages=0, verb="send", priority=4)
    qos = Qos(pfc=Pfc({3}), buffer=ENOUGH, nic=NIC)
    result = fabric.run(Scenario([incast, back], qos=qos, duration=LONG))

    ingress = result.counters.switches.priority(3)
    expect("pause frames sent", ingress[Counter.PAUSE_TX], at_least(senders, source=PAUSED))
    expect("headroom used", ingress[Counter.HEADROOM_MAX], within(1, HEADROOM, source=WORST), "B")
    expect(
        "frames dropped for want of headroom",
        result.counters[Counter.DROPS_HEADROOM],
        equals(0, source=LOSSLESS),
    )


@pytest.mark.plan("PFC-06")
@pytest.mark.negative_control("headroom of one frame less than the worst case")
def test_one_frame_less_headroom_loses_frames(fabric, expect):
    """The bound is sharp: with one frame less there is an alignment of pause and data that loses a frame."""
    qos = Qos(pfc=Pfc({3}), buffer=ONE_LESS, nic=NIC)
    result = fabric.run(Scenario([INCAST, BACK], qos=qos, duration=LONG))

    ingress = result.counters.switches.priority(3)
    expect("pause frames sent", ingress[Counter.PAUSE_TX], at_least(8, source=PAUSED))
    expect(
        "frames dropped for want of headroom",
        result.counters[Counter.DROPS_HEADROOM],
        equals(0, source=LOSSLESS),
    )


@pytest.mark.plan("PFC-06")
@pytest.mark.negative_control("headroom of a quarter of what is in flight")
def test_a_quarter_of_the_headroom_is_noticed(fabric, expect):
    """With a quarter of that headroom frames are dropped although pauses are sent and obeyed."""
    qos = Qos(pfc=Pfc({3}), buffer=QUARTER, nic=NIC)
    result = fabric.run(Scenario([INCAST, BACK], qos=qos, duration=LONG))

    ingress = result.counters.switches.priority(3)
    expect("pause frames sent", ingress[Counter.PAUSE_TX], at_least(8, source=PAUSED))
    expect("headroom used", ingress[Counter.HEADROOM_MAX], within(1, HEADROOM, source=WORST), "B")
    expect(
        "frames dropped for want of headroom",
        result.counters[Counter.DROPS_HEADROOM],
        equals(0, source=LOSSLESS),
    )
