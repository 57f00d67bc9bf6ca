"""A link between switches that goes down under load: traffic moves to the other paths, and returns when it is back."""

from __future__ import annotations

import pytest

from harness import (
    KB,
    MS,
    US,
    Capability,
    Counter,
    LinkDown,
    LinkUp,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    at_most,
    equals,
    within,
)
from harness.analysis.completion import longest_message_ps
from harness.analysis.transport import ack_timeout_ps
from harness.analysis.uplinks import part_of_packets, used_uplinks
from harness.patterns.permutation import Permutation

pytestmark = [
    pytest.mark.topology("leaf-spine-16"),
    pytest.mark.needs(
        Capability.LINK_FLAP, Capability.PFC, Capability.SWITCH_COUNTERS, Capability.HOST_COUNTERS,
        Capability.DROP_REASONS, Capability.LATENCY_HISTOGRAM,
    ),
]  # fmt: skip

# Two racks send to each other, 16 Gb/s a host, for 20 ms: a message of 50 KB each 100 us on each of 4 queue pairs.
LOAD = Permutation(50 * KB, hosts=8, shift=4, qps=4, messages=200, interval=100 * US)
MESSAGES = 8 * 4 * 200
LENGTH = 20
# leaf1 to spine1, one of four equal paths.
UPLINK = "leaf1:e5"
EXPONENT, RETRIES = 6, 7
QOS = Qos(nic=Nic(mtu=4096, ack_timeout=EXPONENT, retry_count=RETRIES), pfc=Pfc({3}))
TIMER = ack_timeout_ps(EXPONENT) / MS
# Longer than one timer of 4 T, shorter than all retries: who waits for the link itself is late, and still completes.
OUTAGE = 6 * TIMER
MOVED = at_most(
    4 * TIMER + 0.1,
    margin=0.0,
    source="InfiniBand 9.7.6.1.3: a lost tail is found within 4 T; and 0.1 ms for what has gathered meanwhile",
)
LOST = at_least(1, margin=0.0, source="the link goes down in mid-message")
# An acknowledgement is the smallest frame; 12.5 KB are on 1 us of 100 Gb/s.
FRAME = 66
WIRE = 100e9 * 1e-6 / 8


def flaps(count):
    """The uplink goes away `count` times in mid-message, for 6 T each, each 4 ms after the last."""
    downs = [(2 + 4 * number) * MS + 8 * US for number in range(count)]
    away = round(OUTAGE * MS)
    return [event for at in downs for event in (LinkDown(at, UPLINK), LinkUp(at + away, UPLINK))]


def in_flight(result, count):
    """Most frames that the link and the queues at its two ends can hold, `count` times: all may be the smallest."""
    queues = (
        result.counters.at(UPLINK)[Counter.QUEUE_MAX] + result.counters.at("spine1:e1")[Counter.QUEUE_MAX]
    )
    return count * (queues + 2 * WIRE) / FRAME


@pytest.mark.plan("RES-01")
@pytest.mark.catches("route_stale", "longest wait for another path")
@pytest.mark.parametrize("count", [1, 3])
def test_traffic_moves_to_other_paths(fabric, expect, count):
    """An uplink is away once, or three times: only what was on it is lost, and no message waits for its return."""
    result = fabric.run(Scenario(LOAD, qos=QOS, events=flaps(count), may_fail=["*"]))

    flows = result.flows
    lost = at_most(
        in_flight(result, count), margin=0.0, source="what was on the link and queued at its two ends"
    )
    longest = longest_message_ps(flows) / MS
    expect(
        "frames lost with the link",
        result.counters[Counter.DROPS_LINK_DOWN],
        at_least(1, margin=0.0, source="the link goes down in mid-message"),
    )
    expect("frames lost with the link, at most", result.counters[Counter.DROPS_LINK_DOWN], lost)
    expect("longest wait for another path", longest, MOVED, "ms")
    expect("messages complete", flows.total("messages_completed"), equals(MESSAGES, source="what was posted"))
    expect(
        "bytes delivered", flows.total("bytes_delivered"), equals(MESSAGES * 50 * KB, source="each once"), "B"
    )
    expect(
        "queue pairs that gave up",
        result.counters[Counter.RETRY_EXHAUSTED],
        equals(0, source="paths are left"),
    )


@pytest.mark.plan("RES-01")
@pytest.mark.catches("link_stays_down", "packets on the uplink over those without a flap")
@pytest.mark.parametrize("count", [1, 3])
def test_traffic_returns_to_the_link(fabric, expect, count):
    """Once the uplink is back it carries its part again: beside a run without a flap it lacks the outage, no more."""
    steady = fabric.run(Scenario(LOAD, qos=QOS, may_fail=["*"]))
    result = fabric.run(Scenario(LOAD, qos=QOS, events=flaps(count), may_fail=["*"]))

    share = part_of_packets(result, steady, UPLINK)
    part = within(
        1 - count * (OUTAGE + 4 * TIMER) / LENGTH,
        1 - count * (OUTAGE - 0.1) / LENGTH,
        source="the load is steady: the outage is missing, and 4 T at most until the sender's timer",
    )
    expect("uplinks used without a flap", used_uplinks(steady, "leaf1"), equals(4, source="the spines"))
    expect("packets on the uplink over those without a flap", share, part)


@pytest.mark.plan("RES-01")
@pytest.mark.negative_control("the only link of a host instead of one of four paths")
def test_traffic_without_another_path_is_noticed(fabric, expect):
    """What has no other path waits for the link itself."""
    away = [LinkDown(2 * MS, "h5:p0"), LinkUp(round((2 + OUTAGE) * MS), "h5:p0")]
    result = fabric.run(Scenario(LOAD, qos=QOS, events=away, may_fail=["*"]))

    longest = longest_message_ps(result.flows) / MS
    expect("longest wait for another path", longest, MOVED, "ms")


@pytest.mark.plan("RES-01")
@pytest.mark.negative_control("a link that stays down")
def test_a_link_that_stays_down_is_noticed(fabric, expect):
    """An uplink that never returns lacks more than an outage."""
    steady = fabric.run(Scenario(LOAD, qos=QOS))
    result = fabric.run(Scenario(LOAD, qos=QOS, events=[LinkDown(2 * MS, UPLINK)]))

    share = part_of_packets(result, steady, UPLINK)
    part = at_least(
        1 - (OUTAGE + 4 * TIMER) / LENGTH, margin=0.0, source="the outage, and 4 T until the timer"
    )
    expect("packets on the uplink over those without a flap", share, part)


@pytest.mark.plan("RES-01")
@pytest.mark.negative_control("no flap at all")
def test_an_uplink_that_stays_up_is_noticed(fabric, expect):
    """Without an outage nothing is lost."""
    result = fabric.run(Scenario(LOAD, qos=QOS))

    expect(
        "frames lost with the link",
        result.counters[Counter.DROPS_LINK_DOWN],
        at_least(1, margin=0.0, source="the link goes down in mid-message"),
    )
