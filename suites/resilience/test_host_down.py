"""A host that loses power takes its own flows along, in time, and nobody else's."""

from __future__ import annotations

import pytest

from harness import KB, MS, Capability, HostDown, Nic, Qos, Scenario, at_least, equals, within
from harness.analysis.completion import failed_after_ps, status_code
from harness.analysis.transport import give_up_ps
from harness.patterns.outcast import Outcast
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.HOST_DOWN, Capability.REAL_VERBS)

OFF = 600 * MS
QOS = Qos(nic=Nic(mtu=4096, ack_timeout=14, retry_count=2))
GAVE_UP = "IBV_WC_RETRY_EXC_ERR"
LEAST = give_up_ps(14, 2) / 1e9
LAW = "InfiniBand 9.7.6.1.3: R + 1 timeouts of T to 4 T each, from the first message that is not answered"


def sending(**more):
    """20 KB each 20 ms, one at a time, for two seconds."""
    return {"messages": 100, "interval": 20 * MS, "max_outstanding": 1, **more}


@pytest.mark.plan("RES-05")
def test_the_peer_of_a_dead_host_gives_up_in_time(fabric, expect):
    """The receiver loses power in mid-run: its sender is told within the time of the timer and its retries."""
    down = HostDown(OFF, fabric.topology.hosts[-1])
    traffic = Pair(20 * KB, **sending())
    result = fabric.run(Scenario(traffic, qos=QOS, events=[down], may_fail=["*"], sample_every=10 * MS))

    flow = result.flow("pair-0")
    after = failed_after_ps(result, "pair-0") / 1e9
    expect("status", status_code(flow), equals(12, source=GAVE_UP))
    expect("time to give up", after, within(LEAST, 4 * LEAST, source=LAW), "ms")
    expect(
        "messages before the end", flow.messages_completed, at_least(15), source="one each 20 ms until then"
    )


@pytest.mark.plan("RES-05")
@pytest.mark.slow
@pytest.mark.deviation("timer and new requests")
def test_a_sender_with_more_to_send_gives_up_in_time(fabric, expect):
    """New messages behind the one that is not answered do not put off the time of the timer and its retries."""
    down = HostDown(OFF, fabric.topology.hosts[-1])
    traffic = Pair(20 * KB, **sending(max_outstanding=0))
    result = fabric.run(Scenario(traffic, qos=QOS, events=[down], may_fail=["*"], sample_every=10 * MS))

    after = failed_after_ps(result, "pair-0") / 1e9
    expect("status", status_code(result.flow("pair-0")), equals(12, source=GAVE_UP))
    expect("time to give up", after, within(LEAST, 4 * LEAST, source=LAW), "ms")


@pytest.mark.plan("RES-05")
def test_flows_of_other_hosts_go_on(fabric, expect):
    """Of the flows of one host to all others only that to the dead one fails; the others complete."""
    down = HostDown(OFF, fabric.topology.hosts[-1])
    everyone = Outcast(len(fabric.topology.hosts) - 1, 20 * KB, **sending())
    result = fabric.run(Scenario(everyone, qos=QOS, events=[down], may_fail=["*"], sample_every=10 * MS))

    done = sum(flow.status == "done" for flow in result.flows)
    expect("flows done", done, equals(len(fabric.topology.hosts) - 2, source="those to living hosts"))


@pytest.mark.plan("RES-05")
@pytest.mark.negative_control("a host that keeps its power")
def test_a_host_that_lives_is_noticed(fabric, expect):
    """Without the power cut all flows complete, those of the host among them."""
    everyone = Outcast(len(fabric.topology.hosts) - 1, 20 * KB, **sending())
    result = fabric.run(Scenario(everyone, qos=QOS, may_fail=["*"], sample_every=10 * MS))

    done = sum(flow.status == "done" for flow in result.flows)
    expect("flows done", done, equals(len(fabric.topology.hosts) - 2, source="those to living hosts"))
