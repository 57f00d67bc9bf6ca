"""Random valid jobs: every option of the format is drawn now and then, small enough for a fraction of a second."""

from __future__ import annotations

from random import Random
from typing import Final

from harness.tests.sim.jobs import GBPS, MS, NS, US, Json, flow, host, link, switch

PRIORITY_SETS: Final[list[list[int]]] = [[], [3], [3], [0, 3, 5], list(range(8))]
END_OF_TIME: Final = 1_000 * MS
"""Long enough for every retry of these jobs to run out."""


def fabric(r: Random) -> tuple[list[Json], list[Json]]:
    """Two to six hosts on one switch, or on two leaves under one to three spines."""
    hosts = r.randint(2, 6)
    nodes = [host(f"h{i}") for i in range(hosts)]

    def wire(a: str, b: str) -> Json:
        rate = r.choice([10, 25, 40, 100, 100, 100, 400]) * GBPS
        ber = r.choice([0.0] * 8 + [1e-7, 1e-6])
        return link(a, b, rate, r.choice([0, NS, 500 * NS, US, 5 * US]), ber)

    if r.random() < 0.6:
        return [*nodes, switch("s0", [f"d{i}" for i in range(hosts)])], [
            wire(f"h{i}:p0", f"s0:d{i}") for i in range(hosts)
        ]
    spines = r.randint(1, 3)
    ports = [f"d{j}" for j in range(hosts)] + [f"u{j}" for j in range(spines)]
    nodes += [switch(f"l{i}", ports) for i in range(2)]
    nodes += [switch(f"s{j}", ["d0", "d1"]) for j in range(spines)]
    links = [wire(f"h{i}:p0", f"l{i % 2}:d{i}") for i in range(hosts)]
    return nodes, links + [wire(f"l{i}:u{j}", f"s{j}:d{i}") for i in range(2) for j in range(spines)]


def scheduler(r: Random) -> Json:
    strict = r.choice([[], [6, 7]])
    weights = [0 if i in strict and r.random() < 0.5 else r.randint(1, 9) for i in range(8)]
    return {"kind": r.choice(["ets", "ets", "hpcc"]), "weights": weights, "strict": strict}


def nic(r: Random, pfc: Json) -> Json:
    return {
        "mtu_bytes": r.choice([256, 512, 1024, 2048, 4096]),
        "loss_recovery": r.choice(["go_back_n", "go_back_n", "selective_repeat", "go_back_0"]),
        "ack_timeout_exponent": r.choice([4, 6, 8]),
        "retry_count": r.choice([1, 3, 7]),
        "rnr_timer": r.choice([1, 5, 12]),
        "rnr_retry": r.choice([1, 3, 6]),
        "nak_interval_ps": r.choice([0, 0, 10 * US]),
        "max_rd_atomic": r.choice([1, 4, 16]),
        "ack": {
            "every": r.choice([1, 1, 4, 16]),
            "priority": r.choice([None, None, 6, 0]),
            "strict": r.choice([False, True]),
        },
        "cnp": {
            "mode": r.choice(["cnp", "ack_echo", "none"]),
            "interval_ps": r.choice([0, 4 * US, 50 * US]),
            "scope": r.choice(["qp", "ip_pair", "port"]),
            "priority": r.choice([6, 3]),
        },
        "cc": {"algorithm": r.choice(["none", "dcqcn", "mlx5", "ns3"])},
        "pfc": pfc,
        "scheduler": scheduler(r),
        "rx": {
            "buffer_bytes": 200_000,
            "drain_bps": r.choice([0, 0, 0, 5 * GBPS]),
            "xoff_bytes": 100_000,
            "xon_bytes": 50_000,
        },
    }


