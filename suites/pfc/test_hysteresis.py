"""A port pauses its sender at its share of the buffer and lets it go on at a set distance below that."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    KB,
    MB,
    MS,
    US,
    Buffer,
    Capability,
    Counter,
    Nic,
    Pfc,
    Qos,
    Scenario,
    equals,
    within,
)
from harness.analysis.buffer import pause_cycle_ps, shared_bytes, xon_bytes
from harness.analysis.pfc import dynamic_queue_bytes, worst_headroom_bytes
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("mixed-speed"),
    pytest.mark.needs(
        Capability.PFC, Capability.BUFFER_CONFIG, Capability.QUEUE_WATERMARKS, Capability.QUEUE_SERIES
    ),
]

# 100 Gb/s into 25 Gb/s: one port fills and is paused, again and again. It is alone, so that its threshold is
# alpha B / (1 + alpha); XON is 400 KB below it. A cycle takes 150 us, less than the time to refresh a pause.
FRAME = 4096 + 82
HEADROOM = worst_headroom_bytes(100 * GBPS, 1_000_000, mtu_wire_bytes=FRAME + 20, mtu_buffer_bytes=FRAME)
ALPHA, OFFSET = 0.125, 400 * KB
SHARED = shared_bytes(8 * MB, 4, headroom_bytes=HEADROOM)
XOFF, XON = dynamic_queue_bytes(ALPHA, SHARED, 1), xon_bytes(ALPHA, SHARED, OFFSET)
BUFFER = Buffer(size=8 * MB, alpha=ALPHA, reserve=0, headroom=HEADROOM, xon_offset=OFFSET)
FAST, SLOW = 100 * GBPS, 25 * GBPS
# While a pause is on its way the port fills on, by the headroom at most; while a resume is it drains on, by a fourth.
SHORTEST = pause_cycle_ps(XOFF - XON, FAST, SLOW)
LONGEST = pause_cycle_ps(XOFF - XON + HEADROOM + HEADROOM // 4, FAST, SLOW)
LONG, STEADY = 4 * MS, 500 * US
TRAFFIC = Incast(("h2",), 1 * MB, "h4", messages=0)
PAUSES = within(
    (LONG - STEADY) / LONGEST,
    LONG / SHORTEST,
    source="one a cycle: the swing from XON to XOFF and what is on its way, over the rates of filling and draining",
)
HIGHEST = within(
    XOFF - FRAME,
    XOFF + HEADROOM,
    source="XOFF = alpha B / (1 + alpha) (Choudhury and Hahne 1998), then headroom",
)
SHARED_MAX = within(XOFF - FRAME, XOFF, source="shared buffer is filled up to XOFF and no further")
SHARED_MIN = within(
    XON - HEADROOM // 4,
    XON,
    source="drains to XON, then by what leaves at 25 Gb/s until the resume has effect",
)
LOSSLESS = equals(0, source="what arrives after the pause finds headroom")


@pytest.mark.plan("PFC-19")
@pytest.mark.catches("xon_hysteresis_off", "pause frames sent")
@pytest.mark.catches("pause_not_sent", "pause frames sent")
def test_a_port_pauses_at_xoff_and_resumes_at_xon(fabric, expect):
    """The port is held between XON and XOFF; each swing takes one pause and one resume; nothing is dropped."""
    qos = Qos(pfc=Pfc({3}), buffer=BUFFER, nic=Nic(mtu=4096))
    result = fabric.run(Scenario(TRAFFIC, qos=qos, duration=LONG, sample_every=1 * US))

    ingress = result.counters.at("sw1:e2").priority(3)
    shared = result.series["shared_bytes"].between(STEADY)
    expect("pause frames sent", ingress[Counter.PAUSE_TX], PAUSES)
    expect("resume frames sent", ingress[Counter.RESUME_TX], PAUSES)
    expect("ingress occupancy, highest", ingress[Counter.INGRESS_MAX], HIGHEST, "B")
    expect("shared buffer in use, highest", shared.max("sw1"), SHARED_MAX, "B")
    expect("shared buffer in use, lowest", shared.min("sw1"), SHARED_MIN, "B")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-19")
@pytest.mark.negative_control("XON at XOFF")
def test_a_port_without_hysteresis_is_noticed(fabric, expect):
    """Without a distance between XON and XOFF the port pauses and resumes with every few frames."""
    buffer = Buffer(size=8 * MB, alpha=ALPHA, reserve=0, headroom=HEADROOM, xon_offset=0)
    qos = Qos(pfc=Pfc({3}), buffer=buffer, nic=Nic(mtu=4096))
    result = fabric.run(Scenario(TRAFFIC, qos=qos, duration=LONG, sample_every=1 * US))

    ingress = result.counters.at("sw1:e2").priority(3)
    shared = result.series["shared_bytes"].between(STEADY)
    expect("pause frames sent", ingress[Counter.PAUSE_TX], PAUSES)
    expect("shared buffer in use, lowest", shared.min("sw1"), SHARED_MIN, "B")


@pytest.mark.plan("PFC-19")
@pytest.mark.negative_control("alpha one power of two too large")
def test_a_wrong_threshold_is_noticed(fabric, expect):
    """With alpha of 1/4 the port fills to nearly twice the XOFF of 1/8."""
    buffer = Buffer(size=8 * MB, alpha=2 * ALPHA, reserve=0, headroom=HEADROOM, xon_offset=OFFSET)
    qos = Qos(pfc=Pfc({3}), buffer=buffer, nic=Nic(mtu=4096))
    result = fabric.run(Scenario(TRAFFIC, qos=qos, duration=LONG, sample_every=1 * US))

    ingress = result.counters.at("sw1:e2").priority(3)
    shared = result.series["shared_bytes"].between(STEADY)
    expect("ingress occupancy, highest", ingress[Counter.INGRESS_MAX], HIGHEST, "B")
    expect("shared buffer in use, highest", shared.max("sw1"), SHARED_MAX, "B")
