"""A receiver of marked packets sends one CNP per interval for each thing the interval is kept for."""

from __future__ import annotations

import pytest

from harness import KB, MB, MS, US, Capability, Cnp, Counter, Ecn, Nic, Pfc, Qos, Scenario, at_least, within
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.CNP, Capability.ECN, Capability.HOST_COUNTERS),
]

# Thresholds of zero mark whatever waits; windows keep a queue standing. Nobody reacts: every packet arrives marked.
ECN = Ecn(kmin=0, kmax=0, pmax=1.0)
TRAFFIC = Incast(2, 1000 * MB, qps=4, window=64 * KB)
DURATION = 2 * MS
ROUND = 8 * 1106 * 80
"""ps in which each of eight QPs has a packet at the receiver: 1106 B of link time at 100 Gb/s, 80 ps a byte."""
SOURCE = "one at once, then one per interval, rounded up to the next packet of that QP, host or port"


@pytest.mark.plan("CNP-01")
@pytest.mark.catches("cnp_interval_ignored", "CNPs sent")
@pytest.mark.catches("cnp_scope_port", "CNPs sent")
@pytest.mark.parametrize("interval", [4 * US, 50 * US])
@pytest.mark.parametrize(("scope", "counted"), [("qp", 8), ("ip_pair", 2), ("port", 1)])
def test_cnps_are_spaced_by_interval_and_scope(fabric, expect, interval, scope, counted):
    """Eight marked QPs of two hosts: the CNPs sent are those of eight QPs, two pairs of hosts or one port."""
    qos = Qos(pfc=Pfc({3}), ecn=ECN, cnp=Cnp(interval=interval, scope=scope), nic=Nic(mtu=1024))
    result = fabric.run(Scenario(TRAFFIC, qos=qos, duration=DURATION))

    fewest = counted * (DURATION - 20 * US) / (interval + ROUND)
    most = counted * (DURATION / interval + 1)
    expect(
        "marked packets received",
        result.counters[Counter.ECN_MARKED_RX],
        at_least(20000),
        source="2 ms are 22600 packets",
    )
    expect("CNPs sent", result.counters[Counter.CNP_SENT], within(fewest, most, source=SOURCE))


@pytest.mark.plan("CNP-01")
@pytest.mark.negative_control("a CNP for every marked packet")
def test_an_ignored_interval_is_noticed(fabric, expect):
    """A receiver that answers every marked packet sends far more."""
    qos = Qos(pfc=Pfc({3}), ecn=ECN, cnp=Cnp(interval=0, scope="qp"), nic=Nic(mtu=1024))
    result = fabric.run(Scenario(TRAFFIC, qos=qos, duration=DURATION))

    fewest, most = 8 * (DURATION - 20 * US) / (4 * US + ROUND), 8 * (DURATION / (4 * US) + 1)
    expect("CNPs sent", result.counters[Counter.CNP_SENT], within(fewest, most, source=SOURCE))


@pytest.mark.plan("CNP-01")
@pytest.mark.negative_control("the interval kept per QP instead of per port")
def test_a_wrong_scope_is_noticed(fabric, expect):
    """A receiver that keeps the interval for each QP sends eight times the CNPs of a port."""
    qos = Qos(pfc=Pfc({3}), ecn=ECN, cnp=Cnp(interval=50 * US, scope="qp"), nic=Nic(mtu=1024))
    result = fabric.run(Scenario(TRAFFIC, qos=qos, duration=DURATION))

    fewest, most = (DURATION - 20 * US) / (50 * US + ROUND), DURATION / (50 * US) + 1
    expect("CNPs sent", result.counters[Counter.CNP_SENT], within(fewest, most, source=SOURCE))
