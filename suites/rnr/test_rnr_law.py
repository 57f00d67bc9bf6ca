"""A send that meets no receive is refused, waits as long as the receiver says, and gives up after its retries."""

from __future__ import annotations

import pytest

from harness import MS, US, Capability, Counter, Nic, Qos, S, Scenario, at_least, at_most, equals, within
from harness.analysis.completion import failed_after_ps, status_code
from harness.analysis.transport import rnr_timer_ps
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.HOST_COUNTERS)

TWO_FOR_ONE = Pair(1024, verb="send", messages=2, recv_depth=1)
REFUSALS = "InfiniBand 9.7.5.2.8: one RNR NAK for the first try and one for each retry"
SPACED = "InfiniBand 9.7.5.2.8: the wait of the timer's code lies between two refusals of the same send"
GAVE_UP = "IBV_WC_RNR_RETRY_EXC_ERR"
LAW = "InfiniBand 9.7.5.2.8: a wait of the timer's code before each retry; twice that at most (ours)"


def starved(code, retries):
    """A receiver that asks for the wait of a timer code, and a sender with so many retries."""
    return Qos(nic=Nic(rnr_timer=code, rnr_retry=retries, ack_timeout=17))


def law(code, retries):
    """The range of the time to give up, in ms."""
    waits = retries * rnr_timer_ps(code) / 1e9
    return within(waits, 2 * waits, source=LAW)


@pytest.mark.plan("RTX-07")
@pytest.mark.parametrize(
    "retries", [6, pytest.param(0, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.slow)]
)
def test_sixteen_receives_are_good_for_sixteen_sends(fabric, expect, retries):
    """Of 32 sends 16 complete; the next is refused once and after each wait again, and ends with its status."""
    sends = Pair(1024, verb="send", messages=32, recv_depth=16)
    result = fabric.run(Scenario(sends, qos=starved(16, retries), may_fail=["pair-0"]))

    flow, count = result.flow("pair-0"), result.counters
    expect("messages complete", flow.messages_completed, equals(16), source="the receives")
    expect("status", status_code(flow), equals(13, source=GAVE_UP))
    expect("refusals sent", count[Counter.RNR_NAK_SENT], equals(retries + 1, source=REFUSALS))
    expect("refusals received", count[Counter.RNR_NAK_RECEIVED], equals(retries + 1, source=REFUSALS))
    expect(
        "queue pairs that gave up",
        count[Counter.RNR_RETRY_EXHAUSTED],
        equals(1, source="the one without a receive"),
    )


@pytest.mark.plan("RTX-07")
@pytest.mark.catches("rnr_timer_ignored", "time to give up")
@pytest.mark.parametrize(
    ("code", "retries"),
    [
        (20, 6),
        (24, 2),
        pytest.param(22, 3, marks=pytest.mark.slow),
        pytest.param(26, 1, marks=pytest.mark.slow),
    ],
)
def test_a_refused_send_gives_up_in_time(fabric, expect, code, retries):
    """The second of two sends meets no receive: it ends after the waits of its retries, and no sooner."""
    result = fabric.run(Scenario(TWO_FOR_ONE, qos=starved(code, retries), may_fail=["pair-0"]))

    flow = result.flow("pair-0")
    expect("messages complete", flow.messages_completed, equals(1, source="the first, which has a receive"))
    expect("status", status_code(flow), equals(13, source=GAVE_UP))
    expect("time to give up", failed_after_ps(result, "pair-0") / 1e9, law(code, retries), "ms")


