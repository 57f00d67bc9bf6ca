"""``python -m bench verdicts``: the suites again and again - in one process and in several, twice, with other seeds.

Verdicts must be the same each time, and with the same seed every measured value too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import BenchError
from harness.core import record_files
from harness.core.record import RunRecord

RECORD = "record.json"
SHOWN = 10
"""Differences that are listed; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run the suites: workers of pytest-xdist (0: none) and the seed."""

    workers: int
    seed: int

    @property
    def title(self) -> str:
        """For people."""
        return f"-n {self.workers}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Session:
    """What came of one way."""

    way: Way
    wall_s: float
    record: RunRecord


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ways and compare; 0 when all agree, 1 when not, 2 when a session did not run."""
    options = _options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 150)
    ways = [
        Way(0, 1),
        Way(options.workers, 1),
        Way(options.workers, 1),
        Way(options.workers, 2),
        Way(options.workers, 3),
    ]
    try:
        with tempfile.TemporaryDirectory(prefix="verdicts-") as folder:
            sessions = [
                _run(way, Path(folder) / str(number), options.suites, console)
                for number, way in enumerate(ways)
            ]
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    differing = [differences(sessions[0].record, each.record, values=each.way.seed == 1) for each in sessions]
    console.print(_table(sessions, differing))
    for each in list(dict.fromkeys(line for lines in differing for line in lines))[:SHOWN]:
        console.print(each, markup=False)
    return 1 if any(differing) else 0


def differences(first: RunRecord, other: RunRecord, *, values: bool) -> list[str]:
    """Name the tests whose verdict differs; with `values` also those whose measurements do."""
    left, right = (_by_name(record, values=values) for record in (first, other))
    return [
        f"{name}: {left.get(name, 'did not run')} and {right.get(name, 'did not run')}"
        for name in sorted({*left, *right})
        if left.get(name) != right.get(name)
    ]


def _by_name(record: RunRecord, *, values: bool) -> Mapping[str, str]:
    return {
        test.nodeid: f"{test.outcome.value} {[(each.name, each.value) for each in test.measurements] if values else ''}"
        for test in record.tests
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench verdicts", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="processes of the ways that have some (2)")
    parser.add_argument("--suites", default="suites", help="folder or file of the suites (suites)")
    return parser.parse_args(arguments)


def _run(way: Way, folder: Path, suites: str, console: Console) -> Session:
    command = [
        sys.executable,
        "-m",
        "pytest",
        suites,
        "-m",
        "not slow",
        "-q",
        "--tb",
        "no",
        "-p",
        "no:cacheprovider",
    ]
    command += ["-n", str(way.workers), "--seed", str(way.seed), "--record", str(folder), "--html", "none"]
    started = time.perf_counter()
    with console.status(way.title):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    if not (folder / RECORD).exists():
        raise BenchError(f"the session {way.title!r} left no record: {run.stdout.strip()[-500:]}")
    return Session(way, time.perf_counter() - started, record_files.load(folder / RECORD))


def _table(sessions: Sequence[Session], differing: Sequence[Sequence[str]]) -> Table:
    table = Table(
        title="\nVerdicts of the suites", title_justify="left", box=None, padding=(0, 1), pad_edge=False
    )
    for heading in ("way", "tests", "outcomes", "wall s", "differ from the first", "compared"):
        table.add_column(heading, justify="left" if heading in ("way", "outcomes") else "right")
    for session, lines in zip(sessions, differing, strict=True):
        counts = ", ".join(
            f"{number} {outcome.value}" for outcome, number in session.record.counts().items() if number
        )
        compared = "verdicts and values" if session.way.seed == 1 else "verdicts"
        row = (
            session.way.title,
            str(len(session.record.tests)),
            counts,
            f"{session.wall_s:.1f}",
            str(len(lines)),
        )
        table.add_row(*row, compared)
    return table
