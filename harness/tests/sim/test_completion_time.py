"""Completion time of a flow alone, to the picosecond, against store-and-forward arithmetic; sizes on the wire."""

from __future__ import annotations

import pytest

from harness.analysis.transport import Hop, Wire, completion_ps, exact_ps
from harness.tests.sim.jobs import GBPS, HPCC_WIRE, US, chain, flow, flow_of, run

RETH, AETH, DETH, ATOMIC_ETH, ATOMIC_ACK_ETH = 16, 4, 8, 28, 8
"""Extension headers: InfiniBand Architecture Specification vol. 1, 5.2.1 and chapter 9."""


@pytest.mark.parametrize("hops", [1, 3, 5])
@pytest.mark.parametrize(("ip_version", "vlan"), [(4, False), (6, False), (4, True), (6, True)])
def test_a_single_write_takes_what_its_frames_take(hops: int, ip_version: int, vlan: bool) -> None:
    size, mtu, rate, delay = 1_000_001, 4096, 100 * GBPS, 700_001
    wire = Wire(ip_version=ip_version, vlan=vlan)
    result = run(
        chain(
            hops - 1,
            [flow("f", "h0", "h1", size)],
            rate_bps=rate,
            delay_ps=delay,
            nic={"mtu_bytes": mtu},
            wire={"model": "rocev2", "ip_version": ip_version, "vlan": vlan},
        )
    )
    packets = wire.message(size, mtu)
    path = [Hop(rate, delay)] * hops
    assert flow_of(result, "f")["fct_ps"] == completion_ps(packets, path, ack_bytes=wire.ack())


def test_rates_that_no_picosecond_divides() -> None:
    """At 7 Gb/s every frame is rounded by itself to the nearest picosecond."""
    rate = 7 * GBPS
    result = run(chain(1, [flow("f", "h0", "h1", 50_000)], rate_bps=rate))
    wire = Wire()
    expected = completion_ps(wire.message(50_000, 1024), [Hop(rate, US)] * 2, ack_bytes=wire.ack())
    assert flow_of(result, "f")["fct_ps"] == expected


def test_a_bottleneck_link_sets_the_pace() -> None:
    """100 Gb/s into 25 Gb/s: the slow link serialises every frame, the fast one only the first."""
    work = chain(1, [flow("f", "h0", "h1", 500_000)])
    work["links"][1]["rate_bps"] = 25 * GBPS
    wire = Wire()
    path = [Hop(100 * GBPS, US), Hop(25 * GBPS, US)]
    expected = completion_ps(wire.message(500_000, 1024), path, ack_bytes=wire.ack())
    assert flow_of(run(work), "f")["fct_ps"] == expected


