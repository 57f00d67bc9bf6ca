"""Marks, CNPs sent, CNPs received and CNPs handled agree between switch, receiver and sender."""

from __future__ import annotations

import pytest

from harness import KB, MB, Capability, Cnp, Counter, Dcqcn, Ecn, Nic, Pfc, Qos, Scenario, at_least, equals
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.CNP, Capability.ECN, Capability.DCQCN, Capability.HOST_COUNTERS),
]

ECN = Ecn(kmin=100 * KB, kmax=400 * KB, pmax=0.1)
TRAFFIC = Incast(4, 4 * MB)
WIRE = "what one end counts as sent the other counts as received, when nothing is lost"
KEPT = equals(0, source="PFC holds senders back before the buffer is full")
MARKED = at_least(1, source="four senders at line rate fill the queue above Kmin")
ANSWERED = at_least(1, source="SIGCOMM 2015, 3.1: the first marked packet is answered at once")


@pytest.mark.plan("CNP-02")
@pytest.mark.catches("cnp_not_sent", "CNPs sent")
@pytest.mark.catches("cnp_ignored", "CNPs handled")
@pytest.mark.catches("counter_counts_other", "CNPs handled")
@pytest.mark.parametrize("preset", ["paper", "mlx5", "ns3"])
def test_marks_and_notifications_agree(fabric, expect, preset):
    """Marks of the switch arrive; each CNP answers at least one; every CNP sent is received and handled."""
    qos = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=Dcqcn(preset), nic=Nic(mtu=4096))
    result = fabric.run(Scenario(TRAFFIC, qos=qos))

    count = result.counters
    expect("frames dropped", count[Counter.DROPS], KEPT)
    expect("CNPs sent", count[Counter.CNP_SENT], ANSWERED)
    marks = at_least(count[Counter.CNP_SENT], margin=0.0, source="no CNP without a mark")
    expect("marks of the switch", count.switches[Counter.ECN_MARKED], marks)
    expect(
        "marks received",
        count.hosts[Counter.ECN_MARKED_RX],
        equals(count.switches[Counter.ECN_MARKED]),
        source=WIRE,
    )
    expect("CNPs received", count[Counter.CNP_RECEIVED], equals(count[Counter.CNP_SENT]), source=WIRE)
    expect(
        "CNPs handled",
        count[Counter.CNP_HANDLED],
        equals(count[Counter.CNP_SENT]),
        source="every sender reacts",
    )


@pytest.mark.plan("CNP-02")
@pytest.mark.negative_control("senders that do not react")
def test_ignored_notifications_are_noticed(fabric, expect):
    """Senders without a reaction point receive CNPs and handle none."""
    result = fabric.run(Scenario(TRAFFIC, qos=Qos(pfc=Pfc({3}), ecn=ECN, nic=Nic(mtu=4096))))

    count = result.counters
    expect("CNPs sent", count[Counter.CNP_SENT], ANSWERED)
    expect("CNPs received", count[Counter.CNP_RECEIVED], equals(count[Counter.CNP_SENT]), source=WIRE)
    expect(
        "CNPs handled",
        count[Counter.CNP_HANDLED],
        equals(count[Counter.CNP_SENT]),
        source="every sender reacts",
    )


@pytest.mark.plan("CNP-02")
@pytest.mark.negative_control("a receiver that sends no CNPs")
def test_absent_notifications_are_noticed(fabric, expect):
    """A receiver whose notification point is off sees marks and answers none."""
    qos = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=Dcqcn("mlx5"), cnp=Cnp(mode="none"), nic=Nic(mtu=4096))
    result = fabric.run(Scenario(TRAFFIC, qos=qos))

    expect("marks received", result.counters[Counter.ECN_MARKED_RX], MARKED)
    expect("CNPs sent", result.counters[Counter.CNP_SENT], ANSWERED)


@pytest.mark.plan("CNP-02")
@pytest.mark.topology("bad-cable")
@pytest.mark.needs(Capability.BIT_ERRORS)
@pytest.mark.negative_control("a cable with bit errors at the receiver")
def test_marks_lost_on_the_way_are_noticed(fabric, expect):
    """Where every packet is marked and some are lost behind the switch, fewer marks arrive than were made."""
    qos = Qos(pfc=Pfc({3}), ecn=Ecn(kmin=0, kmax=0), nic=Nic(mtu=4096))
    result = fabric.run(Scenario(Incast(("h1", "h3"), 16 * MB, "h2"), qos=qos))

    count = result.counters
    expect("frames dropped", count[Counter.DROPS], KEPT)
    marked = equals(count.switches[Counter.ECN_MARKED], source=WIRE)
    expect("marks received", count.hosts[Counter.ECN_MARKED_RX], marked)
