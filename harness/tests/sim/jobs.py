"""Small jobs for the simulator, and running them: the tests of this folder talk to `roce-sim` itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

NS: Final = 1_000
US: Final = 1_000_000
MS: Final = 1_000_000_000
S: Final = 1_000_000_000_000
GBPS: Final = 1_000_000_000
MBPS: Final = 1_000_000
TIMEOUT_S: Final = 120
HPCC_WIRE: Final[Json] = {
    "model": "fixed",
    "data_overhead_bytes": 48,
    "ack_bytes": 60,
    "cnp_bytes": 60,
    "pfc_bytes": 43,
    "gap_bytes": 0,
}
"""The frames of the HPCC ns-3 model: 48 bytes of headers, no gap."""


@cache
def program() -> str:
    """The simulator: $ROCE_SIM, beside the interpreter, on PATH, or the newest in a build folder of the repository.

    Raises AssertionError: these tests are worth nothing without it, so its absence is a failure.
    """
    asked = os.environ.get("ROCE_SIM")
    if asked:
        return asked
    beside = Path(sys.executable).parent / "roce-sim"
    if beside.is_file():
        return str(beside)
    on_path = shutil.which("roce-sim")
    if on_path:
        return on_path
    root = Path(__file__).resolve().parents[3]
    built = sorted(root.glob("build/**/roce-sim"), key=lambda path: path.stat().st_mtime)
    assert built, "no roce-sim: `pip install -e .` builds it, or point $ROCE_SIM at one"
    return str(built[-1])


def run_text(job: Mapping[str, Any]) -> str:
    """Standard output of a run that must be good."""
    done = subprocess.run(
        [program()], input=json.dumps(job), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"roce-sim exit {done.returncode}: {done.stderr[-1500:]} {done.stdout[:600]}"
    return done.stdout


def run(job: Mapping[str, Any]) -> Json:
    """The result of a run; its packets must be conserved."""
    result: Json = json.loads(run_text(job))
    assert result["conservation"]["ok"], result["conservation"]["violations"]
    assert result["error"] is None
    return result


def host(name: str, ports: int = 1, **nic: Any) -> Json:
    """A host with ports p0, p1, … and keys of `nic` that differ from the job's."""
    return {"name": name, "kind": "host", "ports": [f"p{i}" for i in range(ports)], "nic": nic}


def switch(name: str, ports: Iterable[str], **settings: Any) -> Json:
    return {"name": name, "kind": "switch", "ports": list(ports), "switch": settings}


def link(a: str, b: str, rate_bps: int = 100 * GBPS, delay_ps: int = US, ber: float = 0.0) -> Json:
    return {"a": a, "b": b, "rate_bps": rate_bps, "delay_ps": delay_ps, "ber": ber}


def flow(name: str, src: str, dst: str, message_bytes: int, **more: Any) -> Json:
    """A flow between the first ports of two hosts."""
    return {"name": name, "src": f"{src}:p0", "dst": f"{dst}:p0", "message_bytes": message_bytes, **more}


def job(nodes: list[Json], links: list[Json], flows: list[Json], **more: Any) -> Json:
    return {"format": 1, "nodes": nodes, "links": links, "flows": flows, **more}


def star(
    hosts: int, flows: list[Json], *, rate_bps: int = 100 * GBPS, delay_ps: int = US, **more: Any
) -> Json:
    """Hosts h0, h1, … on the ports e0, e1, … of switch s; `rates` overrides the rate of some hosts."""
    rates: Mapping[int, int] = more.pop("rates", {})
    nodes = [host(f"h{i}") for i in range(hosts)] + [switch("s", (f"e{i}" for i in range(hosts)))]
    links = [link(f"h{i}:p0", f"s:e{i}", rates.get(i, rate_bps), delay_ps) for i in range(hosts)]
    return job(nodes, links, flows, **more)


def chain(
    switches: int, flows: list[Json], *, rate_bps: int = 100 * GBPS, delay_ps: int = US, **more: Any
) -> Json:
    """Hosts h0 and h1 with a row of switches s0, s1, … between: `switches` + 1 links."""
    nodes = [host("h0"), host("h1")] + [switch(f"s{i}", ("l", "r")) for i in range(switches)]
    stops = ["h0:p0"]
    for i in range(switches):
        stops += [f"s{i}:l", f"s{i}:r"]
    stops.append("h1:p0")
    links = [link(a, b, rate_bps, delay_ps) for a, b in zip(stops[::2], stops[1::2], strict=True)]
    return job(nodes, links, flows, **more)


def leaf_spine(leaves: int, spines: int, hosts: int, flows: list[Json], **more: Any) -> Json:
    """`hosts` a leaf, numbered through as h0, h1, …; leaves l0, l1, … (ports d*, u*), spines t0, t1, …"""
    rate, delay = more.pop("rate_bps", 100 * GBPS), more.pop("delay_ps", US)
    nodes = [host(f"h{i}") for i in range(leaves * hosts)]
    ports = [f"d{j}" for j in range(hosts)] + [f"u{j}" for j in range(spines)]
    nodes += [switch(f"l{i}", ports) for i in range(leaves)]
    nodes += [switch(f"t{i}", [f"d{j}" for j in range(leaves)]) for i in range(spines)]
    links = [link(f"h{i}:p0", f"l{i // hosts}:d{i % hosts}", rate, delay) for i in range(leaves * hosts)]
    links += [link(f"l{i}:u{j}", f"t{j}:d{i}", rate, delay) for i in range(leaves) for j in range(spines)]
    return job(nodes, links, flows, **more)


def flow_of(result: Json, name: str) -> Json:
    return next(entry for entry in result["flows"] if entry["name"] == name)


def nic_of(result: Json, name: str) -> Json:
    """Counters of the first NIC port of a host."""
    counters: Json = result["ports"][f"{name}:p0"]["nic"]
    return counters


def drops(result: Json) -> Json:
    """Dropped frames of all ports by reason, reasons that did not occur left out."""
    total: Json = {}
    for port in result["ports"].values():
        for reason, count in port["drops"].items():
            if count:
                total[reason] = total.get(reason, 0) + count
    return total


def rows(path: Path) -> list[list[str]]:
    """Lines of a trace without its header."""
    return [line.split(",") for line in path.read_text().splitlines()[1:]]
