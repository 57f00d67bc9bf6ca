# ruff: noqa: INP001 - a script beside the C code, not a package
"""Write a corpus of valid and nearly valid jobs for the fuzzers of the job parser.

Usage: python make_corpus.py FOLDER [--count N] [--seed N]

The jobs cover every key of docs/job-format.md. The same arguments give the same files. Every second file is
damaged in one place, so that a fuzzer starts near the borders between good and bad.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
from pathlib import Path
from typing import Any

JsonObject = dict[str, Any]

RATES = (25_000_000_000, 100_000_000_000, 400_000_000_000)

CONGESTION_CONTROL: tuple[JsonObject, ...] = (
    {"algorithm": "none"},
    {
        "algorithm": "dcqcn",
        "g": 0.00390625,
        "alpha_timer_ps": 55_000_000,
        "rate_timer_ps": 55_000_000,
        "byte_counter_bytes": 10_000_000,
        "fast_recovery": 5,
        "rate_ai_bps": 40_000_000,
        "rate_hai_bps": 400_000_000,
        "min_rate_bps": 10_000_000,
        "cut_interval_ps": 0,
        "clamp_target": True,
    },
    {
        "algorithm": "mlx5",
        "dce_tcp_g": 1019,
        "dce_tcp_rtt_us": 1,
        "initial_alpha_value": 1023,
        "rpg_gd": 11,
        "rpg_min_dec_fac": 50,
        "rate_reduce_monitor_period_us": 4,
        "rate_to_set_on_first_cnp_mbps": 0,
        "rpg_time_reset_us": 300,
        "rpg_byte_reset": 32767,
        "rpg_threshold": 1,
        "rpg_ai_rate_mbps": 5,
        "rpg_hai_rate_mbps": 50,
        "rpg_max_rate_mbps": 0,
        "rpg_min_rate_mbps": 1,
        "clamp_tgt_rate": False,
        "clamp_tgt_rate_after_time_inc": True,
    },
    {
        "algorithm": "ns3",
        "g": 0.00390625,
        "alpha_timer_ps": 1_000_000,
        "cut_interval_ps": 4_000_000,
        "rate_timer_ps": 300_000_000,
        "fast_recovery": 1,
        "rate_ai_bps": 20_000_000,
        "rate_hai_bps": 200_000_000,
        "min_rate_bps": 100_000_000,
        "clamp_target": False,
        "rate_on_first_cnp": 1.0,
        "pace": True,
        "variable_window": False,
    },
)


WRONG_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    2**63,
    2**64,
    "",
    "h1:p0",
    "\u00e9\u0000",
    [],
    {},
    [3, 3],
    "f0",
)


def scheduler(rng: random.Random) -> JsonObject:
    """Weights and strict priorities."""
    return {
        "kind": rng.choice(["ets", "hpcc"]),
        "weights": [rng.randint(1, 9) for _ in range(8)],
        "strict": sorted(rng.sample(range(8), rng.randint(0, 3))),
    }


def nic(rng: random.Random) -> JsonObject:
    """Every key of `nic`."""
    return {
        "mtu_bytes": rng.choice([256, 512, 1024, 2048, 4096]),
        "loss_recovery": rng.choice(["go_back_n", "selective_repeat", "go_back_0"]),
        "ack_timeout_exponent": rng.randint(0, 31),
        "retry_count": rng.randint(0, 7),
        "rnr_timer": rng.randint(0, 31),
        "rnr_retry": rng.randint(0, 7),
        "nak_interval_ps": rng.choice([0, 500_000_000]),
        "max_rd_atomic": rng.randint(1, 16),
        "ack": {
            "every": rng.randint(1, 16),
            "priority": rng.choice([None, 0, 7]),
            "strict": rng.random() < 0.5,
        },
        "cnp": {
            "mode": rng.choice(["cnp", "ack_echo", "none"]),
            "interval_ps": 4_000_000,
            "scope": rng.choice(["qp", "ip_pair", "port"]),
            "priority": 6,
        },
        "cc": dict(rng.choice(CONGESTION_CONTROL)),
        "pfc": {"priorities": [3], "mode": rng.choice(["quanta", "until_resume"]), "quanta": 65535},
        "scheduler": scheduler(rng),
        "rx": {"buffer_bytes": 1_000_000, "drain_bps": 0, "xoff_bytes": 500_000, "xon_bytes": 400_000},
    }


def ecn(rng: random.Random) -> JsonObject | None:
    """Marking, or null."""
    if rng.random() < 0.3:
        return None
    profiles = [
        {"rate_bps": rate, "kmin_bytes": 100_000, "kmax_bytes": 400_000, "pmax": 0.2} for rate in (0, *RATES)
    ]
    return {
        "priorities": [3],
        "mark_at": rng.choice(["dequeue", "enqueue"]),
        "wred_drop": rng.random() < 0.5,
        "profiles": profiles[: rng.randint(1, len(profiles))],
    }


def switch(rng: random.Random) -> JsonObject:
    """Every key of `switch`."""
    model = rng.choice(["dynamic", "hpcc"])
    watchdog: JsonObject = {
        "detect_ps": 200_000_000_000,
        "restore_ps": 200_000_000_000,
        "poll_ps": 100_000_000_000,
        "action": rng.choice(["drop", "forward"]),
    }
    return {
        "buffer": {
            "model": model,
            "bytes": 32_000_000,
            "alpha": 0.125,
            "lossy_alpha": 1.0,
            "egress_alpha": 4,
            "reserve_bytes": 4096,
            "headroom_bytes": rng.choice([None, 0, 100_000]),
            "xon_offset_bytes": 3072,
            "nic_rate_bps": rng.choice([None, RATES[0]]) if model == "hpcc" else None,
        },
        "ecn": ecn(rng),
        "pfc": {
            "priorities": [3, 4],
            "mode": "quanta",
            "quanta": 65535,
            "watchdog": rng.choice([None, watchdog]),
        },
        "scheduler": scheduler(rng),
        "ecmp": {"mode": rng.choice(["5tuple", "dqpn", "spray", "hpcc"]), "seed": rng.choice([None, 7])},
        "dscp_map": rng.choice([None, [rng.randrange(8) for _ in range(64)]]),
    }


def star(hosts: int, rng: random.Random) -> tuple[list[Any], list[Any]]:
    """Hosts around one switch: nodes and links."""
    nodes: list[Any] = [{"name": f"h{i}", "kind": "host", "ports": ["p0"]} for i in range(hosts)]
    nodes.append({"name": "sw1", "kind": "switch", "ports": [f"e{i}" for i in range(hosts)], "switch": {}})
    links: list[Any] = [
        {
            "a": f"h{i}:p0",
            "b": f"sw1:e{i}",
            "rate_bps": rng.choice(RATES),
            "delay_ps": 1_000_000,
            "ber": rng.choice([0.0, 1e-12]),
        }
        for i in range(hosts)
    ]
    return nodes, links


def flow(index: int, hosts: int, rng: random.Random) -> JsonObject:
    """Every key of a flow; it may wait for the one before when that one shares its source."""
    transport, verb, size = rng.choice(
        [
            ("rc", "write", 65536),
            ("rc", "read", 1 << 20),
            ("rc", "atomic", 8),
            ("uc", "send", 5000),
            ("ud", "send", 256),
            ("rc", "send", 4097),
        ]
    )
    return {
        "name": f"f{index}",
        "src": "h0:p0",
        "dst": f"h{1 + index % (hosts - 1)}:p0",
        "verb": verb,
        "transport": transport,
        "message_bytes": size,
        "messages": rng.randint(1, 5),
        "qps": rng.randint(1, 4),
        "priority": 3,
        "dscp": rng.choice([None, 0, 26, 63]),
        "ect": True,
        "start_ps": rng.choice([0, 10**6]),
        "after": [f"f{index - 1}"] if index > 0 else [],
        "after_delay_ps": 5 if index > 0 else 0,
        "rate_bps": 0,
        "window_bytes": 0,
        "max_outstanding": 0,
        "message_interval_ps": 1000,
        "arrivals": rng.choice(["fixed", "poisson"]),
        "flow_label": rng.choice([None, 0xFFFFF]),
        "udp_sport": rng.choice([None, 49152]),
        "recv_depth": 2 if verb == "send" else 0,
        "recv_repost_ps": 100 if verb == "send" else 0,
    }


def events(rng: random.Random) -> list[Any]:
    """One event of each kind, in any order."""
    every: list[Any] = [
        {"at_ps": 1, "kind": "link_down", "port": "h1:p0"},
        {"at_ps": 2, "kind": "link_up", "port": "sw1:e1"},
        {"at_ps": 3, "kind": "link_rate", "port": "h1:p0", "rate_bps": RATES[0]},
        {
            "at_ps": 4,
            "kind": "pause_storm",
            "port": "h1:p0",
            "priorities": [3],
            "duration_ps": 10**9,
            "quanta": 65535,
            "interval_ps": None,
        },
        {"at_ps": 5, "kind": "drain_rate", "port": "h1:p0", "rate_bps": 10**9},
        {
            "at_ps": 6,
            "kind": "impair",
            "flow": "f0",
            "action": "drop",
            "packets": [0],
            "iteration": 1,
            "qp": 0,
        },
        {"at_ps": 6, "kind": "impair", "flow": "f0", "action": "delay", "delay_ps": 7, "fraction": 0.5},
        {"at_ps": 7, "kind": "qos", "node": "sw1", "switch": {"ecn": None, "pfc": {"priorities": [1]}}},
        {"at_ps": 8, "kind": "qos", "node": "h0", "nic": {"cc": {"algorithm": "dcqcn"}}},
    ]
    return rng.sample(every, rng.randint(0, len(every)))


def job(rng: random.Random) -> JsonObject:
    """A valid job of a few hosts."""
    hosts = rng.randint(2, 4)
    nodes, links = star(hosts, rng)
    fixed = rng.random() < 0.3
    wire: JsonObject = {"model": "rocev2", "ip_version": rng.choice([4, 6]), "vlan": False, "gap_bytes": 20}
    if fixed:
        wire = {
            "model": "fixed",
            "data_overhead_bytes": 48,
            "ack_bytes": 60,
            "cnp_bytes": 60,
            "pfc_bytes": 43,
            "gap_bytes": 0,
        }
    return {
        "format": 1,
        "name": "corpus",
        "seed": rng.randrange(1 << 63),
        "until": rng.choice(["done", "duration"]),
        "duration_ps": 10**12,
        "drain_ps": 0,
        "sample_every_ps": 10_000_000,
        "output_dir": "out",
        "trace": rng.sample(["cc", "pfc", "drop", "mark"], rng.randint(0, 4)),
        "defects": rng.sample(["marking_off", "silent_drop", "nak_storm"], rng.randint(0, 3)),
        "time": rng.choice([{"model": "exact"}, {"model": "ns3", "resolution_ps": 1000}]),
        "wire": wire,
        "nic": nic(rng),
        "switch": switch(rng),
        "nodes": nodes,
        "links": links,
        "flows": [flow(i, hosts, rng) for i in range(rng.randint(0, 4))],
        "events": [],
    }


def minimal() -> JsonObject:
    """The smallest job."""
    return {"format": 1, "nodes": [{"name": "h", "kind": "host", "ports": ["p"]}], "links": [], "flows": []}


def places(value: Any) -> list[tuple[Any, str | int]]:
    """Every container below a value, with each of its keys or indices."""
    keys: list[str | int] = []
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    found: list[tuple[Any, str | int]] = [(value, key) for key in keys]
    for key in keys:
        found.extend(places(value[key]))
    return found


def damage(good: JsonObject, rng: random.Random) -> JsonObject:
    """A copy with one value changed, one key dropped, or one value copied to another place."""
    bad = copy.deepcopy(good)
    found = places(bad)
    container, key = rng.choice(found)
    other, other_key = rng.choice(found)
    choice = rng.randrange(4)
    if choice == 0:
        del container[key]
    elif choice == 1:
        container[key] = copy.deepcopy(other[other_key])
    else:
        container[key] = rng.choice(WRONG_VALUES)
    return bad


def main() -> None:
    """Write the corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    jobs = [minimal()]
    while len(jobs) < arguments.count:
        good = job(rng)
        good["events"] = events(rng) if good["flows"] else []
        jobs.append(good if len(jobs) % 2 else damage(good, rng))
    for index, entry in enumerate(jobs):
        text = json.dumps(entry, separators=(",", ":"), ensure_ascii=index % 3 != 0)
        (arguments.folder / f"job{index:04}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
