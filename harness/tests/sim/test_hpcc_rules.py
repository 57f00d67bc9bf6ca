"""What the transport and routing of the HPCC ns-3 model do differently; all follow from its published source."""

from __future__ import annotations

from typing import Any

import pytest

from harness.tests.sim.hpcc import semantics
from harness.tests.sim.jobs import US, Json, flow, flow_of, leaf_spine, nic_of, run, star

PACKETS = 20
PAYLOAD = 1000
TX_PS = (PAYLOAD + 48) * 80
"""Serialisation of a full frame at 100 Gb/s: 80 ps a byte."""


def hpcc(**more: Any) -> Json:
    rules = semantics({"algorithm": "ns3"}, None, 32 << 20)
    return rules | {"time": {"model": "exact"}} | more


def one_flow(event: Json, **nic: Any) -> Json:
    job = star(2, [flow("f", "h0", "h1", PACKETS * PAYLOAD)], events=[event], **hpcc())
    job["nic"] |= nic
    return run(job)


def impair(action: str, *packets: int) -> Json:
    return {"at_ps": 0, "kind": "impair", "flow": "f", "action": action, "packets": list(packets)}


@pytest.mark.parametrize(("timeout", "notifications"), [(0, 0), (14, 1)])
def test_a_mark_without_reply_is_forgotten(timeout: int, notifications: int) -> None:
    """Packet 3 is lost, so the marked packet 6 is swallowed; only hosts with a timer carry its mark on."""
    job = star(
        2,
        [flow("f", "h0", "h1", PACKETS * PAYLOAD)],
        events=[impair("drop", 3), impair("mark", 6)],
        **hpcc(),
    )
    job["nic"]["ack_timeout_exponent"] = timeout

    result = run(job)

    assert flow_of(result, "f")["ecn_marked"] == 1
    assert flow_of(result, "f")["cnp_received"] == notifications


@pytest.mark.parametrize(("timeout", "acks"), [(0, PACKETS), (14, PACKETS + 1)])
def test_a_duplicate_is_not_answered(timeout: int, acks: int) -> None:
    result = one_flow(impair("duplicate", 5), ack_timeout_exponent=timeout)

    assert flow_of(result, "f")["packets_duplicate"] == 1
    assert nic_of(result, "h1")["acks_sent"] == acks


def test_naks_do_not_use_up_retries() -> None:
    """Every first transmission of ten packets is lost, and each loss costs one NAK without new data between."""
    result = one_flow(impair("drop", *range(10)), retry_count=0)

    assert flow_of(result, "f")["status"] == "done"
    assert flow_of(result, "f")["naks_received"] >= 1


def test_a_flow_starts_after_all_else_of_its_instant() -> None:
    """A flow that starts as a frame of another ends goes after the next frame of that one, not before it."""
    flows = [
        flow("long", "h0", "h1", 50 * PAYLOAD),
        flow("short", "h0", "h1", PAYLOAD, start_ps=TX_PS),
    ]

    result = run(star(2, flows, **hpcc()))

    alone = run(star(2, [flow("short", "h0", "h1", PAYLOAD)], **hpcc()))
    assert flow_of(result, "short")["fct_ps"] == flow_of(alone, "short")["fct_ps"] + TX_PS


def murmur3(words: list[int], seed: int) -> int:
    """MurmurHash3 x86_32 (Appleby, public domain) of 32-bit words."""

    def rotated(x: int, by: int) -> int:
        return (x << by | x >> (32 - by)) & 0xFFFFFFFF

    h = seed
    for word in words:
        h ^= rotated(word * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF
        h = (rotated(h, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    h ^= 4 * len(words)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ h >> shift) * factor & 0xFFFFFFFF
    return h ^ h >> 16


def address(node: int) -> int:
    return 0x0B000001 + (node // 256 << 16) + (node % 256 << 8)


@pytest.mark.parametrize("sport", range(10_000, 10_008))
def test_next_hops_stand_in_descending_node_order(sport: int) -> None:
    spines, leaf = 3, 2  # nodes: h0 h1 l0 l1 t0 t1 t2
    flows = [flow("f", "h0", "h1", PAYLOAD, udp_sport=sport)]

    result = run(leaf_spine(2, spines, 1, flows, delay_ps=US, **hpcc()))

    member = murmur3([address(0), address(1), sport | 100 << 16], seed=leaf) % spines
    used = [i for i in range(spines) if result["ports"][f"l0:u{i}"]["tx_packets"]]
    assert used == [spines - 1 - member]
