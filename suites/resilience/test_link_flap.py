"""A link that goes down and comes back under load costs time and no data."""

from __future__ import annotations

import pytest

from harness import (
    KB,
    MS,
    Capability,
    Counter,
    LinkDown,
    LinkUp,
    Nic,
    Qos,
    Scenario,
    at_least,
    at_most,
    equals,
)
from harness.analysis.completion import longest_message_ps, status_code
from harness.analysis.outage import longest_outage_ps
from harness.analysis.transport import ack_timeout_ps
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.LINK_FLAP, Capability.HOST_COUNTERS)

# A message of 20 KB each 10 ms, one at a time, for 2 s: machines cut a link up to a second after they are asked to.
DOWN, UP, OUTAGE = 400 * MS, 1400 * MS, 1000
MESSAGES = 200
# Seven timeouts of 268 ms or more are longer than the outage.
QOS = Qos(nic=Nic(mtu=4096, ack_timeout=16, retry_count=6))
TIMER = ack_timeout_ps(16) / 1e9
MET = at_least(
    0.5 * OUTAGE, margin=0.0, source="half of the outage that was asked for: machines take time to cut a link"
)
WAITED = "the outage as it was carried out, and one timer of 4 T at most"
WHOLE = "what was sent, each byte once"


def load(verb="write"):
    """Messages of 20 KB, one in flight."""
    return Pair(20 * KB, verb=verb, messages=MESSAGES, interval=10 * MS, max_outstanding=1)


def flap(fabric):
    """The receiver's link goes down and comes back."""
    port = fabric.topology.host_ports[-1]
    return [LinkDown(DOWN, port), LinkUp(UP, port)]


@pytest.mark.plan("RES-01")
@pytest.mark.catches("link_stays_down", "queue pairs that gave up")
@pytest.mark.parametrize(
    "verb",
    ["write", pytest.param("send", marks=pytest.mark.slow), pytest.param("read", marks=pytest.mark.slow)],
)
def test_a_flap_costs_the_outage_and_no_data(fabric, expect, verb):
    """The link is away for a second: every message completes, no byte is lost, one message waits about that long."""
    scenario = Scenario(load(verb), qos=QOS, events=flap(fabric), may_fail=["pair-0"], sample_every=10 * MS)
    result = fabric.run(scenario)

    flow = result.flow("pair-0")
    end = at_most(longest_outage_ps(result) / 1e9 + 4 * TIMER, source=WAITED)
    expect("messages complete", flow.messages_completed, equals(MESSAGES, source="what was posted"))
    expect("bytes delivered", flow.bytes_delivered, equals(MESSAGES * 20 * KB, source=WHOLE), "B")
    expect("longest message", longest_message_ps(result.flows) / 1e9, MET, "ms")
    expect("longest message, at most", longest_message_ps(result.flows) / 1e9, end, "ms")
    expect(
        "queue pairs that gave up",
        result.counters[Counter.RETRY_EXHAUSTED],
        equals(0, source="seven timeouts are longer than the outage"),
    )


@pytest.mark.plan("RES-01")
@pytest.mark.negative_control("a sender with less patience than the outage")
def test_an_outage_too_long_is_noticed(fabric, expect):
    """One retry of a short timer is not enough for a second."""
    hasty = Qos(nic=Nic(mtu=4096, ack_timeout=12, retry_count=1))
    scenario = Scenario(load(), qos=hasty, events=flap(fabric), may_fail=["pair-0"], sample_every=10 * MS)
    result = fabric.run(scenario)

    flow = result.flow("pair-0")
    expect("messages complete", flow.messages_completed, equals(MESSAGES, source="what was posted"))
    expect(
        "queue pairs that gave up",
        result.counters[Counter.RETRY_EXHAUSTED],
        equals(0, source="retries outlast what keeps it waiting"),
    )
    expect("status", status_code(flow), equals(0, source="IBV_WC_SUCCESS"))


@pytest.mark.plan("RES-01")
@pytest.mark.negative_control("a link that stays up")
def test_a_flap_that_does_not_happen_is_noticed(fabric, expect):
    """Without an outage no message waits for one."""
    result = fabric.run(Scenario(load(), qos=QOS, sample_every=10 * MS))

    expect("longest message", longest_message_ps(result.flows) / 1e9, MET, "ms")
