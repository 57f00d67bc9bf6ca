"""Many queue pairs at once, each with receives of its own or all with shared ones."""

from __future__ import annotations

import pytest

from harness import Capability, Counter, KiB, Nic, Qos, Scenario, VerbsOptions, equals, within
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.HOST_COUNTERS)

BY_MTU = "4 packets of 1024 B a message; a path that loses some may repeat them, but not all"
READY = "each queue pair has a receive for each message"
WHOLE = "queue pairs, times messages, times bytes"
STINGY = Qos(nic=Nic(rnr_retry=0))


@pytest.mark.plan("VERB-04")
@pytest.mark.parametrize(
    ("verb", "qps"), [("write", 64), ("send", 32), pytest.param("read", 32, marks=pytest.mark.slow)]
)
def test_many_queue_pairs_each_deliver(fabric, expect, verb, qps):
    """Messages of 32 to 64 queue pairs at once all arrive; nobody is refused and nobody gives up."""
    traffic = Pair(4 * KiB, verb=verb, qps=qps, messages=4)
    result = fabric.run(Scenario(traffic, qos=Qos(nic=Nic(ack_timeout=17))))

    flow, count = result.flow("pair-0"), result.counters
    ends = {"read": fabric.topology.host_ports[-1]}
    sent = count.at(ends.get(verb, fabric.topology.host_ports[0]))[Counter.TX_PACKETS]
    packets = 4 * qps * 4
    expect("queue pairs", len(flow.qps), equals(qps, source="those that were asked for"))
    expect("messages complete", flow.messages_completed, equals(4 * qps, source=WHOLE))
    expect("packets sent", sent, within(packets, 2 * packets - 1, source=BY_MTU))
    expect("bytes delivered", flow.bytes_delivered, equals(4 * qps * 4 * KiB, source=WHOLE), "B")
    expect("receivers not ready", count[Counter.RNR_NAK_SENT], equals(0, source=READY))
    expect("queue pairs that gave up", count[Counter.RETRY_EXHAUSTED], equals(0, source="nothing is lost"))


@pytest.mark.plan("VERB-05")
@pytest.mark.needs(Capability.SRQ)
@pytest.mark.parametrize("qps", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_queue_pairs_share_receives(fabric, expect, qps):
    """Sends of several queue pairs take receives from one shared queue, and each byte is right."""
    traffic = Pair(4 * KiB, verb="send", qps=qps, messages=8, verbs=VerbsOptions(srq=True))
    result = fabric.run(Scenario(traffic, may_fail=["*"]))

    flow = result.flow("pair-0")
    expect("messages complete", flow.messages_completed, equals(8 * qps, source=WHOLE))
    expect("bytes verified", flow.payload_verified_bytes, equals(8 * qps * 4 * KiB, source=WHOLE), "B")
    expect(
        "bytes wrong", flow.payload_mismatched_bytes, equals(0, source="bytes arrive as they were sent"), "B"
    )


@pytest.mark.plan("VERB-04")
@pytest.mark.negative_control("two receives a queue pair where four are needed")
def test_queue_pairs_that_starve_are_noticed(fabric, expect):
    """Queue pairs whose receives run out fail, and their messages are missing."""
    traffic = Pair(4 * KiB, verb="send", qps=32, messages=4, recv_depth=2)
    result = fabric.run(Scenario(traffic, qos=STINGY, may_fail=["*"]))

    flow, count = result.flow("pair-0"), result.counters
    expect("messages complete", flow.messages_completed, equals(4 * 32, source=WHOLE))
    expect("receivers not ready", count[Counter.RNR_NAK_SENT], equals(0, source=READY))


@pytest.mark.plan("VERB-05")
@pytest.mark.needs(Capability.SRQ)
@pytest.mark.negative_control("half of the receives that the shared queue needs")
def test_a_shared_queue_that_starves_is_noticed(fabric, expect):
    """When the shared receives run out messages are missing."""
    shared = VerbsOptions(srq=True)
    traffic = Pair(4 * KiB, verb="send", qps=8, messages=8, recv_depth=4, verbs=shared)
    result = fabric.run(Scenario(traffic, qos=STINGY, may_fail=["*"]))

    expect("messages complete", result.flow("pair-0").messages_completed, equals(8 * 8, source=WHOLE))
