"""Runs of the HPCC ns-3 simulator, event for event, where its output is at hand (../shared/oracles).

Deterministic runs must agree in every event; runs with random marking in their statistics, because the draws
of the two simulators differ.
"""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from statistics import mean, variance

import pytest

from harness.tests.sim import hpcc
from harness.tests.sim.jobs import rows, run

ORACLES = Path(__file__).resolve().parents[4] / "shared" / "oracles"
CONFIGS, DATA = ORACLES / "configs", ORACLES / "data"
pytestmark = pytest.mark.skipif(not CONFIGS.is_dir(), reason=f"no reference runs in {ORACLES}")


def exact_runs() -> list[str]:
    """Runs without a random draw: step marking, no marking, a single flow."""
    names = (path.stem for path in sorted(CONFIGS.glob("*.cfg")))
    return [name for name in names if "_s5_" in name or "noCC" in name or "_s1_" in name] or ["absent"]


def table(name: str) -> list[list[str]] | None:
    """Rows of a CSV, plain or compressed; None when that run has none."""
    for path in (DATA / name, DATA / f"{name}.gz"):
        if path.is_file():
            text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            return [line.split(",") for line in text.decode().splitlines()[1:]]
    return None


@pytest.mark.parametrize("name", exact_runs())
def test_a_deterministic_run_agrees_in_every_event(name: str, tmp_path: Path) -> None:
    result = run(hpcc.read(CONFIGS / f"{name}.cfg", tmp_path))
    times = {row[0]: int(row[6]) for row in table(f"{name}_fct.csv") or []}
    assert {entry["name"][1:]: entry["fct_ps"] // 1000 for entry in result["flows"]} == times
    compared = len(times)
    for ours, theirs, columns in (("cc_events.csv", "ccevents.csv", 8), ("pfc_events.csv", "pfc.csv", 5)):
        expected = table(f"{name}_{theirs}")
        if expected is None:
            continue
        got = [row[:columns] for row in rows(tmp_path / ours)]
        differing = [pair for pair in zip(got, expected, strict=False) if pair[0] != pair[1][:columns]]
        assert (len(got), differing[:3]) == (len(expected), [])
        compared += len(expected)
    assert compared > 0


SUMMARY = DATA / "hpcc_incast_multiseed_10MB_summary.csv"
PROFILES = {"mlx": "hpcc_s2_mlx_incast8_20MB_ps", "paper5": "hpcc_s2_paper5_incast8_20MB_ps"}
SEEDS = 6


def incast(profile: str, senders: int, seed: int) -> dict[str, float]:
    """Statistics of one probabilistic incast of 10 MB a sender."""
    work = hpcc.read(CONFIGS / f"{PROFILES[profile]}.cfg")
    work["seed"] = seed
    work["flows"] = [entry | {"message_bytes": 10_000_000} for entry in work["flows"][:senders]]
    result = run(work)
    times = [entry["fct_ps"] / 1e6 for entry in result["flows"]]
    return {
        "fct_mean_us": mean(times),
        "fct_max_us": max(times),
        "cnps": sum(entry["cnp_received"] for entry in result["flows"]),
        "rate_decreases": sum(entry["rate_cuts"] for entry in result["flows"]),
    }


@pytest.mark.parametrize("senders", [2, 4, 8])
@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_random_marking_lands_in_the_bands_of_many_seeds(profile: str, senders: int) -> None:
    """Two samples of one distribution: their means differ by less than 4.5 standard errors (p below 1e-4 at
    these sizes, for each of 24 comparisons)."""
    with SUMMARY.open() as lines:
        reference = [
            row
            for row in csv.DictReader(lines)
            if row["profile"] == profile and int(row["senders"]) == senders
        ]
    ours = [incast(profile, senders, seed) for seed in range(1, SEEDS + 1)]
    for key in ours[0]:
        theirs = [float(row[key]) for row in reference]
        mine = [one[key] for one in ours]
        error = (variance(mine) / len(mine) + variance(theirs) / len(theirs)) ** 0.5
        assert abs(mean(mine) - mean(theirs)) < 4.5 * error, key
