"""A link that goes down and comes back under load costs time and no data."""

from __future__ import annotations

import pytest

from harness import KB, MS, Capability, Counter, LinkDown, LinkUp, Nic, Qos, Scenario, at_most, equals, within
from harness.analysis.completion import status_code
from harness.analysis.transport import ack_timeout_ps
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.LINK_FLAP, Capability.HOST_COUNTERS)

# A message of 20 KB each 10 ms for a second and a half, 16 Mb/s; the link is away from 400 to 700 ms.
LOAD = Pair(20 * KB, messages=150, interval=10 * MS)
DOWN, UP, OUTAGE = 400 * MS, 700 * MS, 300
# 8 timeouts of 67 ms to 268 ms are more than the outage.
QOS = Qos(nic=Nic(mtu=4096, ack_timeout=14, retry_count=6))
TIMER = ack_timeout_ps(14) / 1e9
SOURCE = (
    "the message that met the outage waits for its end, for a timer of 4 T at most, and for 120 KB before it; "
    "a quarter less where the ends of the outage are not exact"
)
WHOLE = "what was sent, each byte once"


def flap(fabric):
    """The receiver's link goes down and comes back."""
    port = fabric.topology.host_ports[-1]
    return [LinkDown(DOWN, port), LinkUp(UP, port)]


@pytest.mark.plan("RES-01")
@pytest.mark.parametrize(
    "verb",
    ["write", pytest.param("send", marks=pytest.mark.slow), pytest.param("read", marks=pytest.mark.slow)],
)
def test_a_flap_costs_the_outage_and_no_data(fabric, expect, verb):
    """The link is away for 300 ms: every message completes, no byte is lost, the longest waits for about that long."""
    traffic = Pair(20 * KB, verb=verb, messages=150, interval=10 * MS)
    result = fabric.run(Scenario(traffic, qos=QOS, events=flap(fabric), sample_every=10 * MS))

    flow = result.flow("pair-0")
    longest = within(0.75 * OUTAGE, 1.25 * OUTAGE + 4 * TIMER, source=SOURCE)
    expect("messages complete", flow.messages_completed, equals(150))
    expect("bytes delivered", flow.bytes_delivered, equals(150 * 20 * KB, source=WHOLE), "B")
    expect("longest message", flow.latency.max_ps / 1e9, longest, "ms")
    expect(
        "median message",
        flow.latency.p50_ps / 1e9,
        at_most(OUTAGE, source="most are not in the outage"),
        "ms",
    )
    expect("queue pairs that gave up", result.counters[Counter.RETRY_EXHAUSTED], equals(0))


@pytest.mark.plan("RES-01")
@pytest.mark.negative_control("a sender with less patience than the outage")
def test_an_outage_too_long_is_noticed(fabric, expect):
    """One retry of a short timer is not enough for 300 ms."""
    hasty = Qos(nic=Nic(mtu=4096, ack_timeout=12, retry_count=1))
    scenario = Scenario(LOAD, qos=hasty, events=flap(fabric), may_fail=["pair-0"], sample_every=10 * MS)
    result = fabric.run(scenario)

    flow = result.flow("pair-0")
    expect("messages complete", flow.messages_completed, equals(150))
    expect("queue pairs that gave up", result.counters[Counter.RETRY_EXHAUSTED], equals(0))
    expect("status", status_code(flow), equals(0))


@pytest.mark.plan("RES-01")
@pytest.mark.negative_control("a link that stays up")
def test_a_flap_that_does_not_happen_is_noticed(fabric, expect):
    """Without an outage no message waits for one."""
    result = fabric.run(Scenario(LOAD, qos=QOS, sample_every=10 * MS))

    longest = within(0.75 * OUTAGE, 1.25 * OUTAGE + 4 * TIMER, source=SOURCE)
    expect("longest message", result.flow("pair-0").latency.max_ps / 1e9, longest, "ms")
