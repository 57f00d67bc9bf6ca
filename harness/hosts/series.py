"""Goodput over time, from what senders saw acknowledged, as the tables of docs/job-format.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import ConfigError
from harness.hosts.clock import ClockMap

Samples = Sequence[Sequence[int]]
"""Pairs of an instant on the sender's clock in ns and the payload bytes acknowledged until then."""

TIME_FILE, GOODPUT_FILE = "time_ps.npy", "goodput_bps.npy"

MOST_SAMPLES = 1_000_000
"""Rows of one table: a day at ten a second."""


def progress_ms(sample_every_ps: int) -> int:
    """Return how often agents tell their progress: what was asked for, between 10 ms and 100 ms.

    An agent is a Python program: looking more often would take the time that it needs for traffic. It has to
    be heard each 100 ms anyway.
    """
    asked_ms = sample_every_ps // 10**9
    return asked_ms if 10 <= asked_ms < 100 else 100


def write_series(
    folder: Path,
    sample_every_ps: int,
    end_ps: int,
    flows: Mapping[str, tuple[ClockMap, Samples] | None],
    t0_ns: int,
) -> dict[str, Any] | None:
    """Write goodput by flow into `folder` and return the `series` of a result; None when nothing is known.

    The interval is the one asked for, but never shorter than agents sample; a last one that is not whole is left
    out, unless it is the only one. A flow that nobody knows anything
    about has NaN throughout: not 0.
    """
    every = max(sample_every_ps, progress_ms(sample_every_ps) * 10**9)
    rows = min(max(1, end_ps // every), MOST_SAMPLES)
    if all(known is None or not known[1] for known in flows.values()):
        return None
    grid = np.arange(1, rows + 1, dtype=np.int64) * every
    columns = [_goodput(grid, every, known, t0_ns) for known in flows.values()]
    _save(folder / TIME_FILE, grid)
    _save(folder / GOODPUT_FILE, np.column_stack(columns))
    table = {"file": GOODPUT_FILE, "unit": "bit/s", "columns": list(flows)}
    return {
        "every_ps": every,
        "samples": int(rows),
        "time_file": TIME_FILE,
        "tables": {"goodput_bps": table},
    }


def _goodput(
    grid: NDArray[np.int64], every: int, known: tuple[ClockMap, Samples] | None, t0_ns: int
) -> NDArray[np.float64]:
    """Return bits per second in the interval before each instant of the grid.

    Bytes between two samples count as evenly spread; nothing is acknowledged before the start or after the
    last sample.
    """
    if known is None or not known[1]:
        return np.full(len(grid), np.nan)
    clock, samples = known
    times = [(clock.to_controller(int(mono)) - t0_ns) * 1000 for mono, _ in samples]
    acked = [int(count) for _, count in samples]
    marks = np.concatenate(([0], grid)).astype(float)
    curve = np.interp(marks, [min(0.0, times[0]), *times], [0.0, *acked])
    bits: NDArray[np.float64] = np.diff(curve) * 8 / (every / 1e12)
    return bits


def _save(path: Path, array: NDArray[Any]) -> None:
    try:
        np.save(path, array)
    except OSError as error:
        raise ConfigError(f"cannot write the series: {error.strerror}", file=path) from None
