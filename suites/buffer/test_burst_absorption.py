"""A burst that fits the buffer passes unseen, a slightly larger one is paused, or loses frames where PFC is off."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    Buffer,
    Capability,
    Counter,
    Nic,
    Pfc,
    Qos,
    Scenario,
    approx,
    at_least,
    equals,
)
from harness.analysis.buffer import absorbed_burst_bytes, absorbed_egress_burst_bytes, shared_bytes
from harness.analysis.pfc import worst_headroom_bytes
from harness.analysis.queueing import incast_peak_bytes
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("incast-64"),
    pytest.mark.needs(
        Capability.PFC, Capability.BUFFER_CONFIG, Capability.QUEUE_WATERMARKS, Capability.SWITCH_COUNTERS
    ),
]

# Sends of full frames, so that what is stored is 4158 B for each 4096 B of the burst.
SIZE, FRAME = 32 * MB, 4096 + 62
HEADROOM = worst_headroom_bytes(100 * GBPS, 1_000_000, mtu_wire_bytes=FRAME + 20, mtu_buffer_bytes=FRAME)
ALPHA = 1.0
SHARED = shared_bytes(SIZE, 65, headroom_bytes=HEADROOM)
PAUSING = Qos(
    pfc=Pfc({3}), buffer=Buffer(size=SIZE, alpha=ALPHA, reserve=0, headroom=HEADROOM), nic=Nic(mtu=4096)
)
DROPPING = Qos(buffer=Buffer(size=SIZE, egress_alpha=ALPHA, lossy_alpha=16.0, reserve=0), nic=Nic(mtu=4096))
FITS = equals(
    0, source="2 % below alpha B / (1 + N alpha) at each of N ports, of which 1 - 1/N of the burst is left"
)
TOO_MUCH = at_least(
    1, source="2 % above alpha B / (1 + N alpha) at each of N ports, of which 1 - 1/N of the burst is left"
)
KEPT = equals(0, source="(N - 1) bursts are 2 % below alpha B / (1 + alpha) (Choudhury and Hahne 1998)")
OVER = at_least(1, source="(N - 1) bursts are 2 % above alpha B / (1 + alpha) (Choudhury and Hahne 1998)")
LOSSLESS = equals(0, source="what arrives after a pause finds headroom")
PEAK = "N bursts have come and one has left when the senders end; a frame for each sender"


@pytest.mark.plan("CC-09")
@pytest.mark.catches("buffer_static", "pause frames sent")
@pytest.mark.parametrize("senders", [2, 8, 32])
def test_a_burst_that_fits_is_not_paused(fabric, expect, senders):
    """Bursts of N senders 2 % below what the buffer takes pass without a pause; the queue peaks at N - 1 of them."""
    frames = int(0.98 * absorbed_burst_bytes(ALPHA, SHARED, senders) / FRAME)
    result = fabric.run(Scenario(Incast(senders, frames * 4096, verb="send"), qos=PAUSING))

    peak = approx(incast_peak_bytes(senders, frames * FRAME), abs=senders * FRAME, source=PEAK)
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], FITS)
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)
    expect("highest queue", result.counters.at("sw1:e65")[Counter.QUEUE_MAX], peak, "B")


@pytest.mark.plan("CC-09")
@pytest.mark.catches("pause_not_sent", "pause frames sent")
@pytest.mark.parametrize("senders", [2, 8, 32])
def test_a_burst_that_does_not_fit_is_paused(fabric, expect, senders):
    """Bursts of N senders 2 % above what the buffer takes are paused and lose nothing."""
    frames = int(1.02 * absorbed_burst_bytes(ALPHA, SHARED, senders) / FRAME)
    result = fabric.run(Scenario(Incast(senders, frames * 4096, verb="send"), qos=PAUSING))

    expect("pause frames sent", result.counters[Counter.PAUSE_TX], TOO_MUCH)
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("CC-09")
@pytest.mark.negative_control("a burst 2 % above the bound")
@pytest.mark.parametrize("senders", [2, 32])
def test_a_burst_above_the_bound_is_noticed(fabric, expect, senders):
    """The bound is sharp: 2 % above it the same measurement fails."""
    frames = int(1.02 * absorbed_burst_bytes(ALPHA, SHARED, senders) / FRAME)
    result = fabric.run(Scenario(Incast(senders, frames * 4096, verb="send"), qos=PAUSING))

    expect("pause frames sent", result.counters[Counter.PAUSE_TX], FITS)


@pytest.mark.plan("CC-09")
@pytest.mark.negative_control("a burst 2 % below the bound")
def test_a_burst_below_the_bound_is_noticed(fabric, expect):
    """A burst that fits is not paused, nor does it lose a frame where PFC is off."""
    frames = int(0.98 * absorbed_burst_bytes(ALPHA, SHARED, 4) / FRAME)
    paused = fabric.run(Scenario(Incast(4, frames * 4096, verb="send"), qos=PAUSING))

    expect("pause frames sent", paused.counters[Counter.PAUSE_TX], TOO_MUCH)


@pytest.mark.plan("CC-09")
@pytest.mark.parametrize("senders", [2, 8, 32])
def test_a_lossy_burst_that_fits_loses_nothing(fabric, expect, senders):
    """Without PFC bursts of N senders 2 % below what the egress queue takes lose no frame."""
    frames = int(0.98 * absorbed_egress_burst_bytes(ALPHA, shared_bytes(SIZE, 65), senders) / FRAME)
    result = fabric.run(Scenario(Incast(senders, frames * 4096, verb="send"), qos=DROPPING))

    peak = approx(incast_peak_bytes(senders, frames * FRAME), abs=senders * FRAME, source=PEAK)
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)
    expect("highest queue", result.counters.at("sw1:e65")[Counter.QUEUE_MAX], peak, "B")


@pytest.mark.plan("CC-09")
@pytest.mark.parametrize("senders", [2, 8, 32])
def test_a_lossy_burst_that_does_not_fit_loses_frames(fabric, expect, senders):
    """Without PFC bursts of N senders 2 % above what the egress queue takes lose frames there, which are sent again."""
    frames = int(1.02 * absorbed_egress_burst_bytes(ALPHA, shared_bytes(SIZE, 65), senders) / FRAME)
    result = fabric.run(Scenario(Incast(senders, frames * 4096, verb="send"), qos=DROPPING))

    expect("frames dropped", result.counters[Counter.DROPS_EGRESS_LIMIT], OVER)
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], OVER)


@pytest.mark.plan("CC-09")
@pytest.mark.negative_control("a lossy burst 2 % above the bound")
def test_a_lossy_burst_above_the_bound_is_noticed(fabric, expect):
    """The bound is sharp: 2 % above it the same measurement fails."""
    frames = int(1.02 * absorbed_egress_burst_bytes(ALPHA, shared_bytes(SIZE, 65), 4) / FRAME)
    result = fabric.run(Scenario(Incast(4, frames * 4096, verb="send"), qos=DROPPING))

    expect("frames dropped", result.counters[Counter.DROPS], KEPT)


@pytest.mark.plan("CC-09")
@pytest.mark.negative_control("a lossy burst 2 % below the bound")
def test_a_lossy_burst_below_the_bound_is_noticed(fabric, expect):
    """A burst that fits loses no frame, and nothing is sent again."""
    frames = int(0.98 * absorbed_egress_burst_bytes(ALPHA, shared_bytes(SIZE, 65), 4) / FRAME)
    result = fabric.run(Scenario(Incast(4, frames * 4096, verb="send"), qos=DROPPING))

    expect("frames dropped", result.counters[Counter.DROPS_EGRESS_LIMIT], OVER)
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], OVER)
