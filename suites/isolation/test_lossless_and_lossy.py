"""Lossless traffic that congests a port and lossy traffic through it leave each other alone."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    KB,
    MB,
    MS,
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
from harness.analysis.transport import Wire
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.PFC, Capability.ECN, Capability.DCQCN, Capability.ETS, Capability.PER_PRIORITY_COUNTERS
    ),
]

# Four senders ask for four times the port in priority 3; one asks for 30 Gb/s in priority 0, less than its half. What
# is lossy carries no ECN and is acknowledged, as TCP would be.
LOSSLESS = Incast(4, 1000 * MB, name="lossless")
LOSSY = Pair(256 * KB, "h5", "h9", messages=0, priority=0, ect=False, rate=30 * GBPS, name="lossy")
QOS = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=Dcqcn("paper"), ets=Ets({0: 50, 3: 50}), nic=Nic(mtu=4096))
ASKED = 30 * Wire().efficiency(4096)
DEGRADED = at_least(0.9, source="sonic-mgmt pull 26698: less than 10 % of degradation")
ONCE = equals(0, source="sonic-mgmt pull 26698: no retransmission of the lossy traffic")
WHOLE = equals(0, source="sonic-mgmt pull 26698: no loss of RoCE")
APART = equals(0, source="802.1Qbb: a pause names its priority, and priority 0 has none")
FELT = at_least(1, source="four times the load of the port fills its queue above Kmin")


@pytest.mark.plan("CC-08")
def test_lossy_traffic_passes_a_lossless_incast(fabric, expect):
    """30 Gb/s of lossy traffic pass a port that lossless traffic congests; neither loses, no pause crosses over."""
    result = fabric.run(Scenario([LOSSLESS, LOSSY], qos=QOS, duration=5 * MS))

    count, lossy = result.counters, result.flow("lossy-0")
    expect("marks on the lossless traffic", result.flows.of(LOSSLESS).total("ecn_marked"), FELT)
    expect("rate of the lossy traffic over what it asks for", lossy.goodput_gbps / ASKED, DEGRADED)
    expect("lossy packets sent again", lossy.packets_retransmitted, ONCE)
    expect("lossless packets dropped", result.flows.of(LOSSLESS).total("packets_dropped"), WHOLE)
    expect("pauses of the lossy priority", count.priority(0)[Counter.PAUSE_RX], APART)


@pytest.mark.plan("CC-08")
@pytest.mark.negative_control("both in one priority without PFC")
def test_traffic_that_is_not_apart_is_noticed(fabric, expect):
    """In the queue of the incast and without PFC the same traffic is slowed and dropped."""
    beside = Pair(256 * KB, "h5", "h9", messages=0, ect=False, rate=30 * GBPS, name="lossy")
    qos = Qos(nic=Nic(mtu=4096))
    result = fabric.run(Scenario([LOSSLESS, beside], qos=qos, duration=5 * MS))

    lossy = result.flow("lossy-0")
    expect("rate of the lossy traffic over what it asks for", lossy.goodput_gbps / ASKED, DEGRADED)
    expect("lossy packets sent again", lossy.packets_retransmitted, ONCE)
    expect("lossless packets dropped", result.flows.of(LOSSLESS).total("packets_dropped"), WHOLE)
