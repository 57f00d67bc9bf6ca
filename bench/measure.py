"""Run roce-sim on one job and read its speed, from outside: wall time includes parsing the job."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians over the runs of one job; ``rss_kb`` is the largest peak, None when it was not reported."""

    hops: int
    events: int
    wall_s: float
    spread: float  # (slowest - fastest) / median
    rss_kb: int | None

    @property
    def hops_per_s(self) -> float:
        """Link-hops per second of wall time."""
        return self.hops / self.wall_s

    @property
    def events_per_s(self) -> float:
        """Events per second of wall time."""
        return self.events / self.wall_s


class BenchError(Exception):
    """The simulator did not finish a benchmark job; the message says how it ended."""


def measure(program: Path, job: dict[str, object], runs: int) -> Speed:
    """Run ``job`` ``runs`` times and condense.

    Raises:
        BenchError: the program failed, or two runs of the same job differed.
    """
    with tempfile.TemporaryDirectory(prefix="roce-bench-") as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        done = [_once(program, path) for _ in range(runs)]
    counts = {(hops, events) for hops, events, _, _ in done}
    if len(counts) != 1:
        raise BenchError(f"{job['name']}: runs of the same job differ: {sorted(counts)}")
    (hops, events) = counts.pop()
    walls = sorted(wall for _, _, wall, _ in done)
    median = statistics.median(walls)
    peaks = [rss for _, _, _, rss in done if rss is not None]
    return Speed(hops, events, median, (walls[-1] - walls[0]) / median, max(peaks, default=None))


def _once(program: Path, job: Path) -> tuple[int, int, float, int | None]:
    # Linux counts the memory of the process that called exec() into ru_maxrss of the new program. The shell
    # in between has 2 MB where this interpreter has 30, so the peak that roce-sim reports is its own.
    command = ["sh", "-c", '"$0" < "$1"; exit $?', str(program), str(job)]
    begin = time.perf_counter()
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - begin
    if finished.returncode != 0:
        last = finished.stderr.strip().splitlines()[-1:] or ["no message"]
        raise BenchError(f"roce-sim ended with exit code {finished.returncode}: {last[0]}")
    stats = json.loads(finished.stdout)["stats"]
    return stats["link_hops"], stats["events"], wall, _reported_rss_kb(finished.stderr)


def _reported_rss_kb(progress: str) -> int | None:
    for line in reversed(progress.strip().splitlines()):
        record = json.loads(line)
        if record.get("done"):
            value = record.get("max_rss_kb")
            return int(value) if value is not None else None
    return None
