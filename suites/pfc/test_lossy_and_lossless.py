"""Where lossless and lossy traffic overload a port, only the lossy one loses, and by what the port cannot carry."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    KB,
    MB,
    MS,
    US,
    Buffer,
    Capability,
    Counter,
    Ecn,
    Ets,
    Nic,
    Pfc,
    Qos,
    Scenario,
    approx,
    at_least,
    equals,
    within,
)
from harness.analysis.transport import Wire
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.PFC,
        Capability.ETS,
        Capability.BUFFER_CONFIG,
        Capability.DROP_REASONS,
        Capability.SWITCH_COUNTERS,
        Capability.UNRELIABLE_TRANSPORTS,
    ),
]

# Lossy traffic is datagrams of one frame each, so that a loss is not sent again and the load stays what it is. It is
# dropped where its queue is longest, at the egress port.
SIZE, LONG = 1 * MB, 4 * MS
BUFFER, NIC = Buffer(size=SIZE, lossy_alpha=8.0, egress_alpha=1.0), Nic(mtu=4096)
PAYLOAD = Wire().efficiency(4096)
HELD = SIZE * 8 / (100 * LONG / 1000)
"""Part of what the port carries in the run that can still be in the buffer at its end."""
SPARED = equals(
    0, source="a lossless priority is paused, a lossy one below its share has a queue that stays short"
)
RATE = 0.95
ASKED = "the load offered, which is within its weight's share, less headers; 5 % as in the SONiC PFC suite"


@pytest.mark.plan("PFC-08")
@pytest.mark.catches("ets_not_work_conserving", "part of priority 0 dropped")
def test_only_the_overloaded_lossy_class_loses(fabric, expect):
    """Priority 0 offers 100 % beside 20 % lossless and 7 % of another class: only priority 0 loses, 27 of its 100 %."""
    flows = [
        Incast(("h1", "h2"), 4096, "h9", verb="send", transport="ud", priority=0, rate=50 * GBPS, messages=0),
        Pair(1 * MB, "h3", "h9", priority=3, rate=20 * GBPS, messages=0, name="lossless"),
        Pair(
            4096,
            "h4",
            "h9",
            verb="send",
            transport="ud",
            priority=1,
            rate=7 * GBPS,
            messages=0,
            name="modest",
        ),
    ]
    result = fabric.run(
        Scenario(flows, qos=Qos(pfc=Pfc({3}), ets=Ets(), buffer=BUFFER, nic=NIC), duration=LONG)
    )

    lossy = result.flows.of("incast")
    excess = within(
        0.27 - HELD, 0.27, source="127 % offered: the port carries all but 27 of the 100; less one buffer"
    )
    expect("part of priority 0 dropped", lossy.total("packets_dropped") / lossy.total("packets_sent"), excess)
    expect("dropped of priority 1", result.flow("modest-0").packets_dropped, SPARED)
    expect("dropped of the lossless priority", result.flow("lossless-0").packets_dropped, SPARED)
    rate = at_least(RATE * 20 * PAYLOAD, source=ASKED)
    expect("goodput of the lossless priority", result.flow("lossless-0").goodput_gbps, rate, "Gb/s")


@pytest.mark.plan("PFC-09")
@pytest.mark.catches("ets_weights_ignored", "part of lossy dropped")
@pytest.mark.parametrize(("first", "second"), [(40, 20), (20, 40)])
def test_lossy_and_lossless_share_by_weight(fabric, expect, first, second):
    """60 % lossless and 60 % lossy at weights of 60 and 40: lossless has all it asks for, lossy loses a third."""
    flows = [
        Pair(1 * MB, "h1", "h9", priority=3, rate=first * GBPS, messages=0, name="lossless-h1"),
        Pair(1 * MB, "h2", "h9", priority=3, rate=second * GBPS, messages=0, name="lossless-h2"),
        Pair(
            4096,
            "h3",
            "h9",
            verb="send",
            transport="ud",
            priority=0,
            rate=second * GBPS,
            messages=0,
            name="lossy-h3",
        ),
        Pair(
            4096,
            "h4",
            "h9",
            verb="send",
            transport="ud",
            priority=0,
            rate=first * GBPS,
            messages=0,
            name="lossy-h4",
        ),
    ]
    qos = Qos(pfc=Pfc({3}), ets=Ets({3: 60, 0: 40}), buffer=BUFFER, nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=LONG))

    lossless, lossy = result.flows.of("lossless"), result.flows.of("lossy")
    third = within(
        1 / 3 - HELD / 0.6, 1 / 3, source="a weight of 40 carries 40 of the 60 offered; less one buffer"
    )
    expect("part of lossy dropped", lossy.total("packets_dropped") / lossy.total("packets_sent"), third)
    expect("dropped of lossless", lossless.total("packets_dropped"), SPARED)
    expect("goodput of lossless", lossless.goodput_gbps, at_least(RATE * 60 * PAYLOAD, source=ASKED), "Gb/s")


@pytest.mark.plan("PFC-10")
def test_bursts_of_lossless_cost_lossy_what_the_port_lacks(fabric, expect):
    """30 % lossless in bursts and four times 20 % lossy: the port is never idle, so that lossy loses 10 of its 80 %."""
    burst = 50 * KB
    flows = [
        Pair(burst, "h1", "h9", priority=3, messages=0, interval=20 * US, name="lossless-h1"),
        Pair(burst, "h2", "h9", priority=3, messages=0, interval=40 * US, name="lossless-h2"),
        Incast(
            ("h3", "h4", "h5", "h6"), 4096, "h9",
            verb="send", transport="ud", priority=0, rate=20 * GBPS, messages=0, name="lossy",
        ),
    ]  # fmt: skip
    result = fabric.run(
        Scenario(flows, qos=Qos(pfc=Pfc({3}), ets=Ets(), buffer=BUFFER, nic=NIC), duration=LONG)
    )

    lossless, lossy = result.flows.of("lossless"), result.flows.of("lossy")
    offered = 20 / PAYLOAD + 10 / PAYLOAD
    excess = (offered + 80 - 100) / 80
    lost = within(
        excess - HELD / 0.8, excess, source="what the port does not carry of 110 %, less one buffer"
    )
    expect("part of lossy dropped", lossy.total("packets_dropped") / lossy.total("packets_sent"), lost)
    expect("dropped of lossless", lossless.total("packets_dropped"), SPARED)
    expect("goodput of lossless", lossless.goodput_gbps, at_least(RATE * 30, source=ASKED), "Gb/s")


@pytest.mark.plan("PFC-08")
@pytest.mark.negative_control("the modest flow in the priority that is overloaded")
def test_losses_beside_the_overload_are_noticed(fabric, expect):
    """A flow that shares the queue of the overload loses with it, however little it sends."""
    flows = [
        Incast(("h1", "h2"), 4096, "h9", verb="send", transport="ud", priority=0, rate=50 * GBPS, messages=0),
        Pair(1 * MB, "h3", "h9", priority=3, rate=20 * GBPS, messages=0, name="lossless"),
        Pair(
            4096,
            "h4",
            "h9",
            verb="send",
            transport="ud",
            priority=0,
            rate=7 * GBPS,
            messages=0,
            name="modest",
        ),
    ]
    qos = Qos(pfc=Pfc({3}), ets=Ets(), buffer=BUFFER, nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=LONG))

    expect("dropped of priority 1", result.flow("modest-0").packets_dropped, SPARED)
    expect("dropped of the lossless priority", result.flow("lossless-0").packets_dropped, SPARED)


@pytest.mark.plan("PFC-09", "PFC-10")
@pytest.mark.negative_control("lossy traffic served before all other")
def test_a_lossless_priority_that_is_starved_is_noticed(fabric, expect):
    """When lossy is served first it loses nothing, and the lossless priority gets what is left."""
    flows = [
        Pair(1 * MB, "h1", "h9", priority=3, rate=40 * GBPS, messages=0, name="lossless-h1"),
        Pair(1 * MB, "h2", "h9", priority=3, rate=20 * GBPS, messages=0, name="lossless-h2"),
        Incast(
            2, 4096, "h9", verb="send", transport="ud", priority=0, rate=30 * GBPS, messages=0, name="lossy"
        ),
    ]
    qos = Qos(pfc=Pfc({3}), ets=Ets(strict={0}), buffer=BUFFER, nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=LONG))

    lossless, lossy = result.flows.of("lossless"), result.flows.of("lossy")
    third = within(
        1 / 3 - HELD / 0.6, 1 / 3, source="a weight of 40 carries 40 of the 60 offered; less one buffer"
    )
    expect("part of lossy dropped", lossy.total("packets_dropped") / lossy.total("packets_sent"), third)
    expect("goodput of lossless", lossless.goodput_gbps, at_least(RATE * 60 * PAYLOAD, source=ASKED), "Gb/s")


SENDERS = ("h1", "h2", "h3")
THIRD = approx(
    100 * PAYLOAD / 3, rel=0.05, source="equal weights of three priorities; 5 % as in the SONiC RoCEv2 suite"
)
PAUSED = at_least(1, source="three senders offer each lossless priority nine times its share")
MARKING = Ecn(kmin=10 * KB, kmax=40 * KB, priorities={3, 4})
UNANSWERED = equals(0, source="a NAK answers a loss; what is lossy is datagrams here")
UNNOTIFIED = equals(0, source="a CNP answers a mark")
UNMARKED = equals(0, source="RFC 3168: Not-ECT is never changed to CE")


@pytest.mark.plan("PFC-15")
@pytest.mark.needs(Capability.ECN, Capability.CNP, Capability.PER_PRIORITY_COUNTERS)
def test_a_mixed_incast_loses_only_what_is_lossy(fabric, expect):
    """Three senders overload two lossless and a lossy priority of one port: equal thirds, pauses, no NAK, no CNP."""
    flows = [
        Incast(SENDERS, 128 * KB, "h9", priority=3, ect=False, messages=0, name="three"),
        Incast(SENDERS, 128 * KB, "h9", priority=4, ect=False, messages=0, name="four"),
        Incast(
            SENDERS, 4096, "h9", verb="send", transport="ud", priority=0, ect=False, messages=0, name="lossy"
        ),
    ]
    qos = Qos(pfc=Pfc({3, 4}), ets=Ets(), ecn=MARKING, buffer=BUFFER, nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=LONG))

    sender = result.counters.at("h1")
    lossless = [result.flows.of("three"), result.flows.of("four")]
    expect("dropped of priority 3", lossless[0].total("packets_dropped"), SPARED)
    expect("dropped of priority 4", lossless[1].total("packets_dropped"), SPARED)
    expect(
        "dropped of lossy", result.flows.of("lossy").total("packets_dropped"), at_least(1, source="overload")
    )
    expect(
        "NAKs",
        result.counters[Counter.PACKET_SEQ_ERR],
        UNANSWERED,
    )
    expect("pauses of priority 3", sender.priority(3)[Counter.PAUSE_RX], PAUSED)
    expect("pauses of priority 4", sender.priority(4)[Counter.PAUSE_RX], PAUSED)
    expect("pauses of lossy", sender.priority(0)[Counter.PAUSE_RX], equals(0, source="PFC is off there"))
    expect("goodput of priority 3", lossless[0].goodput_gbps, THIRD, "Gb/s")
    expect("goodput of priority 4", lossless[1].goodput_gbps, THIRD, "Gb/s")
    expect("marked packets", result.counters[Counter.ECN_MARKED], UNMARKED)
    expect("CNPs", result.counters[Counter.CNP_SENT], UNNOTIFIED)


@pytest.mark.plan("PFC-15")
@pytest.mark.negative_control("one of the lossless priorities left lossy")
@pytest.mark.needs(Capability.PER_PRIORITY_COUNTERS)
def test_a_lossless_priority_left_lossy_is_noticed(fabric, expect):
    """Without PFC on priority 4 it drops and is answered by NAKs."""
    flows = [
        Incast(SENDERS, 128 * KB, "h9", priority=3, ect=False, messages=0, name="three"),
        Incast(SENDERS, 128 * KB, "h9", priority=4, ect=False, messages=0, name="four"),
    ]
    qos = Qos(pfc=Pfc({3}), ets=Ets(), buffer=BUFFER, nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=LONG))

    expect("dropped of priority 4", result.flows.of("four").total("packets_dropped"), SPARED)
    expect("NAKs", result.counters[Counter.PACKET_SEQ_ERR], UNANSWERED)
    expect("pauses of priority 4", result.counters.at("h1").priority(4)[Counter.PAUSE_RX], PAUSED)


@pytest.mark.plan("PFC-15")
@pytest.mark.negative_control("packets that can be marked")
@pytest.mark.needs(Capability.ECN, Capability.CNP)
def test_marks_in_the_mixed_incast_are_noticed(fabric, expect):
    """ECN-capable packets of the same incast are marked and notified."""
    flows = [
        Incast(SENDERS, 128 * KB, "h9", priority=3, messages=0, name="three"),
        Incast(SENDERS, 128 * KB, "h9", priority=4, messages=0, name="four"),
    ]
    qos = Qos(pfc=Pfc({3, 4}), ets=Ets(), ecn=MARKING, buffer=BUFFER, nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=LONG))

    expect("marked packets", result.counters[Counter.ECN_MARKED], UNMARKED)
    expect("CNPs", result.counters[Counter.CNP_SENT], UNNOTIFIED)
