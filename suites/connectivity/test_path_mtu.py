"""Packets are as large as the path MTU that was set, with every MTU and verb, over every number of hops."""

from __future__ import annotations

import pytest

from harness import Capability, Counter, KiB, Nic, Pfc, Qos, Scenario, equals, within
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("leaf-spine-16"),
    pytest.mark.needs(Capability.HOST_COUNTERS, Capability.SWITCH_COUNTERS, Capability.PFC),
]

SIZE = 64 * KiB + 1
BY_MTU = "ceil(65537 / MTU) packets (InfiniBand Architecture 9.3.3)"
HEADERS = "payload and at most 78 B of headers a packet (write: Ethernet, IPv4, UDP, BTH, RETH, ICRC, FCS)"


def packets(mtu):
    """Packets of the message."""
    return -(-SIZE // mtu)


@pytest.mark.plan("MTU-01")
@pytest.mark.catches("mtu_halved", "data packets")
@pytest.mark.parametrize("mtu", [256, 512, 1024, 2048, 4096])
@pytest.mark.parametrize("verb", ["write", "read", "send"])
@pytest.mark.parametrize("target", ["h2", "h16"], ids=["one switch", "three switches"])
def test_packets_have_the_size_of_the_mtu(fabric, expect, mtu, verb, target):
    """A message of 64 KiB and a byte is cut into as many packets as the MTU says; all of them pass the path."""
    result = fabric.run(
        Scenario(Pair(SIZE, "h1", target, verb=verb), qos=Qos(pfc=Pfc({3}), nic=Nic(mtu=mtu)))
    )

    flow, count = result.flow("pair-0"), result.counters
    data = {"read": target}.get(verb, "h1")
    others = packets(mtu)
    expect("data packets", flow.packets_delivered, equals(packets(mtu), source=BY_MTU))
    expect(
        "frames of the data's sender",
        count.at(data)[Counter.TX_PACKETS],
        equals(packets(mtu), source=BY_MTU),
    )
    expect(
        "bytes of them",
        count.at(data)[Counter.TX_BYTES],
        within(SIZE + 62 * others, SIZE + 78 * others + 3, source=HEADERS),
        "B",
    )
    expect("bytes delivered", flow.bytes_delivered, equals(SIZE, source="what was sent"), "B")


@pytest.mark.plan("MTU-01")
@pytest.mark.negative_control("half the MTU that is claimed")
def test_packets_of_half_the_mtu_are_noticed(fabric, expect):
    """Twice as many packets do not pass for those of an MTU of 4096."""
    result = fabric.run(Scenario(Pair(SIZE, "h1", "h16"), qos=Qos(pfc=Pfc({3}), nic=Nic(mtu=2048))))

    flow, count = result.flow("pair-0"), result.counters
    expect("data packets", flow.packets_delivered, equals(packets(4096), source=BY_MTU))
    expect(
        "frames of the data's sender",
        count.at("h1")[Counter.TX_PACKETS],
        equals(packets(4096), source=BY_MTU),
    )
