"""Whatever happens to packets on the way: the bytes that arrive are those that were sent, each once."""

from __future__ import annotations

import pytest

from harness import MB, US, Capability, Impair, Nic, Qos, Scenario, equals
from harness.analysis.completion import right_payload_bytes
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("dumbbell"),
    pytest.mark.needs(
        Capability.PACKET_DROP, Capability.PACKET_CORRUPT, Capability.PACKET_DUPLICATE, Capability.PACKET_DELAY,
        Capability.LOSS_RECOVERY_CHOICE, Capability.UNRELIABLE_TRANSPORTS,
    ),
]  # fmt: skip

SIZE = 4 * MB
WHOLE = "what was sent, each byte once"
DIFFERENT = "the invariant CRC guards the payload from end to end (annex A17.3.3)"
MISHAPS = {
    "dropped": [Impair(0, "pair-0", "drop", fraction=0.01)],
    "broken": [Impair(0, "pair-0", "corrupt", fraction=0.01)],
    "twice": [Impair(0, "pair-0", "duplicate", fraction=0.01)],
    "late": [Impair(0, "pair-0", "delay", fraction=0.01, delay=2 * US)],
    "all": [
        Impair(0, "pair-0", "drop", fraction=0.005),
        Impair(0, "pair-0", "corrupt", packets=tuple(range(5, 900, 100))),
        Impair(0, "pair-0", "duplicate", packets=tuple(range(55, 900, 100))),
    ],
}


def hosts(recovery):
    """Hosts that recover in this way, with a timer of 4 ms."""
    return Qos(nic=Nic(mtu=4096, loss_recovery=recovery, ack_timeout=10))


@pytest.mark.plan("RTX-11")
@pytest.mark.parametrize(
    "mishap",
    [
        "dropped",
        pytest.param("broken", marks=pytest.mark.catches("corrupt_delivered", "payload that differs")),
        pytest.param("twice", marks=pytest.mark.catches("duplicate_delivered", "payload delivered")),
        "late",
        "all",
    ],
)
@pytest.mark.parametrize("recovery", ["go_back_n", "selective_repeat"])
@pytest.mark.parametrize("verb", ["write", "read", "send"])
def test_payload_survives(fabric, expect, verb, recovery, mishap):
    """1 % of packets are lost, broken, doubled or late: every byte is right and arrives once."""
    traffic = Pair(SIZE, verb=verb)
    result = fabric.run(
        Scenario(traffic, qos=hosts(recovery), events=MISHAPS[mishap], may_fail=["pair-0"], sample_every=0)
    )

    flow = result.flow("pair-0")
    expect("payload delivered", flow.bytes_delivered, equals(SIZE, source=WHOLE), "B")
    expect("payload that is right", right_payload_bytes(flow), equals(SIZE, source=WHOLE), "B")
    expect("payload that differs", flow.payload_mismatched_bytes, equals(0, source=DIFFERENT), "B")


@pytest.mark.plan("RTX-11")
@pytest.mark.negative_control("an unreliable transport, which repeats nothing")
def test_payload_that_is_lost_is_noticed(fabric, expect):
    """Without repetition a lost packet leaves a hole."""
    traffic = Pair(SIZE, transport="uc")
    result = fabric.run(
        Scenario(
            traffic, qos=hosts("go_back_n"), events=MISHAPS["dropped"], may_fail=["pair-0"], sample_every=0
        )
    )

    flow = result.flow("pair-0")
    expect("payload delivered", flow.bytes_delivered, equals(SIZE, source=WHOLE), "B")
    expect("payload that is right", right_payload_bytes(flow), equals(SIZE, source=WHOLE), "B")
