"""A sender that is never answered gives up between T (R + 1) and 4 T (R + 1)."""

from __future__ import annotations

import pytest

from harness import (
    Capability,
    Counter,
    Fault,
    Impair,
    KiB,
    LinkDown,
    Nic,
    Qos,
    Scenario,
    VerbsOptions,
    equals,
    within,
)
from harness.analysis.completion import failed_after_ps, status_code
from harness.analysis.injection import injected_drops
from harness.analysis.transport import give_up_ps
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.HOST_COUNTERS)

SILENCE = Impair(0, "pair-0", "drop", fraction=1.0)
GAVE_UP = "IBV_WC_RETRY_EXC_ERR"
LAW = "InfiniBand 9.7.6.1.3: R + 1 timeouts of T to 4 T each, T = 4.096 us * 2^t"


def waiting(exponent, retries):
    """Timer and retries of the hosts."""
    return Qos(nic=Nic(ack_timeout=exponent, retry_count=retries))


def law(exponent, retries):
    """The range of InfiniBand in ms."""
    least = give_up_ps(exponent, retries) / 1e9
    return within(least, 4 * least, source=LAW)


@pytest.mark.plan("RTX-06")
@pytest.mark.catches("retries_ignored", "packets lost")
@pytest.mark.needs(Capability.PACKET_DROP)
@pytest.mark.parametrize(
    ("exponent", "retries"),
    [
        (10, 6),
        (12, 3),
        (16, 1),
        pytest.param(10, 1, marks=pytest.mark.slow),
        pytest.param(14, 4, marks=pytest.mark.slow),
    ],
)
def test_a_sender_without_answers_gives_up_in_time(fabric, expect, exponent, retries):
    """Nothing of the flow arrives: it ends with its status after R + 1 timeouts."""
    scenario = Scenario(
        Pair(1024), qos=waiting(exponent, retries), events=[SILENCE], may_fail=["pair-0"], sample_every=0
    )
    result = fabric.run(scenario)

    flow = result.flow("pair-0")
    expect("status", status_code(flow), equals(12, source=GAVE_UP))
    expect("messages complete", flow.messages_completed, equals(0, source="nothing arrives"))
    expect(
        "queue pairs that gave up",
        result.counters[Counter.RETRY_EXHAUSTED],
        equals(1, source="the one that is never answered"),
    )
    expect("time to give up", failed_after_ps(result, "pair-0") / 1e9, law(exponent, retries), "ms")
    expect(
        "packets lost",
        injected_drops(result),
        equals(retries + 1, source="one packet, sent once for each timeout"),
    )


@pytest.mark.plan("RTX-06")
@pytest.mark.needs(Capability.LINK_FLAP)
@pytest.mark.parametrize(("verb", "exponent", "retries"), [("send", 12, 2), ("read", 14, 2)])
def test_a_dead_link_ends_a_flow_in_time(fabric, expect, verb, exponent, retries):
    """The receiver's link is down: sends and reads end with their status after R + 1 timeouts."""
    dead = LinkDown(0, fabric.topology.host_ports[-1])
    scenario = Scenario(
        Pair(4 * KiB, verb=verb),
        qos=waiting(exponent, retries),
        events=[dead],
        may_fail=["pair-0"],
        sample_every=0,
    )
    result = fabric.run(scenario)

    flow = result.flow("pair-0")
    expect("status", status_code(flow), equals(12, source=GAVE_UP))
    expect(
        "queue pairs that gave up",
        result.counters[Counter.RETRY_EXHAUSTED],
        equals(1, source="the one that is never answered"),
    )
    expect("time to give up", failed_after_ps(result, "pair-0") / 1e9, law(exponent, retries), "ms")


@pytest.mark.plan("RTX-06")
@pytest.mark.needs(Capability.REAL_VERBS)
def test_a_queue_pair_that_does_not_exist_never_answers(fabric, expect):
    """Packets for a queue pair that nobody has are dropped by the host; the sender gives up in time."""
    nobody = Pair(1024, verbs=VerbsOptions(fault=Fault.NO_RECEIVER))
    result = fabric.run(Scenario(nobody, qos=waiting(13, 2), may_fail=["pair-0"], sample_every=0))

    flow = result.flow("pair-0")
    expect("status", status_code(flow), equals(12, source=GAVE_UP))
    expect("time to give up", failed_after_ps(result, "pair-0") / 1e9, law(13, 2), "ms")


@pytest.mark.plan("RTX-06")
@pytest.mark.needs(Capability.PACKET_DROP)
@pytest.mark.negative_control("a timer of eight times the length that is claimed")
def test_a_sender_that_waits_too_long_is_noticed(fabric, expect):
    """Exponent 15 does not pass for 12."""
    scenario = Scenario(Pair(1024), qos=waiting(15, 1), events=[SILENCE], may_fail=["pair-0"], sample_every=0)
    result = fabric.run(scenario)

    expect("time to give up", failed_after_ps(result, "pair-0") / 1e9, law(12, 1), "ms")


@pytest.mark.plan("RTX-06")
@pytest.mark.needs(Capability.PACKET_DROP)
@pytest.mark.negative_control("one retry where six are claimed")
def test_a_sender_that_gives_up_too_soon_is_noticed(fabric, expect):
    """Two timeouts do not pass for seven."""
    scenario = Scenario(Pair(1024), qos=waiting(13, 1), events=[SILENCE], may_fail=["pair-0"], sample_every=0)
    result = fabric.run(scenario)

    expect("time to give up", failed_after_ps(result, "pair-0") / 1e9, law(13, 6), "ms")
    expect("packets lost", injected_drops(result), equals(7, source="one packet, sent once for each timeout"))