@pytest.mark.plan("RTX-07")
@pytest.mark.catches("rnr_retry_ignored", "refusals sent")
@pytest.mark.parametrize("retries", [1, 6])
def test_a_refused_send_is_not_tried_for_ever(fabric, expect, retries):
    """A second long is many times what all retries take: in it a send is refused once and after each wait again."""
    scenario = Scenario(
        TWO_FOR_ONE, qos=starved(20, retries), duration=S, may_fail=["pair-0"], sample_every=10 * MS
    )
    result = fabric.run(scenario)

    count = result.counters
    expect("refusals sent", count[Counter.RNR_NAK_SENT], equals(retries + 1, source=REFUSALS))
    expect("refusals received", count[Counter.RNR_NAK_RECEIVED], equals(retries + 1, source=REFUSALS))
    expect(
        "queue pairs that gave up",
        count[Counter.RNR_RETRY_EXHAUSTED],
        equals(1, source="the one without a receive"),
    )


@pytest.mark.plan("RTX-07")
@pytest.mark.negative_control("retries without end")
def test_a_send_tried_for_ever_is_noticed(fabric, expect):
    """With retries without end the send is refused again and again, and nobody gives up."""
    scenario = Scenario(
        TWO_FOR_ONE, qos=starved(20, 7), duration=S, may_fail=["pair-0"], sample_every=10 * MS
    )
    result = fabric.run(scenario)

    count = result.counters
    expect("refusals sent", count[Counter.RNR_NAK_SENT], equals(7, source=REFUSALS))
    expect(
        "queue pairs that gave up",
        count[Counter.RNR_RETRY_EXHAUSTED],
        equals(1, source="the one without a receive"),
    )


@pytest.mark.plan("RTX-07")
@pytest.mark.parametrize("repost", [500 * US, 20 * MS])
def test_a_receiver_that_is_late_costs_waits_only(fabric, expect, repost):
    """With receives posted again after a while and retries without end all 32 sends complete, some after a wait."""
    late = Pair(1024, verb="send", messages=32, recv_depth=4, recv_repost=repost)
    result = fabric.run(Scenario(late, qos=starved(14, 7)))

    flow, count = result.flow("pair-0"), result.counters
    spaced = at_most(flow.fct_ps / rnr_timer_ps(14) + 1, margin=0.0, source=SPACED)
    expect("messages complete", flow.messages_completed, equals(32, source="what was posted"))
    expect(
        "bytes delivered",
        flow.bytes_delivered,
        equals(32 * 1024, source="what was sent, each byte once"),
        "B",
    )
    expect(
        "refusals sent",
        count[Counter.RNR_NAK_SENT],
        at_least(1, margin=0.0, source="there are fewer receives than sends"),
    )
    expect("refusals sent, at most", count[Counter.RNR_NAK_SENT], spaced)
    expect(
        "queue pairs that gave up",
        count[Counter.RNR_RETRY_EXHAUSTED],
        equals(0, source="retries outlast what keeps it waiting"),
    )


@pytest.mark.plan("RTX-07")
@pytest.mark.negative_control("a receiver that asks for four times the wait")
def test_a_longer_wait_is_noticed(fabric, expect):
    """Timer code 24 does not pass for 20: the sender gives up too late."""
    result = fabric.run(Scenario(TWO_FOR_ONE, qos=starved(24, 6), may_fail=["pair-0"]))

    expect("time to give up", failed_after_ps(result, "pair-0") / 1e9, law(20, 6), "ms")


@pytest.mark.plan("RTX-07")
@pytest.mark.negative_control("a receive for every send")
def test_a_receiver_that_is_ready_is_noticed(fabric, expect):
    """With 32 receives nothing is refused and all sends complete."""
    ready = Pair(1024, verb="send", messages=32, recv_depth=32)
    result = fabric.run(Scenario(ready, qos=starved(16, 6), may_fail=["pair-0"]))

    flow, count = result.flow("pair-0"), result.counters
    expect("messages complete", flow.messages_completed, equals(16), source="the receives")
    expect("refusals sent", count[Counter.RNR_NAK_SENT], equals(7, source=REFUSALS))
    expect("refusals received", count[Counter.RNR_NAK_RECEIVED], equals(7, source=REFUSALS))
