"""Hosts of different speeds: the faster one is paused for its excess, the slower one never, and nothing is lost."""

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
from harness.analysis.shares import slowest_gbps
from harness.analysis.transport import Wire
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("mixed-speed"),
    pytest.mark.needs(
        Capability.PFC, Capability.BUFFER_CONFIG, Capability.SWITCH_COUNTERS, Capability.PER_PRIORITY_COUNTERS
    ),
]

# h1 has 400, h2 and h3 100, h4 25 Gb/s.
SIZE, LONG = 2 * MB, 4 * MS
QOS = Qos(pfc=Pfc({3}), buffer=Buffer(size=SIZE), nic=Nic(mtu=4096))
LOSSY = Qos(buffer=Buffer(size=SIZE), nic=Nic(mtu=4096))
PAYLOAD = Wire().efficiency(4096)
FRAME_BITS = (4096 + 82) * 8
FULL = "the receiver's link never idles while senders wait: payload part of its rate, 5 % for the start"
LOSSLESS = equals(
    0, source="the sender is paused before the headroom, which goes by its port's rate, is used up"
)
PAUSED = at_least(1, source="what is sent does not fit in the buffer")
STANDS = (
    "a sender runs at its line rate or not at all: for what the receiver takes and one buffer; the frame that has"
    " begun when a pause comes ends within it"
)


@pytest.mark.plan("PFC-13")
@pytest.mark.catches("pause_not_sent", "pause frames sent")
@pytest.mark.parametrize(
    ("sender", "fast", "receiver", "slow"),
    [("h1", 400, "h2", 100), ("h1", 400, "h4", 25), ("h2", 100, "h4", 25)],
    ids=["400 to 100", "400 to 25", "100 to 25"],
)
def test_a_fast_sender_does_not_overrun_a_slow_receiver(fabric, expect, sender, fast, receiver, slow):
    """A faster host sends to a slower one: it stands still for its excess, the slow link is full, nothing is lost."""
    result = fabric.run(Scenario(Pair(1 * MB, sender, receiver, messages=0), qos=QOS, duration=LONG))

    host = result.counters.at(sender).priority(3)
    held = SIZE * 8 / (fast * LONG / 1000)
    begun = host[Counter.PAUSE_TRANSITIONS] * FRAME_BITS / (fast * LONG / 1000)
    excess = within(1 - slow / fast - held, 1 - 0.99 * slow / fast + begun, source=STANDS)
    expect("pause frames sent", result.counters.switches[Counter.PAUSE_TX], PAUSED)
    expect("paused part of the sender", host[Counter.PAUSE_RX_DURATION] / LONG, excess)
    expect("goodput", result.goodput_gbps, at_least(0.95 * slow * PAYLOAD, source=FULL), "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-13")
@pytest.mark.negative_control("PFC switched off")
def test_a_fast_sender_overruns_a_slow_receiver_without_pause(fabric, expect):
    """Without PFC the faster sender fills the switch and loses frames."""
    result = fabric.run(Scenario(Pair(1 * MB, "h1", "h4", messages=0), qos=LOSSY, duration=LONG))

    expect("pause frames sent", result.counters.switches[Counter.PAUSE_TX], PAUSED)
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-13")
@pytest.mark.parametrize(
    ("senders", "receiver", "rate"),
    [(("h1", "h3"), "h2", 100), (("h2", "h3"), "h4", 25), (("h1", "h2", "h3"), "h4", 25)],
    ids=["400 and 100 to 100", "twice 100 to 25", "400 and twice 100 to 25"],
)
def test_senders_of_different_speed_share_a_receiver(fabric, expect, senders, receiver, rate):
    """Senders of different speed overload one host: its link stays full, nothing is lost, everybody gets through."""
    result = fabric.run(Scenario(Incast(senders, 1 * MB, receiver, messages=0), qos=QOS, duration=LONG))

    share = at_least(
        0.8 * rate * PAYLOAD / len(senders),
        source="ports fill to the same threshold of one buffer, and a queue is served in turn; 0.8 as Husky has it",
    )
    expect("pause frames sent", result.counters.switches[Counter.PAUSE_TX], PAUSED)
    expect("goodput", result.goodput_gbps, at_least(0.95 * rate * PAYLOAD, source=FULL), "Gb/s")
    expect("slowest flow", slowest_gbps(result.flows), share, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-13")
@pytest.mark.negative_control("one sender held to a tenth of its share")
def test_a_sender_that_gets_little_is_noticed(fabric, expect):
    """A flow that is paced below its share shows as the slowest one."""
    flows = [
        Pair(1 * MB, "h2", "h4", messages=0, name="greedy"),
        Pair(1 * MB, "h3", "h4", messages=0, rate=1 * GBPS, name="held"),
    ]
    result = fabric.run(Scenario(flows, qos=QOS, duration=LONG))

    share = at_least(
        0.8 * 25 * PAYLOAD / 2,
        source="ports fill to the same threshold of one buffer, and a queue is served in turn; 0.8 as Husky has it",
    )
    expect("goodput", result.goodput_gbps, at_least(0.95 * 25 * PAYLOAD, source=FULL), "Gb/s")
    expect("slowest flow", slowest_gbps(result.flows), share, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


UNPAUSED = equals(0, source="what comes in slower than it goes out leaves at once")
ONE_FRAME = within(
    1, 2 * (4096 + 62 + 16), source="one frame leaves while the next one comes in (store and forward)"
)


@pytest.mark.plan("PFC-13")
@pytest.mark.needs(Capability.QUEUE_WATERMARKS)
@pytest.mark.catches("nic_pause_storm", "time the switch stood still")
@pytest.mark.catches("slow_receiver", "time the switch stood still")
@pytest.mark.parametrize(
    ("sender", "slow", "receiver", "port"),
    [("h2", 100, "h1", "sw1:e1"), ("h3", 100, "h2", "sw1:e2"), ("h2", 25, "h4", "sw1:e4")],
    ids=["100 to 400", "100 to 100", "25 of 100 to 25"],
)
def test_a_sender_that_is_not_too_fast_is_never_paused(fabric, expect, sender, slow, receiver, port):
    """A host that sends what the receiver takes has its whole rate: no pause either way, no queue, no loss."""
    flow = Pair(1 * MB, sender, receiver, messages=0, rate=slow * GBPS)
    result = fabric.run(Scenario(flow, qos=QOS, duration=LONG))

    stood = result.counters.at(port).priority(3)[Counter.PAUSE_RX_DURATION] / MS
    expect("pause frames sent by the switch", result.counters.switches[Counter.PAUSE_TX], UNPAUSED)
    expect("time the switch stood still", stood, UNPAUSED, "ms")
    expect("queue at the receiver", result.counters.at(port)[Counter.QUEUE_MAX], ONE_FRAME, "B")
    expect("goodput", result.goodput_gbps, at_least(0.99 * slow * PAYLOAD, margin=0.0, source=FULL), "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-13")
@pytest.mark.negative_control("a sender that is too fast by a tenth")
@pytest.mark.needs(Capability.QUEUE_WATERMARKS)
def test_a_queue_that_grows_is_noticed(fabric, expect):
    """At 110 % of the receiver's rate a queue grows until the switch pauses the sender."""
    flow = Pair(1 * MB, "h2", "h4", messages=0, rate=27_500_000_000)
    result = fabric.run(Scenario(flow, qos=QOS, duration=LONG))

    expect("pause frames sent by the switch", result.counters.switches[Counter.PAUSE_TX], UNPAUSED)
    expect("queue at the receiver", result.counters.at("sw1:e4")[Counter.QUEUE_MAX], ONE_FRAME, "B")
