"""``python -m bench null``: how many messages a second roce-load can make on one core, without a device.

The null device completes what is posted at once and moves no bytes: what is left is the generator's own loop.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import BenchError

BAR = 20e6
"""Messages a second that one core must reach: of 2.5 KB they fill 400 Gb/s."""
RUNS = 5
LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Case:
    """Messages of 64 bytes: how many a call, over how many queue pairs, to be checked or not."""

    batch: int
    qps: int
    checked: bool = False

    @property
    def messages(self) -> int:
        """Of a run: about half a second."""
        return (40_000_000 if self.batch > 1 else 12_000_000) // (4 if self.checked else 1)


CASES = (Case(32, 1), Case(32, 16), Case(1, 1), Case(1, 16), Case(32, 1, checked=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 0 when every case without checks reaches the bar, 1 when one does not, 2 on failure."""
    parser = argparse.ArgumentParser(prog="python -m bench null", description=__doc__)
    parser.add_argument(
        "--roce-load", type=Path, metavar="PROGRAM", default=Path(sys.executable).with_name("roce-load")
    )
    program = parser.parse_args(arguments).roce_load
    try:
        rates = {case: statistics.median(_rate(program, case) for _ in range(RUNS)) for case in CASES}
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    Console(width=None if sys.stdout.isatty() else 150).print(_table(rates))
    return int(any(rate < BAR for case, rate in rates.items() if not case.checked))


def _rate(program: Path, case: Case) -> float:
    flow = {
        "name": "write", "src": "h1:p0", "dst": "h2:p0", "verb": "write", "message_bytes": 64, "qps": case.qps,
        "messages": case.messages // case.qps, "verbs": {"check_payload": case.checked},
        "load": {"batch": case.batch, "signal_every": 64, "poll": "busy"},
    }  # fmt: skip
    job = json.dumps({"name": "ceiling", "until": "done", "flows": [flow]})
    command = [str(program), "--device", "null0:data=off"]
    try:
        done = subprocess.run(
            command, input=job, capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{program}: {error}") from error
    if done.returncode:
        raise BenchError(f"{program}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
    result = json.loads(done.stdout)["flows"][0]
    return float(result["messages_completed"] / (result["fct_ps"] / 1e12))


def _table(rates: dict[Case, float]) -> Table:
    title = f"\nMessages a second on one core without a device, medians of {RUNS} runs; the bar is 20 M"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    for heading in ("batch", "queue pairs", "M messages/s", ""):
        table.add_column(heading, justify="right")
    for case, rate in rates.items():
        note = "payload changes with each message" if case.checked else "" if rate >= BAR else "below the bar"
        table.add_row(str(case.batch), str(case.qps), f"{rate / 1e6:.1f}", note)
    return table
