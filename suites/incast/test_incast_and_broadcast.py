"""A host that receives from four while it sends to four: its acknowledgements come in time."""

from __future__ import annotations

import pytest

from harness import (
    MB,
    Ack,
    Capability,
    Counter,
    Dcqcn,
    Ecn,
    Ets,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    equals,
)
from harness.patterns.incast import Incast
from harness.patterns.outcast import Outcast

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.PFC, Capability.ECN, Capability.DCQCN, Capability.HOST_COUNTERS),
]

IN = Incast(("h1", "h2", "h3", "h4"), 10 * MB, "h9", name="in")
OUT = Outcast(("h5", "h6", "h7", "h8"), 10 * MB, "h9", name="out")
# 1.05 ms. The data wait behind at most 1600 KB (0.13 ms) of queue before all is marked, and the acknowledgements behind
# what one host may have begun.
QOS = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=Dcqcn("paper"), nic=Nic(mtu=4096, ack_timeout=8))
IN_TIME = equals(0, source="sonic-mgmt pull 21514, TC11: the queue of acknowledgements does not time out")
ONCE = equals(0, source="nothing is lost, so nothing is sent again")
KEPT = equals(0, source="PFC holds senders back before the buffer is full")


@pytest.mark.plan("CC-11")
def test_acknowledgements_pass_a_broadcast(fabric, expect):
    """Four to one and one to four at the same host: no timeout, nothing sent again, nothing lost."""
    result = fabric.run(Scenario([IN, OUT], qos=QOS))

    count = result.counters
    expect("timeouts", count[Counter.LOCAL_ACK_TIMEOUT], IN_TIME)
    expect("packets sent again", count[Counter.RETRANSMITTED], ONCE)
    expect("frames dropped", count[Counter.DROPS], KEPT)
    both = at_least(80e6, margin=0.0, source="eight flows of 10 MB")
    expect("bytes acknowledged", result.flows.total("bytes_acked"), both, "B")


@pytest.mark.plan("CC-11")
@pytest.mark.needs(Capability.ETS)
@pytest.mark.negative_control("acknowledgements behind all data")
def test_late_acknowledgements_are_noticed(fabric, expect):
    """Acknowledgements of a priority that waits for all data are late: senders time out and send again."""
    starved = Qos(
        pfc=Pfc({3}),
        ecn=Ecn(),
        dcqcn=Dcqcn("paper"),
        ets=Ets(strict={3}),
        ack=Ack(priority=0),
        nic=Nic(mtu=4096, ack_timeout=8),
    )
    result = fabric.run(Scenario([IN, OUT], qos=starved, may_fail=["in-*", "out-*"]))

    expect("timeouts", result.counters[Counter.LOCAL_ACK_TIMEOUT], IN_TIME)
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], ONCE)
