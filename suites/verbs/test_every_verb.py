"""Messages of every size around the MTU arrive whole, by every transport, in as many packets as the MTU says."""

from __future__ import annotations

import pytest

from harness import Capability, Counter, Impair, KiB, MiB, Nic, Qos, Scenario, equals, within
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.HOST_COUNTERS)

MESSAGES = 3
# A timer of half a second: on slow machines, too, no timeout adds packets to those that are counted.
PATIENT = 17
WHOLE = "what was sent, each byte once"
BY_MTU = "ceil(size / MTU) packets a message; and 16 for what hosts say by themselves (ARP, neighbours)"


def around(mtu, *more):
    """Sizes at which a message needs another packet, and others."""
    return (1, mtu - 1, mtu, mtu + 1, *more)


def packets(sizes, mtu):
    """Data packets of all messages of these sizes."""
    return MESSAGES * sum(-(-size // mtu) for size in sizes)


@pytest.mark.plan("VERB-01", "MTU-01")
@pytest.mark.catches("mtu_halved", "packets sent")
@pytest.mark.parametrize(
    ("verb", "mtu"),
    [
        ("write", 256),
        ("read", 4096),
        ("send", 2048),
        pytest.param("write", 4096, marks=pytest.mark.slow),
        pytest.param("read", 1024, marks=pytest.mark.slow),
    ],
)
def test_reliable_messages_of_every_size_arrive(fabric, expect, verb, mtu):
    """Writes, reads and sends of 1 B to 64 KB and a byte: all complete, all bytes arrive, in packets of the MTU."""
    sizes = around(mtu, 64 * KiB + 1)
    traffic = [Pair(size, verb=verb, messages=MESSAGES, name=f"{size}B") for size in sizes]
    result = fabric.run(Scenario(traffic, qos=Qos(nic=Nic(mtu=mtu, ack_timeout=PATIENT))))

    count = packets(sizes, mtu)
    ends = {"read": fabric.topology.host_ports[-1]}
    sender = result.counters.at(ends.get(verb, fabric.topology.host_ports[0]))
    expect(
        "messages complete",
        result.flows.total("messages_completed"),
        equals(MESSAGES * len(sizes), source=WHOLE),
    )
    expect(
        "bytes delivered",
        result.flows.total("bytes_delivered"),
        equals(MESSAGES * sum(sizes)),
        "B",
        source=WHOLE,
    )
    expect("packets sent", sender[Counter.TX_PACKETS], within(count, count + 16), source=BY_MTU)


@pytest.mark.plan("VERB-01")
@pytest.mark.parametrize("verb", ["write", "read", pytest.param("send", marks=pytest.mark.slow)])
def test_long_messages_arrive(fabric, expect, verb):
    """Eight messages of 512 KiB, one at a time, arrive whole, in no more packets of 4096 B than they need."""
    # one in flight: a switch with a buffer of 1 MB holds it, so that nothing is lost and repeated
    qos = Qos(nic=Nic(mtu=4096, ack_timeout=PATIENT))
    result = fabric.run(Scenario(Pair(512 * KiB, verb=verb, messages=8, max_outstanding=1), qos=qos))

    ends = {"read": fabric.topology.host_ports[-1]}
    sender = result.counters.at(ends.get(verb, fabric.topology.host_ports[0]))
    expect("packets sent", sender[Counter.TX_PACKETS], within(1024, 1024 + 16, source=BY_MTU))
    expect("messages complete", result.flow("pair-0").messages_completed, equals(8, source=WHOLE))
    expect("bytes delivered", result.flow("pair-0").bytes_delivered, equals(4 * MiB), "B", source=WHOLE)


@pytest.mark.plan("VERB-01")
@pytest.mark.needs(Capability.UNRELIABLE_TRANSPORTS)
@pytest.mark.parametrize("mtu", [1024, 4096])
def test_unreliable_sends_of_every_size_arrive(fabric, expect, mtu):
    """On a path that loses nothing sends of UC, of any size, and of UD, up to the MTU, arrive whole."""
    connected = [
        Pair(size, verb="send", transport="uc", messages=MESSAGES, name=f"uc-{size}B")
        for size in around(mtu, 16 * KiB + 1)
    ]
    datagrams = [
        Pair(size, verb="send", transport="ud", messages=MESSAGES, name=f"ud-{size}B")
        for size in (1, mtu - 1, mtu)
    ]
    result = fabric.run(Scenario([*connected, *datagrams], qos=Qos(nic=Nic(mtu=mtu))))

    sizes = (*around(mtu, 16 * KiB + 1), 1, mtu - 1, mtu)
    count, sender = packets(sizes, mtu), result.counters.at(fabric.topology.host_ports[0])
    expect("packets sent", sender[Counter.TX_PACKETS], within(count, count + 16), source=BY_MTU)
    expect(
        "messages sent", result.flows.total("messages_completed"), equals(MESSAGES * len(sizes), source=WHOLE)
    )
    expect(
        "bytes delivered",
        result.flows.total("bytes_delivered"),
        equals(MESSAGES * sum(sizes)),
        "B",
        source=WHOLE,
    )


@pytest.mark.plan("VERB-01")
@pytest.mark.needs(Capability.UNRELIABLE_TRANSPORTS, Capability.PACKET_DROP)
@pytest.mark.negative_control("a packet lost where nothing sends it again")
@pytest.mark.parametrize("transport", ["uc", "ud"])
def test_a_message_with_a_hole_is_noticed(fabric, expect, transport):
    """Unreliable transports do not repeat a lost packet, and the bytes that are missing show."""
    traffic = Pair(1024, verb="send", transport=transport, messages=8)
    drop = Impair(0, "pair-0", "drop", packets=(3,))
    result = fabric.run(Scenario(traffic, events=[drop], may_fail=["pair-0"]))

    flow = result.flow("pair-0")
    expect("bytes delivered", flow.bytes_delivered, equals(8 * 1024), "B", source=WHOLE)


@pytest.mark.plan("MTU-01")
@pytest.mark.negative_control("half the MTU that is claimed")
def test_a_smaller_mtu_is_noticed(fabric, expect):
    """With packets of 1024 B twice as many leave as 2048 B would need."""
    qos = Qos(nic=Nic(mtu=1024, ack_timeout=PATIENT))
    result = fabric.run(Scenario(Pair(64 * KiB, messages=MESSAGES), qos=qos))

    count = packets([64 * KiB], 2048)
    sender = result.counters.at(fabric.topology.host_ports[0])
    expect("packets sent", sender[Counter.TX_PACKETS], within(count, count + 16), source=BY_MTU)
