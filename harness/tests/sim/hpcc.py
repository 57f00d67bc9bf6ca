"""Reads a configuration of the HPCC ns-3 simulator (.cfg, .topo, .flow) as a job with that simulator's semantics."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.ns3time import seconds_ps
from harness.tests.sim.jobs import GBPS, HPCC_WIRE, MBPS, US, Json, flow, job, link

MIB = 1 << 20
PFC = {"priorities": [3], "mode": "until_resume"}


def read_settings(path: Path) -> dict[str, list[str]]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: words[1:] for words in lines if words}


def by_rate(settings: dict[str, list[str]], key: str) -> dict[int, float]:
    """`N rate value rate value …` as a table."""
    words = settings[key][1:]
    return {int(rate): float(value) for rate, value in zip(words[::2], words[1::2], strict=True)}


def mbps(text: str) -> int:
    return int(text.removesuffix("Mb/s")) * MBPS


def reaction_point(settings: dict[str, list[str]]) -> Json:
    """CC_MODE 1 is DCQCN; the runs without congestion control have another mode."""
    if settings["CC_MODE"][0] != "1":
        return {"algorithm": "none"}

    def micros(key: str) -> int:
        return int(settings[key][0]) * US

    return {
        "algorithm": "ns3",
        "g": float(settings["EWMA_GAIN"][0]),
        "alpha_timer_ps": micros("ALPHA_RESUME_INTERVAL"),
        "cut_interval_ps": micros("RATE_DECREASE_INTERVAL"),
        "rate_timer_ps": micros("RP_TIMER"),
        "fast_recovery": int(settings["FAST_RECOVERY_TIMES"][0]),
        "rate_ai_bps": mbps(settings["RATE_AI"][0]),
        "rate_hai_bps": mbps(settings["RATE_HAI"][0]),
        "min_rate_bps": mbps(settings["MIN_RATE"][0]),
        "clamp_target": settings["CLAMP_TARGET_RATE"][0] == "1",
    }


def marking(settings: dict[str, list[str]]) -> Json | None:
    if settings["ENABLE_QCN"][0] == "0":
        return None
    kmin, kmax, pmax = (by_rate(settings, key) for key in ("KMIN_MAP", "KMAX_MAP", "PMAX_MAP"))
    profiles = [
        {"rate_bps": rate, "kmin_bytes": int(kmin[rate] * 1000), "kmax_bytes": int(kmax[rate] * 1000),
         "pmax": pmax[rate]}
        for rate in kmin
    ]  # fmt: skip
    return {"priorities": [3], "profiles": profiles}


def read_fabric(path: Path) -> tuple[list[Json], list[Json]]:
    """Nodes named by their numbers, ports numbered from 1 in the order of the links."""
    words = path.read_text().split()
    count, switches, links_count = (int(word) for word in words[:3])
    is_switch = {int(word) for word in words[3 : 3 + switches]}
    ports, links = [0] * count, []
    for i in range(links_count):
        a, b, rate, delay, _ = words[3 + switches + 5 * i :][:5]
        for end in (int(a), int(b)):
            ports[end] += 1
        near, far = (f"{end}:{ports[int(end)]}" for end in (a, b))
        links.append(
            link(near, far, int(rate.removesuffix("Gbps")) * GBPS, int(float(delay.removesuffix("us")) * US))
        )
    nodes = [
        {
            "name": str(i),
            "kind": "switch" if i in is_switch else "host",
            "ports": [str(k + 1) for k in range(ports[i])],
        }
        for i in range(count)
    ]
    return nodes, links


def read_flows(path: Path) -> list[Json]:
    """`src dst priority dport bytes start` a line; the k-th flow of a pair has source port 10000 + k."""
    words, flows = path.read_text().split(), []
    seen: dict[tuple[str, str], int] = {}
    for i in range(int(words[0])):
        src, dst, priority, _, size, start = words[1 + 6 * i :][:6]
        k = seen[src, dst] = seen.get((src, dst), -1) + 1
        flows.append(
            flow(f"f{i}", src, dst, int(size), priority=int(priority), start_ps=seconds_ps(float(start)),
                 udp_sport=10_000 + k) | {"src": f"{src}:1", "dst": f"{dst}:1"}
        )  # fmt: skip
    return flows


def semantics(cc: Json, ecn: Json | None, buffer_bytes: int) -> Json:
    """The keys of a job that select that model: its frames, clock, ACKs, scheduler, buffer, ECMP."""
    return {
        "time": {"model": "ns3", "resolution_ps": 1},
        "wire": HPCC_WIRE,
        "nic": {
            "mtu_bytes": 1000,
            "ack_timeout_exponent": 0,
            "nak_interval_ps": 500 * US,
            "ack": {"every": 1, "strict": True},
            "cnp": {"mode": "ack_echo"},
            "cc": cc,
            "pfc": PFC,
            "scheduler": {"kind": "hpcc"},
        },
        "switch": {
            "buffer": {"model": "hpcc", "bytes": buffer_bytes},
            "pfc": PFC,
            "scheduler": {"kind": "hpcc"},
            "ecmp": {"mode": "hpcc"},
            "ecn": ecn,
        },
    }


def read(cfg: Path, output: Path | None = None) -> Json:
    """The job of `cfg` and the .topo and .flow beside it, tracing into `output`."""
    settings = read_settings(cfg)
    nodes, links = read_fabric(cfg.with_suffix(".topo"))
    buffer_bytes = int(settings["BUFFER_SIZE"][0]) * MIB
    keys = semantics(reaction_point(settings), marking(settings), buffer_bytes)
    if output is not None:
        keys |= {"output_dir": str(output), "trace": ["cc", "pfc"]}
    return job(nodes, links, read_flows(cfg.with_suffix(".flow")), name=cfg.stem, **keys)
