"""The same number twice: a formula of `harness.analysis`, and a run of the simulator."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from harness.analysis import maxmin, pfc, sched, transport
from harness.analysis.transport import Hop, Wire

Run = Callable[[dict[str, Any]], dict[str, Any]]
GBPS = 10**9
US = 10**6


def chain(path: list[Hop]) -> dict[str, Any]:
    """A host `a`, switches in a row and a host `b`, joined by the hops of a path."""
    names = ["a", *(f"s{i}" for i in range(len(path) - 1)), "b"]
    nodes = [
        {
            "name": name,
            "kind": "host" if name in "ab" else "switch",
            "ports": ["p0"] if name in "ab" else ["l", "r"],
        }
        for name in names
    ]
    ends = [
        ("a:p0" if i == 0 else f"s{i - 1}:r", "b:p0" if i == len(path) - 1 else f"s{i}:l")
        for i in range(len(path))
    ]
    links = [
        {"a": a, "b": b, "rate_bps": hop.rate_bps, "delay_ps": hop.delay_ps}
        for (a, b), hop in zip(ends, path, strict=True)
    ]
    roomy = {"bytes": 10**9, "alpha": 8.0, "lossy_alpha": 8.0, "egress_alpha": 100.0}
    return {"format": 1, "nodes": nodes, "links": links, "switch": {"buffer": roomy}}


@pytest.mark.parametrize("seed", range(25))
def test_a_single_flow_completes_to_the_picosecond(simulate: Run, seed: int) -> None:
    draw = random.Random(seed)
    rates = [25, 40, 100, 200, 400]
    path = [
        Hop(draw.choice(rates) * GBPS, draw.choice([0, 1000, US, 12345])) for _ in range(draw.randint(1, 4))
    ]
    mtu, size = draw.choice([256, 1024, 4096]), draw.choice([1, 63, 1024, 5000, draw.randint(1, 300_000)])
    every, wire = draw.choice([1, 2, 16]), Wire(ip_version=draw.choice([4, 6]), vlan=draw.random() < 0.5)
    job = chain(path) | {
        "wire": {"model": "rocev2", "ip_version": wire.ip_version, "vlan": wire.vlan},
        "nic": {"mtu_bytes": mtu, "ack": {"every": every}},
        "flows": [{"name": "f", "src": "a:p0", "dst": "b:p0", "message_bytes": size}],
    }

    flow = simulate(job)["flows"][0]

    expected = transport.completion_ps(wire.message(size, mtu), path, ack_bytes=wire.ack(), ack_every=every)
    assert flow["fct_ps"] == expected


def star(hosts: int, delay_ps: int, **parts: Any) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = [{"name": f"h{i}", "kind": "host", "ports": ["p0"]} for i in range(hosts)]
    nodes.append({"name": "s", "kind": "switch", "ports": [f"e{i}" for i in range(hosts)]})
    links = [
        {"a": f"h{i}:p0", "b": f"s:e{i}", "rate_bps": 100 * GBPS, "delay_ps": delay_ps} for i in range(hosts)
    ]
    return {"format": 1, "nodes": nodes, "links": links, **parts}


def paused_receiver(delay_ps: int, mtu: int, headroom: int, seed: int) -> dict[str, Any]:
    """One sender towards a receiver that pauses, while its link is busy in the other direction too."""
    draw = random.Random(seed)
    flows = [
        {
            "name": "f",
            "src": "h0:p0",
            "dst": "h2:p0",
            "message_bytes": 100 * mtu,
            "start_ps": draw.randint(0, 200_000),
        },
        {
            "name": "g",
            "src": "h1:p0",
            "dst": "h0:p0",
            "message_bytes": 200 * mtu,
            "start_ps": draw.randint(0, 200_000),
        },
    ]
    storm = {"kind": "pause_storm", "at_ps": draw.randint(0, US), "port": "h2:p0"}
    storm |= {"priorities": [3], "duration_ps": 40 * US}
    buffer = {"bytes": 400_000, "alpha": 0.0625, "headroom_bytes": headroom, "reserve_bytes": 0}
    lossless = {"priorities": [3]}
    nic = {"mtu_bytes": mtu, "pfc": lossless}
    return star(3, delay_ps, nic=nic, switch={"pfc": lossless, "buffer": buffer}, flows=flows, events=[storm])


@pytest.mark.parametrize(("mtu", "delay_ps"), [(1024, 3 * US), (2048, US), (4096, 100_000), (4096, 5 * US)])
def test_worst_headroom_is_enough_and_one_packet_less_is_not(simulate: Run, mtu: int, delay_ps: int) -> None:
    wire = Wire()
    packet = wire.frame(mtu, transport.RETH)  # the largest packet: the first of a write
    bound = pfc.worst_headroom_bytes(
        100 * GBPS, delay_ps, mtu_wire_bytes=wire.data(mtu, transport.RETH), mtu_buffer_bytes=packet
    )

    def drops(headroom: int) -> Iterator[int]:
        for seed in range(60):
            result = simulate(paused_receiver(delay_ps, mtu, headroom, seed))
            yield result["ports"]["s:e0"]["drops"]["headroom"]

    assert not any(islice(drops(bound), 20))
    assert any(drops(bound - packet))


def test_dwrr_shares_are_those_of_water_filling(simulate: Run) -> None:
    weights, demands = [1, 1, 1, 2, 4, 1, 1, 1], [0.0, 0, 0, 100, 100, 10, 0, 0]
    flows = [
        {"name": f"p{priority}", "src": f"h{index}:p0", "dst": "h3:p0", "priority": priority,
         "message_bytes": 10**6, "messages": 0, "rate_bps": int(demands[priority] * GBPS)}
        for index, priority in enumerate((3, 4, 5))
    ]  # fmt: skip
    lossless = {"priorities": [3, 4, 5]}
    ets = {"kind": "ets", "weights": weights, "strict": []}
    job = star(
        4, US, flows=flows, until="duration", duration_ps=3000 * US,
        nic={"mtu_bytes": 4096, "pfc": lossless}, switch={"pfc": lossless, "scheduler": ets},
    )  # fmt: skip

    result = simulate(job)

    shares = sched.water_fill(demands, [float(weight) for weight in weights], 100 * Wire().efficiency(4096))
    for flow, priority in zip(result["flows"], (3, 4, 5), strict=True):
        gbps = flow["bytes_delivered"] * 8 / 3000 / 1000
        assert gbps == pytest.approx(shares[priority], rel=0.03), flow["name"]


def test_lossless_rates_without_control_are_max_min_fair_at_one_bottleneck(simulate: Run) -> None:
    paths = {f"f{i}": [f"h{i}", "h4"] for i in range(4)}
    flows = [
        {"name": name, "src": f"{path[0]}:p0", "dst": "h4:p0", "message_bytes": 10**6, "messages": 0}
        for name, path in paths.items()
    ]
    lossless = {"priorities": [3]}
    timing = {"until": "duration", "duration_ps": 2000 * US}
    job = star(5, US, flows=flows, nic={"pfc": lossless}, switch={"pfc": lossless}, **timing)

    result = simulate(job)

    line = 100 * Wire().efficiency(1024)
    rates = maxmin.max_min_rates(paths, dict.fromkeys([f"h{i}" for i in range(5)], line))
    for flow in result["flows"]:
        assert flow["bytes_delivered"] * 8 / 2000 / 1000 == pytest.approx(rates[flow["name"]], rel=0.03)
