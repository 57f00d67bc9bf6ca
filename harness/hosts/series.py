"""Goodput over time, from what senders saw acknowledged, as the tables of docs/job-format.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import ConfigError
from harness.hosts.clock import ClockMap
from harness.hosts.qp_series import QpSeries

Samples = Sequence[Sequence[int]]
"""Pairs of an instant on the sender's clock in ns and the payload bytes acknowledged until then."""

TIME_FILE, GOODPUT_FILE, QP_FILE = "time_ps.npy", "goodput_bps.npy", "qp_goodput_bps.npy"

MOST_SAMPLES = 1_000_000
"""Rows of one table: a day at ten a second."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a flow over time: samples of the agent, and those by QP where a native generator made it."""

    clock: ClockMap
    samples: Samples
    by_qp: QpSeries | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nobody looked while it sent."""
        return not self.samples and self.is_coarse

    @property
    def is_coarse(self) -> bool:
        """Whether there are samples of the agent alone."""
        return self.by_qp is None or not len(self.by_qp.mono_ns)


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
    flows: Mapping[str, Known | None],
    t0_ns: int,
) -> dict[str, Any] | None:
    """Write goodput by flow, and by QP, into `folder` and return the `series` of a result; None when nothing is known.

    The interval is the one asked for, but never shorter than the coarsest sampling of a flow; a last one that is not
    whole is left out, unless it is the only one. A flow that nobody knows anything
    about has NaN throughout: not 0.
    """
    known = [each for each in flows.values() if each is not None and not each.is_empty]
    if not known:
        return None
    every = max(sample_every_ps, *(_spacing_ps(each, sample_every_ps) for each in known))
    rows = min(max(1, end_ps // every), MOST_SAMPLES)
    grid = np.arange(1, rows + 1, dtype=np.int64) * every
    columns = [_goodput(grid, every, each, t0_ns) for each in flows.values()]
    _save(folder / TIME_FILE, grid)
    _save(folder / GOODPUT_FILE, np.column_stack(columns))
    tables = {"goodput_bps": {"file": GOODPUT_FILE, "unit": "bit/s", "columns": list(flows)}}
    by_qp = {
        name: (each.clock, each.by_qp)
        for name, each in flows.items()
        if each is not None and each.by_qp is not None and not each.is_coarse
    }
    if by_qp:
        tables["qp_goodput_bps"] = _write_by_qp(folder, grid, every, by_qp, t0_ns)
    thinned = max(each.by_qp.every if each.by_qp else 1 for each in known)
    return {
        "every_ps": every,
        "samples": int(rows),
        "time_file": TIME_FILE,
        "tables": tables,
        **({"thinned": thinned} if thinned > 1 else {}),
    }


def _spacing_ps(known: Known, sample_every_ps: int) -> int:
    if known.by_qp is None or known.is_coarse:
        return progress_ms(sample_every_ps) * 10**9
    return known.by_qp.spacing_ns * 1000


def _write_by_qp(
    folder: Path,
    grid: NDArray[np.int64],
    every: int,
    flows: Mapping[str, tuple[ClockMap, QpSeries]],
    t0_ns: int,
) -> dict[str, Any]:
    """Write what each QP of each flow carried; its columns are called `flow[i]`."""
    columns: list[Floats] = []
    names: list[str] = []
    for name, (clock, by_qp) in flows.items():
        times = _since_start_ps(clock, by_qp.mono_ns, t0_ns)
        for index, done in enumerate(by_qp.done.T):
            columns.append(_rate(grid, every, times, done.astype(float)))
            names.append(f"{name}[{index}]")
    _save(folder / QP_FILE, np.column_stack(columns))
    return {"file": QP_FILE, "unit": "bit/s", "columns": names}


def _goodput(grid: NDArray[np.int64], every: int, known: Known | None, t0_ns: int) -> Floats:
    """Return bits per second in the interval before each instant of the grid."""
    if known is None or known.is_empty:
        return np.full(len(grid), np.nan)
    if known.by_qp is not None and not known.is_coarse:
        times, done = known.by_qp.mono_ns, known.by_qp.done.sum(axis=1).astype(float)
    else:
        times = np.array([int(mono) for mono, _ in known.samples], dtype=np.int64)
        done = np.array([int(count) for _, count in known.samples], dtype=float)
    return _rate(grid, every, _since_start_ps(known.clock, times, t0_ns), done)


def _rate(grid: NDArray[np.int64], every: int, times_ps: Floats, done: Floats) -> Floats:
    """Return bits per second before each instant of the grid, from bytes that were done at some instants.

    Bytes between two samples count as evenly spread; nothing is acknowledged before the start or after the
    last sample.
    """
    marks = np.concatenate(([0], grid)).astype(float)
    first = min(0.0, float(times_ps[0]))
    curve = np.interp(marks, np.concatenate(([first], times_ps)), np.concatenate(([0.0], done)))
    bits: Floats = np.diff(curve) * 8 / (every / 1e12)
    return bits


def _since_start_ps(clock: ClockMap, mono_ns: NDArray[np.int64], t0_ns: int) -> Floats:
    """Return instants of a host as ps since the start of the run; see `ClockMap.to_controller`."""
    since = mono_ns - (clock.before.offset_ns + clock.before.at_ns)
    return (since / (1.0 + (clock.drift or 0.0)) + float(clock.before.at_ns - t0_ns)) * 1000.0


def _save(path: Path, array: NDArray[Any]) -> None:
    try:
        np.save(path, array)
    except OSError as error:
        raise ConfigError(f"cannot write the series: {error.strerror}", file=path) from None
