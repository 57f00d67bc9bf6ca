"""A queue pair that failed is brought back, and carries right data again."""

from __future__ import annotations

import pytest

from harness import Capability, Fault, KiB, Nic, Qos, Scenario, VerbsOptions, at_most, equals
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.REAL_VERBS)

SOON = Qos(nic=Nic(ack_timeout=12, retry_count=2))
AGAIN = "all messages, sent again without the fault"
TIME = "ours: a control channel of a few round trips; hardware needs 0.8 to 1.8 ms for the QP itself"


@pytest.mark.plan("RTX-09")
@pytest.mark.parametrize(
    ("recover", "fault", "verb"),
    [
        ("reset", Fault.BAD_RKEY, "write"),
        pytest.param("rebuild", Fault.BAD_RKEY, "write", marks=pytest.mark.slow),
        ("reset", Fault.LONG_SEND, "send"),
        ("rebuild", Fault.NO_RECEIVER, "read"),
    ],
)
def test_a_failed_queue_pair_carries_traffic_again(fabric, expect, recover, fault, verb):
    """After the error the QPs are reset or made anew; then every message completes and every byte is right."""
    options = VerbsOptions(fault=fault, recover=recover)
    traffic = Pair(4 * KiB, verb=verb, messages=8, verbs=options)
    result = fabric.run(Scenario(traffic, qos=SOON, may_fail=["pair-0"]))

    flow = result.flow("pair-0")
    expect("messages complete", flow.messages_completed, equals(8, source=AGAIN))
    expect("bytes verified", flow.payload_verified_bytes, equals(8 * 4 * KiB, source=AGAIN), "B")
    expect(
        "bytes wrong",
        flow.payload_mismatched_bytes,
        equals(0, source="every byte is the one that was sent"),
        "B",
    )
    expect("time to the first good completion", flow.recovery_ps / 1e9, at_most(2000, source=TIME), "ms")
    expect("of it on the queue pairs", flow.recovery_local_ps / 1e9, at_most(500, source=TIME), "ms")


@pytest.mark.plan("RTX-09")
@pytest.mark.negative_control("a queue pair that is left in its error")
def test_a_queue_pair_that_stays_failed_is_noticed(fabric, expect):
    """Without recovery no message completes."""
    traffic = Pair(4 * KiB, messages=8, verbs=VerbsOptions(fault=Fault.BAD_RKEY))
    result = fabric.run(Scenario(traffic, qos=SOON, may_fail=["pair-0"]))

    expect("messages complete", result.flow("pair-0").messages_completed, equals(8, source=AGAIN))
