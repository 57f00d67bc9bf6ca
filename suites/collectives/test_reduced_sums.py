"""An all-reduce over real verbs leaves the right sums in the memory of every rank."""

from __future__ import annotations

import pytest

from harness import Capability, Flows, KiB, Nic, Qos, Scenario, equals
from harness.analysis.reductions import checked_ranks, right_sum_bytes, wrong_sums
from harness.patterns.ring_all_reduce import RingAllReduce

pytestmark = pytest.mark.needs(Capability.REAL_VERBS, Capability.DEPENDENT_TRANSFERS)

QOS = Qos(nic=Nic(mtu=4096, ack_timeout=17))
SUMS = "element i is the sum over ranks r of (r + 1)(i mod 251 + 1)"


@pytest.mark.plan("CC-16")
@pytest.mark.parametrize(
    ("dtype", "channels"), [("int32", 1), ("float32", 1), pytest.param("int32", 2, marks=pytest.mark.slow)]
)
def test_every_rank_holds_the_sum(fabric, expect, dtype, channels):
    """A ring over all hosts: each rank's whole buffer is the sum over all ranks, element by element."""
    ranks = len(fabric.topology.hosts)
    size = 32 * KiB * ranks * channels
    ring = RingAllReduce(None, size, dtype=dtype, channels=channels)
    result = fabric.run(Scenario(ring, qos=QOS, may_fail=["*"]))

    sent = 2 * (ranks - 1) * size
    expect("bytes acknowledged", result.flows.total("bytes_acked"), equals(sent, source="2 S (n-1)"), "B")
    expect(
        "buffers compared", checked_ranks(result), equals(ranks * channels, source="one a rank and channel")
    )
    expect("bytes of right sums", right_sum_bytes(result), equals(ranks * size, source=SUMS), "B")
    expect("elements that are wrong", wrong_sums(result), equals(0, source=SUMS))


@pytest.mark.plan("CC-16")
@pytest.mark.negative_control("the last transfer of the ring left out")
def test_a_rank_without_its_last_chunk_is_noticed(fabric, expect):
    """A rank that never got its last chunk holds wrong sums."""
    ranks = len(fabric.topology.hosts)
    ring = RingAllReduce(None, 32 * KiB * ranks, dtype="int32")
    cut = Flows(ring.flows(fabric.topology, 1)[:-1])
    result = fabric.run(Scenario(cut, qos=QOS, may_fail=["*"]))

    expect("elements that are wrong", wrong_sums(result), equals(0, source=SUMS))
