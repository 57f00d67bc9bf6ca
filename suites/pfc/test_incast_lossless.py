"""A lossless priority that is oversubscribed pauses its senders and drops nothing."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    Buffer,
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
from harness.analysis.pfc import worst_headroom_bytes
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
# The worst alignment of pause and data on a link of 1 us: 4174 B frames, 4178 B and 84 B of link time.
HEADROOM = worst_headroom_bytes(100 * GBPS, 1_000_000, mtu_wire_bytes=4194, mtu_buffer_bytes=4174)


@pytest.mark.plan("PFC-07")
@pytest.mark.parametrize("senders", [2, 4, 8])
def test_incast_loses_nothing_when_paused(fabric, expect, senders):
    """Overload one receiver; with PFC on its priority no frame is dropped, shares are fair, the link stays full."""
    result = fabric.run(Scenario(Incast(senders, 20 * MB), qos=QOS))

    line = fabric.line_rate_gbps * PAYLOAD_SHARE
    share = within(0.95 * line / senders, 1.05 * line / senders, source=FAIR)
    expect("frames dropped", result.counters[Counter.DROPS], equals(0))
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], at_least(1))
    expect("packets out of sequence", result.counters[Counter.OUT_OF_SEQUENCE], equals(0))
    expect("goodput", result.goodput_gbps, at_least(0.95 * line), "Gb/s", source=FULL)
    expect("slowest flow", min(result.flows.goodputs_gbps), share, "Gb/s")
    expect("fastest flow", max(result.flows.goodputs_gbps), share, "Gb/s")


@pytest.mark.plan("PFC-07")
@pytest.mark.negative_control("PFC switched off")
@pytest.mark.parametrize("senders", [4, 8])
def test_incast_loses_frames_without_pause(fabric, expect, senders):
    """The same overload without PFC drops frames and wastes the link on repetition."""
    result = fabric.run(Scenario(Incast(senders, 20 * MB), qos=Qos(nic=Nic(mtu=4096))))

    expect("frames dropped", result.counters[Counter.DROPS], equals(0))
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], at_least(1))


@pytest.mark.plan("PFC-07")
@pytest.mark.negative_control("senders that ignore pause frames")
def test_incast_loses_frames_when_senders_ignore_pause(fabric, expect):
    """Pauses that nobody obeys are sent, and frames are dropped all the same."""
    result = fabric.run(Scenario(Incast(4, 20 * MB), qos=QOS, nic={"pfc": {"priorities": []}}))

    expect("frames dropped", result.counters[Counter.DROPS], equals(0))
    expect("packets out of sequence", result.counters[Counter.OUT_OF_SEQUENCE], equals(0))


@pytest.mark.plan("PFC-07")
@pytest.mark.negative_control("the link of one sender at a twentieth of its rate")
@pytest.mark.needs(Capability.LINK_RATE)
def test_an_unfair_share_is_noticed(fabric, expect):
    """A sender whose link is too slow for its share gets less than the others."""
    result = fabric.run(Scenario(Incast(8, 4 * MB), qos=QOS, events=[LinkRate(0, "h1:p0", 5 * GBPS)]))

    line = fabric.line_rate_gbps * PAYLOAD_SHARE
    share = within(0.95 * line / 8, 1.05 * line / 8, source=FAIR)
    expect("frames dropped", result.counters[Counter.DROPS], equals(0))
    expect("goodput", result.goodput_gbps, at_least(0.95 * line), "Gb/s", source=FULL)
    expect("slowest flow", min(result.flows.goodputs_gbps), share, "Gb/s")


@pytest.mark.plan("PFC-06")
@pytest.mark.needs(Capability.BUFFER_CONFIG)
@pytest.mark.parametrize("senders", [2, 8])
def test_worst_case_headroom_absorbs_what_is_in_flight(fabric, expect, senders):
    """With the headroom of the worst case, what arrives after the pause was sent finds room: nothing is dropped."""
    qos = Qos(pfc=Pfc({3}), buffer=Buffer(size=4 * MB, headroom=HEADROOM), nic=Nic(mtu=4096))
    result = fabric.run(Scenario(Incast(senders, 8 * MB), qos=qos))

    expect("pause frames sent", result.counters[Counter.PAUSE_TX], at_least(1))
    expect(
        "headroom used",
        result.counters[Counter.HEADROOM_MAX],
        within(1, HEADROOM),
        "B",
        source="worst case of 802.1Qbb",
    )
    expect("frames dropped for want of headroom", result.counters[Counter.DROPS_HEADROOM], equals(0))


@pytest.mark.plan("PFC-06")
@pytest.mark.negative_control("headroom of a quarter of what is in flight")
@pytest.mark.needs(Capability.BUFFER_CONFIG)
def test_too_little_headroom_is_noticed(fabric, expect):
    """With a quarter of that headroom frames are dropped although pauses are sent and obeyed."""
    qos = Qos(pfc=Pfc({3}), buffer=Buffer(size=4 * MB, headroom=HEADROOM // 4), nic=Nic(mtu=4096))
    result = fabric.run(Scenario(Incast(8, 8 * MB), qos=qos))

    expect("pause frames sent", result.counters[Counter.PAUSE_TX], at_least(1))
    expect("frames dropped for want of headroom", result.counters[Counter.DROPS_HEADROOM], equals(0))


@pytest.mark.plan("PFC-13")
@pytest.mark.topology("mixed-speed")
@pytest.mark.parametrize("sender", ["h1", "h2"])
def test_a_fast_sender_does_not_overrun_a_slow_receiver(fabric, expect, sender):
    """A host at 400 or 100 Gb/s sends to one at 25 Gb/s: no loss, and the slow link stays full."""
    result = fabric.run(Scenario(Incast((sender,), 20 * MB, "h4"), qos=QOS))

    expect("frames dropped", result.counters[Counter.DROPS], equals(0))
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], at_least(1))
    expect("goodput", result.goodput_gbps, at_least(0.95 * 25 * PAYLOAD_SHARE), "Gb/s", source=FULL)


@pytest.mark.plan("PFC-13")
@pytest.mark.topology("mixed-speed")
@pytest.mark.negative_control("PFC switched off")
def test_a_fast_sender_overruns_a_slow_receiver_without_pause(fabric, expect):
    """Without PFC the faster sender fills the switch and loses frames."""
    result = fabric.run(Scenario(Incast(("h1",), 60 * MB, "h4"), qos=Qos(nic=Nic(mtu=4096))))

    expect("frames dropped", result.counters[Counter.DROPS], equals(0))
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], at_least(1))
