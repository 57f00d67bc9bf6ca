"""``python -m bench traffic``: roce-load beside perftest on virtual machines with Soft-RoCE.

Both run on the same two guests and devices, in turns, many times; the table has medians and their ratio. Guests are
emulated and share the cores of this machine: only the ratios mean something, and only when nothing else runs here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import BenchError
from harness import MS, KiB, Load, MiB, Nic, Qos, Scenario, VerbsOptions
from harness.bindings import vmlab
from harness.core.errors import HarnessError
from harness.core.flow import Verb
from harness.core.result import RunResult
from harness.core.topology import Topology
from harness.hosts.fabric import HostFabric
from harness.patterns.pair import Pair

QOS = Qos(nic=Nic(mtu=4096, ack_timeout=17, max_rd_atomic=1))
"""One read at a time: more would answer faster than a slow link drains."""
NOISE = 0.03
"""Of a ratio of medians, what two runs of the same differ by."""
TOPOLOGY = """
name: softroce-unshaped
nodes:
  h1: {kind: host}
  h2: {kind: host}
  sw1: {kind: switch, buffer: 8MB}
links:
  - {endpoints: ["h1:p0", "sw1:e1"], rate: 10Gbps, delay: 1us}
  - {endpoints: ["h2:p0", "sw1:e2"], rate: 10Gbps, delay: 1us}
"""
"""Links beyond what emulated guests carry: the switch must not be what both are equal by."""
MESSAGES = {64: 4000, 4 * KiB: 1000, 64 * KiB: 120, 1 * MiB: 10}
"""Messages of a run by size: about a second on an emulated guest."""
LATENCIES = 1000
UNSIGNALLED = 100
"""Messages for a completion: what perftest asks for by itself."""
LIMIT = 60_000 * MS
"""Of a run; machines that do something else meanwhile are slow."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that both do."""

    what: str  # "bandwidth" or "latency"
    verb: str
    size: int
    qps: int = 1

    @property
    def title(self) -> str:
        """For people."""
        name = f"{self.size // MiB} MiB" if self.size >= MiB else f"{self.size // KiB} KiB"
        size = name if self.size >= KiB else f"{self.size} B"
        return f"{self.verb}, {size}, {self.qps} QP{'s' if self.qps > 1 else ''}"


BANDWIDTHS = tuple(
    Case("bandwidth", verb, size, qps)
    for verb in ("write", "send", "read")
    for size in MESSAGES
    for qps in (1, 16)
)
LATENCY = tuple(Case("latency", verb, 64) for verb in ("write", "send"))


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of some runs of both; Gb/s and messages a second, or microseconds."""

    case: Case
    figure: str
    theirs: float
    ours: float

    @property
    def ratio(self) -> float:
        """Ours over theirs."""
        return self.ours / self.theirs

    @property
    def good(self) -> bool:
        """Whether ours is as good, noise aside."""
        return self.ratio <= 1 + NOISE if self.case.what == "latency" else self.ratio >= 1 - NOISE


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 0 when roce-load is as good in each row, 1 when it is not, 2 on failure."""
    options = _options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 150)
    try:
        rows = _measure(_chosen(options.only), options.rounds, console)
    except (BenchError, HarnessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    console.print(_table(rows, options.rounds))
    if options.json:
        figures = [{**asdict(row.case), **_figures(row)} for row in rows]
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return int(not all(row.good for row in rows))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench traffic", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turns [5]")
    parser.add_argument("--only", metavar="TEXT", help="cases whose title has this text")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    return parser.parse_args(arguments)


def _chosen(only: str | None) -> list[Case]:
    cases = [*BANDWIDTHS, *LATENCY]
    return [case for case in cases if only is None or only in f"{case.what}: {case.title}"]


def _measure(cases: Sequence[Case], rounds: int, console: Console) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "softroce-unshaped.yaml"
        file.write_text(TOPOLOGY, encoding="utf-8")
        topology = Topology.load(file)
    with vmlab.reserve(topology, engine="auto") as fabric, console.status("") as status:
        rows = []
        for case in cases:
            status.update(f"{case.what}: {case.title}")
            runs = [
                (_run(fabric, case, theirs=True), _run(fabric, case, theirs=False)) for _ in range(rounds)
            ]
            rows += _rows(case, [theirs for theirs, _ in runs], [ours for _, ours in runs])
        return rows


def _run(fabric: HostFabric, case: Case, *, theirs: bool) -> RunResult:
    echo = case.what == "latency"
    verbs = VerbsOptions(engine="perftest" if theirs else "pyverbs", ping_pong=echo, check_payload=False)
    messages = LATENCIES if echo else max(5, MESSAGES[case.size] // case.qps)
    load = None if theirs else Load(signal_every=None if echo else UNSIGNALLED)
    pair = Pair(case.size, verb=Verb(case.verb), messages=messages, qps=case.qps, verbs=verbs, load=load)
    # perftest keeps no rates over time, so ours keeps none either
    result = fabric.run(Scenario(pair, qos=QOS, until="done", duration=LIMIT, sample_every=0))
    flow = result.flow("pair-0")
    if flow.status != "done":
        raise BenchError(
            f"{case.title}: {'perftest' if theirs else 'roce-load'} ended {flow.status}: {flow.error}"
        )
    return result


Figure = Callable[[RunResult], float]


def _messages_per_s(result: RunResult) -> float:
    """Of perftest what its table says with the most digits; of ours messages over time."""
    told = result.raw["flows"][0].get("perftest")
    if told is not None:
        return float(told["message_rate_hz"])
    flow = result.flow("pair-0")
    return float(flow.goodput_gbps) * 1e9 / 8 / int(flow.message_bytes)


def _median_us(result: RunResult) -> float:
    return _microseconds(result, "p50_ps")


def _p99_us(result: RunResult) -> float:
    return _microseconds(result, "p99_ps")


def _microseconds(result: RunResult, key: str) -> float:
    value = getattr(result.flow("pair-0").latency, key, None)
    if value is None:
        raise BenchError(f"no {key} of a ping-pong")
    return float(value) / 1e6


def _rows(case: Case, theirs: Sequence[RunResult], ours: Sequence[RunResult]) -> list[Row]:
    figures: dict[str, Figure] = {"Mb/s": lambda result: _messages_per_s(result) * case.size * 8 / 1e6}
    if case.what == "latency":
        figures = {"median us": _median_us, "p99 us": _p99_us}
    elif case.size == min(MESSAGES):
        figures = {"messages/s": _messages_per_s}
    return [
        Row(case, name, statistics.median(map(figure, theirs)), statistics.median(map(figure, ours)))
        for name, figure in figures.items()
    ]


def _table(rows: Sequence[Row], rounds: int) -> Table:
    title = f"\nroce-load beside perftest on two emulated guests, medians of {rounds} runs each, in turns"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    table.add_column("case", no_wrap=True)
    table.add_column("figure")
    for heading in ("perftest", "roce-load", "÷ perftest", ""):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.case.title, row.figure, f"{row.theirs:.1f}", f"{row.ours:.1f}", f"{row.ratio:.2f}",
            "" if row.good else "worse",
        )  # fmt: skip
    return table


def _figures(row: Row) -> dict[str, float | str | bool]:
    return {
        "figure": row.figure, "perftest": row.theirs, "roce_load": row.ours, "ratio": row.ratio, "good": row.good,
    }  # fmt: skip
