"""ECMP: how flows spread over equal paths, what the hash sees, and UDP source ports."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from harness.analysis.ecmp import expected_max_load
from harness.tests.sim.jobs import GBPS, US, Json, flow, flow_of, host, job, leaf_spine, link, run, switch

SPINES = 8


def spread(flows: list[Json], spines: int = SPINES, hosts: int = 4, **ecmp: object) -> Counter[str]:
    """Data packets on each uplink of leaf l0 from its hosts to those of l1."""
    work = leaf_spine(2, spines, hosts, flows, switch={"ecmp": ecmp})
    result = run(work)
    assert all(entry["status"] == "done" for entry in result["flows"])
    return Counter({f"u{j}": result["ports"][f"l0:u{j}"]["tx_packets"] for j in range(spines)})


def many(count: int, **keys: object) -> list[Json]:
    """One-packet flows from the hosts of l0 to those of l1, whose ACKs go the other way."""
    return [
        flow(f"f{i}", f"h{i % 4}", f"h{4 + i // 4 % 4}", 64, transport="uc", **keys) for i in range(count)
    ]


def test_flows_spread_as_balls_into_bins() -> None:
    """Chi-square over 8 paths (7 degrees of freedom): 24.3 is passed by chance once in a thousand."""
    loads = spread(many(2000))
    mean = 2000 / SPINES
    assert sum(loads.values()) == 2000
    chi2 = sum((load - mean) ** 2 / mean for load in loads.values())
    assert chi2 < 24.3


def test_the_fullest_path_is_as_full_as_chance_makes_it() -> None:
    """Mean over 60 experiments of 8 flows on 8 paths; a maximum has a deviation below 1, its mean below 1/8."""
    maxima = []
    for trial in range(60):
        flows = [flow(f"f{i}", f"h{i % 4}", f"h{4 + i // 2}", 64, transport="uc", udp_sport=20_000 + 97 * trial + i)
                 for i in range(8)]  # fmt: skip
        work = leaf_spine(2, SPINES, 4, flows)
        ports = run(work)["ports"]
        maxima.append(max(ports[f"l0:u{j}"]["tx_packets"] for j in range(SPINES)))
    assert sum(maxima) / len(maxima) == pytest.approx(expected_max_load(SPINES, 8), abs=4 / math.sqrt(60))


def test_one_flow_keeps_one_path() -> None:
    loads = spread([flow("f", "h0", "h4", 300_000)])
    assert sorted(loads.values())[:-1] == [0] * (SPINES - 1)


def test_qps_of_a_pair_differ_by_their_source_port() -> None:
    loads = spread([flow("f", "h0", "h4", 64, qps=200, transport="uc")])
    assert min(loads.values()) > 0


def test_a_fixed_flow_label_keeps_all_qps_on_one_path_unless_the_qp_is_hashed() -> None:
    flows = [flow("f", "h0", "h4", 64, qps=200, transport="uc", flow_label=0x12345)]
    assert sum(load > 0 for load in spread(flows).values()) == 1
    loads = spread(flows, mode="dqpn")
    assert min(loads.values()) > 0
    assert sum((load - 25) ** 2 / 25 for load in loads.values()) < 24.3


def test_spraying_uses_all_paths_evenly_for_a_single_flow() -> None:
    packets = 4000
    loads = spread([flow("f", "h0", "h4", packets * 1024, transport="uc")], mode="spray")
    deviation = math.sqrt(packets / SPINES)
    assert sum(loads.values()) == packets
    assert all(abs(load - packets / SPINES) < 4.5 * deviation for load in loads.values())


def three_tiers(seed: int | None) -> Json:
    """A tree of two choices in a row: leaf to 4 aggregation switches, each to 4 cores, and one way down."""
    flows = [flow(f"f{i}", "h0", "h1", 64, transport="uc", udp_sport=10_000 + i) for i in range(600)]
    nodes = [host("h0"), host("h1"), switch("a", ["d", *(f"u{i}" for i in range(4))])]
    nodes += [switch(f"b{i}", ["d", *(f"u{j}" for j in range(4))]) for i in range(4)]
    nodes += [switch(f"c{j}", [*(f"d{i}" for i in range(4)), "u"]) for j in range(4)]
    nodes.append(switch("z", [*(f"d{j}" for j in range(4)), "u"]))
    links = [link("h0:p0", "a:d"), link("z:u", "h1:p0")]
    links += [link(f"a:u{i}", f"b{i}:d") for i in range(4)]
    links += [link(f"b{i}:u{j}", f"c{j}:d{i}") for i in range(4) for j in range(4)]
    links += [link(f"c{j}:u", f"z:d{j}") for j in range(4)]
    return job(nodes, links, flows, switch={"ecmp": {"seed": seed}})


def second_choices(result: Json) -> list[int]:
    """How many of its four uplinks each aggregation switch uses."""
    return [sum(result["ports"][f"b{i}:u{j}"]["tx_packets"] > 0 for j in range(4)) for i in range(4)]


def test_equal_seeds_polarise() -> None:
    """The same hash in both tiers: what a switch receives has one remainder, so it uses one uplink."""
    assert second_choices(run(three_tiers(7))) == [1, 1, 1, 1]
    assert second_choices(run(three_tiers(None))) == [4, 4, 4, 4]


def linux_sport(label: int) -> int:
    """rdma_flow_label_to_udp_sport: fourteen low bits, folded with the six high ones, in the dynamic range."""
    return ((label & 0x3FFF) ^ ((label & 0xFC000) >> 14)) | 0xC000


def linux_label(lqpn: int, rqpn: int) -> int:
    """rdma_calc_flow_label: the product of the QP numbers, folded to twenty bits."""
    v = lqpn * rqpn
    v ^= v >> 20
    v ^= v >> 40
    return v & 0xFFFFF


@pytest.mark.parametrize("label", [1, 0x3FFF, 0x4000, 0xABCDE, 0xFFFFF])
def test_the_source_port_of_a_flow_label(label: int) -> None:
    qp = flow_of(run(leaf_spine(2, 1, 1, [flow("f", "h0", "h1", 64, flow_label=label)])), "f")["qps"][0]
    assert qp["udp_sport"] == linux_sport(label)


def test_the_source_port_of_qp_numbers() -> None:
    qps = flow_of(run(leaf_spine(2, 1, 1, [flow("f", "h0", "h1", 64, qps=50)])), "f")["qps"]
    assert [qp["udp_sport"] for qp in qps] == [
        linux_sport(linux_label(qp["qpn"], qp["remote_qpn"])) for qp in qps
    ]
    assert len({qp["qpn"] for qp in qps}) == 50


def test_fixed_source_ports_count_up() -> None:
    qps = flow_of(run(leaf_spine(2, 1, 1, [flow("f", "h0", "h1", 64, qps=3, udp_sport=5000)])), "f")["qps"]
    assert [qp["udp_sport"] for qp in qps] == [5000, 5001, 5002]


# ---- links that fail ----


def down(port: str, at: int, kind: str = "link_down") -> Json:
    return {"at_ps": at, "kind": kind, "port": port}


def test_another_path_takes_over() -> None:
    work = leaf_spine(2, 2, 1, [flow("f", "h0", "h1", 3_000_000)], nic={"ack_timeout_exponent": 6})
    used = next(j for j in range(2) if run(work)["ports"][f"l0:u{j}"]["tx_packets"] > 100)
    work["events"] = [down(f"l0:u{used}", 50 * US)]
    result = run(work)
    assert flow_of(result, "f")["status"] == "done"
    assert flow_of(result, "f")["packets_dropped"] > 0
    assert result["ports"][f"l0:u{1 - used}"]["tx_packets"] > 1000
    lost = sum(port["drops"]["link_down"] for port in result["ports"].values())
    assert lost == result["conservation"]["packets_dropped"]  # data and ACKs; nothing was lost otherwise


def test_a_link_that_comes_back_is_used_again() -> None:
    work = leaf_spine(2, 1, 1, [flow("f", "h0", "h1", 3_000_000)], nic={"ack_timeout_exponent": 6})
    free = flow_of(run(work), "f")["fct_ps"]
    outage = 500 * US
    work["events"] = [down("l0:u0", 50 * US), down("t0:d0", 50 * US + outage, "link_up")]
    counts = flow_of(run(work), "f")
    assert counts["status"] == "done"
    # the flow loses the outage, the wait for its timer (262 us) and what it repeats
    assert free + outage < counts["fct_ps"] < free + outage + 300 * US


def test_without_a_path_the_flow_gives_up() -> None:
    work = leaf_spine(
        2, 1, 1, [flow("f", "h0", "h1", 3_000_000)], nic={"ack_timeout_exponent": 4, "retry_count": 2}
    )
    work["events"] = [down("l0:u0", 50 * US)]
    result = run(work)
    assert flow_of(result, "f")["error"] == "RETRY_EXC_ERR"
    assert result["ports"]["l0:d0"]["drops"]["no_route"] > 0


def test_a_flap_of_the_senders_own_link() -> None:
    work = leaf_spine(2, 1, 1, [flow("f", "h0", "h1", 3_000_000)], nic={"ack_timeout_exponent": 6})
    work["events"] = [down("h0:p0", 50 * US), down("h0:p0", 80 * US, "link_up")]
    assert flow_of(run(work), "f")["status"] == "done"


@pytest.mark.parametrize(("first", "second"), [(100, 25), (25, 100)])
def test_a_change_of_rate_moves_the_completion_time(first: int, second: int) -> None:
    """1 MB at one rate until 30 us and at the other after that: up to a frame of each size and the way."""
    size, at = 1_000_000, 30 * US
    work = leaf_spine(2, 1, 1, [flow("f", "h0", "h1", size)], rate_bps=100 * GBPS)
    work["links"][0]["rate_bps"] = first * GBPS
    work["events"] = [{"at_ps": at, "kind": "link_rate", "port": "h0:p0", "rate_bps": second * GBPS}]
    bits = size * 8 * 1106 / 1024
    left = bits - at * 1e-12 * first * GBPS
    expected = at + left / (second * GBPS) * 1e12
    assert flow_of(run(work), "f")["fct_ps"] == pytest.approx(expected, abs=10 * US)
