"""Every byte that arrives is the byte that was sent, whatever verb, transport and MTU carry it and whatever is lost."""

from __future__ import annotations

import pytest

from harness import MS, Capability, Fault, Impair, KiB, Nic, Qos, Scenario, VerbsOptions, equals
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.REAL_VERBS)

MESSAGES = 3
REFUSED = VerbsOptions(fault=Fault.NO_REMOTE_ATOMIC)
CHECKED = "every byte sent, compared at the far end"
ALL = "all that were posted"
RIGHT = equals(0, source="every byte is the one that was sent")


@pytest.mark.plan("VERB-02", "RTX-11")
@pytest.mark.parametrize(
    ("transport", "verb", "mtu"),
    [
        ("rc", "write", 1024),
        ("rc", "write_imm", 4096),
        ("rc", "read", 2048),
        pytest.param("rc", "send", 4096, marks=pytest.mark.slow),
        ("rc", "send_imm", 256),
        ("uc", "write", 4096),
        pytest.param("uc", "write_imm", 2048, marks=pytest.mark.slow),
        pytest.param("uc", "send", 1024, marks=pytest.mark.slow),
        ("uc", "send_imm", 4096),
    ],
)
def test_every_byte_is_right(fabric, expect, transport, verb, mtu):
    """Messages of 1 B, around the MTU and of 32 KB and a byte: each byte is the one that was sent."""
    sizes = (1, mtu - 1, mtu, mtu + 1, 32 * KiB + 1)
    traffic = [
        Pair(size, verb=verb, transport=transport, messages=MESSAGES, name=f"{size}B") for size in sizes
    ]
    result = fabric.run(Scenario(traffic, qos=Qos(nic=Nic(mtu=mtu)), may_fail=["*"]))

    sent = MESSAGES * sum(sizes)
    expect(
        "messages complete",
        result.flows.total("messages_completed"),
        equals(MESSAGES * len(sizes), source=ALL),
    )
    expect("bytes verified", result.flows.total("payload_verified_bytes"), equals(sent, source=CHECKED), "B")
    expect("bytes wrong", result.flows.total("payload_mismatched_bytes"), RIGHT, "B")


@pytest.mark.plan("VERB-02")
@pytest.mark.parametrize("verb", ["send_imm", pytest.param("send", marks=pytest.mark.slow)])
def test_every_datagram_is_right(fabric, expect, verb):
    """Datagrams of 1 B to the MTU arrive with the bytes that were sent."""
    sizes = (1, 511, 1023, 1024)
    traffic = [Pair(size, verb=verb, transport="ud", messages=8, name=f"{size}B") for size in sizes]
    result = fabric.run(Scenario(traffic, may_fail=["*"]))

    expect("messages sent", result.flows.total("messages_completed"), equals(8 * len(sizes), source=ALL))
    expect(
        "bytes verified",
        result.flows.total("payload_verified_bytes"),
        equals(8 * sum(sizes), source=CHECKED),
        "B",
    )
    expect("bytes wrong", result.flows.total("payload_mismatched_bytes"), RIGHT, "B")


@pytest.mark.plan("VERB-03")
@pytest.mark.parametrize("verb", ["compare_swap", "fetch_add"])
def test_atomics_count_each_operation_once(fabric, expect, verb):
    """Each atomic returns the value the one before left, and the last value is at the target."""
    result = fabric.run(Scenario(Pair(8, verb=verb, messages=64, max_outstanding=8), may_fail=["*"]))

    flow = result.flow("pair-0")
    expect("operations complete", flow.messages_completed, equals(64, source=ALL))
    expect("bytes wrong", flow.payload_mismatched_bytes, RIGHT, "B")
    expect("bytes verified", flow.payload_verified_bytes, equals(64 * 8, source=CHECKED), "B")


@pytest.mark.plan("VERB-02", "RTX-11")
@pytest.mark.needs(
    Capability.PACKET_DROP,
    Capability.PACKET_CORRUPT,
    Capability.PACKET_DUPLICATE,
    Capability.PACKET_DELAY,
)
@pytest.mark.parametrize(
    ("verb", "action", "delay"),
    [
        ("write", "corrupt", None),
        pytest.param("send", "corrupt", None, marks=pytest.mark.slow),
        ("read", "drop", None),
        ("send_imm", "duplicate", None),
        ("write_imm", "delay", 20 * MS),
    ],
)
def test_no_wrong_byte_gets_through(fabric, expect, verb, action, delay):
    """Packets are broken, lost, doubled or late on the way; what arrives in the end is what was sent."""
    harm = Impair(0, "pair-0", action, packets=(3, 20, 41), delay=delay)
    traffic = Pair(32 * KiB, verb=verb, messages=4)
    result = fabric.run(Scenario(traffic, events=[harm], may_fail=["*"]))

    flow = result.flow("pair-0")
    expect("messages complete", flow.messages_completed, equals(4, source=ALL))
    expect("bytes wrong", flow.payload_mismatched_bytes, RIGHT, "B")
    expect("bytes verified", flow.payload_verified_bytes, equals(4 * 32 * KiB, source=CHECKED), "B")


@pytest.mark.plan("VERB-02", "RTX-11")
@pytest.mark.needs(Capability.PACKET_DROP)
@pytest.mark.negative_control("a packet lost where nothing sends it again")
@pytest.mark.parametrize("verb", ["write", "send"])
def test_bytes_that_never_came_are_noticed(fabric, expect, verb):
    """A hole in a message of UC is not taken for data that was verified."""
    drop = Impair(0, "pair-0", "drop", packets=(20,))
    traffic = Pair(32 * KiB, verb=verb, transport="uc", messages=4)
    result = fabric.run(Scenario(traffic, events=[drop], may_fail=["*"]))

    flow = result.flow("pair-0")
    expect("bytes wrong", flow.payload_mismatched_bytes, RIGHT, "B")
    expect("bytes verified", flow.payload_verified_bytes, equals(4 * 32 * KiB, source=CHECKED), "B")


@pytest.mark.plan("VERB-03")
@pytest.mark.negative_control("a target that does not allow atomics")
def test_an_atomic_that_is_refused_is_noticed(fabric, expect):
    """Operations that the target refuses do not pass for done."""
    traffic = Pair(8, verb="fetch_add", messages=64, verbs=REFUSED)
    result = fabric.run(Scenario(traffic, may_fail=["*"]))

    expect("operations complete", result.flow("pair-0").messages_completed, equals(64, source=ALL))
