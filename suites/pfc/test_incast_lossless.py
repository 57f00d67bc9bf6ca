"""A lossless priority that is oversubscribed pauses its senders and drops nothing."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    Capability,
    Counter,
    LinkRate,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    equals,
    within,
)
from harness.analysis.shares import fastest_gbps, slowest_gbps
from harness.analysis.transport import Wire
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.PFC, Capability.HOST_COUNTERS, Capability.SWITCH_COUNTERS),
]

QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
PAYLOAD_SHARE = Wire().efficiency(4096)
FULL = "the receiver's link never idles while senders wait: payload part of its rate, 5 % for start and end"
FAIR = "the port serves its ingress ports in turn; 5 % is the tolerance of the SONiC PFC suite"
LOSSLESS = equals(0, source="a lossless priority is paused before it has to drop (802.1Qbb)")
PAUSED = at_least(1, source="senders of line rate overrun one port: without a pause the buffer overflows")
IN_ORDER = equals(0, source="one path and no loss: nothing can come out of turn")


@pytest.mark.plan("PFC-07")
@pytest.mark.catches("pfc_ignored", "frames dropped")
@pytest.mark.catches("pause_not_sent", "pause frames sent")
@pytest.mark.parametrize("senders", [2, 4, 8])
def test_incast_loses_nothing_when_paused(fabric, expect, senders):
    """Overload one receiver; with PFC on its priority no frame is dropped, shares are fair, the link stays full."""
    result = fabric.run(Scenario(Incast(senders, 20 * MB), qos=QOS))

    line = fabric.line_rate_gbps * PAYLOAD_SHARE
    share = within(0.95 * line / senders, 1.05 * line / senders, source=FAIR)
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], PAUSED)
    expect("packets out of sequence", result.counters[Counter.OUT_OF_SEQUENCE], IN_ORDER)
    expect("goodput", result.goodput_gbps, at_least(0.95 * line), "Gb/s", source=FULL)
    expect("slowest flow", slowest_gbps(result.flows), share, "Gb/s")
    expect("fastest flow", fastest_gbps(result.flows), share, "Gb/s")


@pytest.mark.plan("PFC-07")
@pytest.mark.negative_control("PFC switched off")
@pytest.mark.parametrize("senders", [4, 8])
def test_incast_loses_frames_without_pause(fabric, expect, senders):
    """The same overload without PFC drops frames and wastes the link on repetition."""
    result = fabric.run(Scenario(Incast(senders, 20 * MB), qos=Qos(nic=Nic(mtu=4096))))

    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], PAUSED)


@pytest.mark.plan("PFC-07")
@pytest.mark.negative_control("senders that ignore pause frames")
def test_incast_loses_frames_when_senders_ignore_pause(fabric, expect):
    """Pauses that nobody obeys are sent, and frames are dropped all the same."""
    result = fabric.run(Scenario(Incast(4, 20 * MB), qos=QOS, nic={"pfc": {"priorities": []}}))

    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)
    expect("packets out of sequence", result.counters[Counter.OUT_OF_SEQUENCE], IN_ORDER)


@pytest.mark.plan("PFC-07")
@pytest.mark.negative_control("the link of one sender at a twentieth of its rate")
@pytest.mark.needs(Capability.LINK_RATE)
def test_an_unfair_share_is_noticed(fabric, expect):
    """A sender whose link is too slow for its share gets less than the others."""
    result = fabric.run(Scenario(Incast(8, 4 * MB), qos=QOS, events=[LinkRate(0, "h1:p0", 5 * GBPS)]))

    line = fabric.line_rate_gbps * PAYLOAD_SHARE
    share = within(0.95 * line / 8, 1.05 * line / 8, source=FAIR)
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)
    expect("goodput", result.goodput_gbps, at_least(0.95 * line), "Gb/s", source=FULL)
    expect("slowest flow", slowest_gbps(result.flows), share, "Gb/s")