@pytest.mark.parametrize("every", [1, 4, 16])
def test_coalesced_acks_end_the_flow_with_the_last_one(every: int) -> None:
    result = run(chain(1, [flow("f", "h0", "h1", 100_000)], nic={"ack": {"every": every}}))
    wire = Wire()
    packets = wire.message(100_000, 1024)
    expected = completion_ps(packets, [Hop(100 * GBPS, US)] * 2, ack_bytes=wire.ack(), ack_every=every)
    assert flow_of(result, "f")["fct_ps"] == expected
    assert result["ports"]["h1:p0"]["nic"]["acks_sent"] == -(-len(packets) // every)


@pytest.mark.parametrize(("mtu", "hops"), [(1000, 2), (1000, 4)])
def test_the_hpcc_model_without_contention(mtu: int, hops: int) -> None:
    """10 MB over two links of 100 Gb/s and 1 us: 842,483 ns in that model (ps resolution, truncated)."""
    work = chain(
        hops - 1,
        [flow("f", "h0", "h1", 10_000_000)],
        nic={"mtu_bytes": mtu},
        wire=HPCC_WIRE,
        time={"model": "ns3", "resolution_ps": 1},
    )
    fct = flow_of(run(work), "f")["fct_ps"]
    data, ack = 83_839, 4_799  # 1048 and 60 bytes at 100 Gb/s, truncated to ps from the double 8.384e-08
    assert fct == 10_000 * data + (hops - 1) * data + 2 * hops * US + hops * ack
    if hops == 2:
        assert fct // 1000 in {842_482, 842_483}


def wire_bytes(
    verb: str, size: int, transport: str = "rc", mtu: int = 1024, **wire: object
) -> tuple[int, int]:
    """Bytes of all frames (requester's, responder's) of one message over one link."""
    work = chain(
        0, [flow("f", "h0", "h1", size, verb=verb, transport=transport)], nic={"mtu_bytes": mtu},
        wire={"model": "rocev2", **wire},
    )  # fmt: skip
    ports = run(work)["ports"]
    return ports["h0:p0"]["tx_bytes"], ports["h1:p0"]["tx_bytes"]


HEADERS = 14 + 20 + 8 + 12 + 4 + 4
"""Ethernet, IPv4, UDP, BTH, ICRC, FCS: the 62 bytes around any RoCEv2 payload."""
ACK = HEADERS + AETH


@pytest.mark.parametrize(
    ("verb", "size", "transport", "forward", "backward"),
    [
        # only: the payload is padded to a multiple of four
        ("write", 1000, "rc", HEADERS + RETH + 1000, ACK),
        ("write", 997, "rc", HEADERS + RETH + 1000, ACK),
        ("write", 1, "rc", HEADERS + RETH + 4, ACK),
        # first carries the RETH, middle and last nothing
        ("write", 3 * 1024, "rc", 3 * (HEADERS + 1024) + RETH, 3 * ACK),
        ("write", 2 * 1024 + 5, "rc", 2 * (HEADERS + 1024) + RETH + HEADERS + 8, 3 * ACK),
        ("send", 3 * 1024, "rc", 3 * (HEADERS + 1024), 3 * ACK),
        ("send", 1, "rc", HEADERS + 4, ACK),
        ("write", 2048, "uc", 2 * (HEADERS + 1024) + RETH, 0),
        ("send", 2048, "uc", 2 * (HEADERS + 1024), 0),
        ("send", 1024, "ud", HEADERS + DETH + 1024, 0),
        # a read response carries an AETH in its first and last packet
        ("read", 1024, "rc", HEADERS + RETH, HEADERS + AETH + 1024),
        ("read", 3 * 1024, "rc", HEADERS + RETH, 3 * (HEADERS + 1024) + 2 * AETH),
        ("atomic", 8, "rc", HEADERS + ATOMIC_ETH, HEADERS + AETH + ATOMIC_ACK_ETH),
    ],
)
def test_frame_sizes_by_opcode(verb: str, size: int, transport: str, forward: int, backward: int) -> None:
    assert wire_bytes(verb, size, transport) == (forward, backward)


@pytest.mark.parametrize("mtu", [256, 512, 1024, 2048, 4096])
def test_packets_of_every_mtu(mtu: int) -> None:
    size = 3 * mtu + 1
    forward, backward = wire_bytes("write", size, mtu=mtu)
    assert forward == 3 * (HEADERS + mtu) + RETH + HEADERS + 4
    assert backward == 4 * ACK


def test_ipv6_and_vlan_add_twenty_and_four_bytes() -> None:
    assert wire_bytes("write", 1000, ip_version=6) == (HEADERS + 20 + RETH + 1000, ACK + 20)
    assert wire_bytes("write", 1000, vlan=True) == (HEADERS + 4 + RETH + 1000, ACK + 4)


def test_the_gap_takes_link_time_and_no_bytes() -> None:
    def completion(gap: int) -> tuple[int, int]:
        work = chain(0, [flow("f", "h0", "h1", 1024)], wire={"model": "rocev2", "gap_bytes": gap})
        result = run(work)
        return flow_of(result, "f")["fct_ps"], result["ports"]["h0:p0"]["tx_bytes"]

    (without, bytes_without), (with_gap, bytes_with) = completion(0), completion(20)
    assert bytes_without == bytes_with
    assert with_gap - without == 2 * exact_ps(20, 100 * GBPS)  # the data frame and the ACK