def switch_keys(r: Random, pfc: Json) -> Json:
    profile = {
        "rate_bps": 0,
        "kmin_bytes": r.choice([5_000, 100_000]),
        "kmax_bytes": r.choice([100_000, 400_000]),
        "pmax": r.choice([0.01, 1.0]),
    }
    marking = {
        "priorities": list(range(8)),
        "mark_at": r.choice(["dequeue", "enqueue"]),
        "wred_drop": r.choice([True, False]),
        "profiles": [profile],
    }
    watchdog = {
        "detect_ps": 20 * US,
        "restore_ps": 20 * US,
        "poll_ps": 10 * US,
        "action": r.choice(["drop", "forward"]),
    }
    return {
        "buffer": {
            "model": r.choice(["dynamic", "dynamic", "hpcc"]),
            "bytes": r.choice([100_000, 1_000_000, 32_000_000]),
            "alpha": r.choice([0.125, 1, 8]),
            "lossy_alpha": r.choice([0.5, 1]),
            "reserve_bytes": r.choice([0, 4096]),
            "headroom_bytes": r.choice([None, None, 0, 20_000]),
        },
        "ecn": r.choice([None, marking]),
        "pfc": {**pfc, "watchdog": r.choice([None, None, watchdog])},
        "scheduler": scheduler(r),
        "ecmp": {"mode": r.choice(["5tuple", "dqpn", "spray", "hpcc"])},
    }


def one_flow(r: Random, name: str, hosts: int, mtu: int, earlier: list[Json]) -> Json:
    a, b = r.sample(range(hosts), 2)
    verb = r.choice(["write", "write", "read", "send", "atomic"])
    transport = "rc"
    if verb in {"write", "send"} and r.random() < 0.3:
        transport = "ud" if verb == "send" and r.random() < 0.5 else "uc"
    size = 8 if verb == "atomic" else r.choice([1, 64, 1000, 4096, 100_000, 1_000_000])
    size = min(size, mtu) if transport == "ud" else size
    keys: Json = {
        "verb": verb,
        "transport": transport,
        "messages": r.choice([1, 3, 20]) if size > 5000 else r.randint(1, 500),
        "qps": r.choice([1, 1, 2, 5]),
        "priority": r.randint(0, 7) if r.random() < 0.4 else 3,
        "ect": r.choice([True, True, False]),
        "start_ps": r.choice([0, 0, r.randint(0, 100 * US)]),
        "rate_bps": r.choice([0, 0, GBPS, 10 * GBPS]),
        "window_bytes": r.choice([0, 0, 10_000, 100_000]),
        "max_outstanding": r.choice([0, 0, 1, 4]),
        "message_interval_ps": r.choice([0, 0, 0, US]),
    }
    if keys["message_interval_ps"]:
        keys["arrivals"] = r.choice(["fixed", "poisson"])
    if verb == "send" and r.random() < 0.5:
        keys |= {"recv_depth": r.choice([2, 16]), "recv_repost_ps": r.choice([US, 10 * US])}
    before = [other["name"] for other in earlier if f"h{a}:p0" in {other["src"], other["dst"]}]
    if before and r.random() < 0.4:
        keys |= {"after": [r.choice(before)], "after_delay_ps": r.choice([0, US])}
    return flow(name, f"h{a}", f"h{b}", size, **keys)


def impairment(r: Random, flows: list[Json], mtu: int) -> Json:
    one = r.choice(flows)
    event: Json = {
        "kind": "impair",
        "flow": one["name"],
        "action": r.choice(["drop", "corrupt", "mark", "delay", "duplicate"]),
        "qp": r.randrange(one["qps"]),
    }
    if event["action"] == "delay":
        event["delay_ps"] = r.choice([100 * NS, 10 * US])
    packets = -(-one["message_bytes"] // mtu) * one["messages"]
    if r.random() < 0.5:
        named = sorted({r.randrange(min(packets, 300)) for _ in range(2)})
        return event | {"packets": named, "iteration": r.choice([1, 2])}
    return event | {"fraction": r.choice([0.001, 0.05])}


def disturbance(r: Random, work: Json) -> list[Json]:
    """One kind of event, or a pair: a link that fails always comes back."""
    at = r.randint(0, MS)
    port = r.choice([one["name"] for one in work["nodes"] if one["kind"] == "host"]) + ":p0"
    some_link = r.choice(work["links"])["a"]
    kind = r.choice(["flap", "link_rate", "pause_storm", "drain_rate", "impair", "impair", "qos"])
    if kind == "flap":
        back = {"at_ps": at + r.randint(1, 100 * US), "kind": "link_up", "port": some_link}
        return [{"at_ps": at, "kind": "link_down", "port": some_link}, back]
    if kind == "impair":
        return [impairment(r, work["flows"], work["nic"]["mtu_bytes"]) | {"at_ps": at // 4}]
    event: Json = {"at_ps": at, "kind": kind}
    if kind == "link_rate":
        return [event | {"port": some_link, "rate_bps": r.choice([10, 40, 100]) * GBPS}]
    if kind == "pause_storm":
        quanta, interval = r.choice([65535, 100]), r.choice([None, US])
        lasting = {
            "priorities": [3],
            "duration_ps": r.randint(1, MS),
            "quanta": quanta,
            "interval_ps": interval,
        }
        return [event | lasting | {"port": port}]
    if kind == "drain_rate":
        return [event | {"port": port, "rate_bps": r.choice([0, GBPS, 5 * GBPS])}]
    if r.random() < 0.5:
        changed = {"scheduler": scheduler(r), "cc": {"algorithm": r.choice(["none", "dcqcn", "mlx5"])}}
        return [event | {"node": "h0", "nic": changed}]
    marking = {
        "priorities": [3],
        "profiles": [{"rate_bps": 0, "kmin_bytes": 1000, "kmax_bytes": 2000, "pmax": 1.0}],
    }
    changed = {"ecn": marking, "pfc": {"priorities": r.choice(PRIORITY_SETS)}}
    return [event | {"node": work["nodes"][-1]["name"], "switch": changed}]


def random_job(seed: int) -> Json:
    """The job of a seed; always valid, and every flow of it comes to an end."""
    r = Random(seed)
    nodes, links = fabric(r)
    hosts = sum(one["kind"] == "host" for one in nodes)
    pfc = {
        "priorities": r.choice(PRIORITY_SETS),
        # without expiry a resume frame that a bit error destroys would pause for ever
        "mode": "quanta" if any(one["ber"] for one in links) else r.choice(["quanta", "until_resume"]),
        "quanta": r.choice([65535, 100]),
    }
    work: Json = {"format": 1, "seed": seed, "nodes": nodes, "links": links, "duration_ps": END_OF_TIME}
    work["wire"] = {"model": "rocev2", "ip_version": r.choice([4, 6]), "vlan": r.choice([True, False])}
    if r.random() < 0.2:
        work["wire"] = {"model": "fixed", "gap_bytes": r.choice([0, 20])}
    if r.random() < 0.1:
        work["time"] = {"model": "ns3", "resolution_ps": r.choice([1, 1000])}
    work["nic"], work["switch"] = nic(r, pfc), switch_keys(r, pfc)
    work["flows"] = []
    for i in range(r.randint(1, 8)):
        work["flows"].append(one_flow(r, f"f{i}", hosts, work["nic"]["mtu_bytes"], work["flows"]))
    events = [event for _ in range(r.choice([0, 0, 1, 3, 6])) for event in disturbance(r, work)]
    work["events"] = sorted(events, key=lambda event: event["at_ps"])
    if r.random() < 0.15:
        work |= {"until": "duration", "duration_ps": 2 * MS, "drain_ps": r.choice([0, 100 * US])}
    if r.random() < 0.2:
        work["switch"]["dscp_map"] = [r.randrange(8) for _ in range(64)]
        for one in work["flows"]:
            one["dscp"] = r.choice([None, r.randrange(64)])
    return work
