"""The simulator against the second model of reference.py: every reaction-point event and completion time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness.tests.sim.hpcc import semantics
from harness.tests.sim.jobs import US, Json, flow, rows, run, star
from harness.tests.sim.reference import PAYLOAD, Parameters, Row, simulate


def as_job(p: Parameters, packets: list[int], starts: list[int], folder: Path) -> Json:
    cc = {
        "algorithm": "ns3",
        "g": p.g,
        "alpha_timer_ps": p.alpha_us * US,
        "cut_interval_ps": p.cut_us * US,
        "rate_timer_ps": p.rate_us * US,
        "fast_recovery": p.fast_recovery,
        "rate_ai_bps": p.ai_bps,
        "rate_hai_bps": p.hai_bps,
        "min_rate_bps": p.min_bps,
    }
    step = {"rate_bps": 0, "kmin_bytes": p.mark_above, "kmax_bytes": p.mark_above, "pmax": 1.0}
    n = len(packets)
    flows = [
        flow(f"f{i}", f"h{i}", f"h{n}", count * PAYLOAD, start_ps=start, udp_sport=10_000)
        for i, (count, start) in enumerate(zip(packets, starts, strict=True))
    ]
    return star(
        n + 1, flows, rate_bps=p.rate_bps, delay_ps=p.delay_ps, output_dir=str(folder), trace=["cc", "pfc"],
        **semantics(cc, {"priorities": [3], "profiles": [step]}, 64 << 20),
    )  # fmt: skip


def events(folder: Path, sender: int) -> list[Row]:
    table = rows(folder / "cc_events.csv")
    return [(int(r[0]), r[4], int(r[5]), int(r[6]), r[7]) for r in table if r[1] == f"h{sender}"]


CASES: dict[str, tuple[dict[str, Any], list[int], list[int]]] = {
    "two senders": ({}, [1500, 1500], [0, 37_000]),
    "four of different sizes": ({}, [400, 800, 1200, 100], [0, 37_000, 74_001, 1_500_000]),
    "five late steps": ({"fast_recovery": 5, "rate_us": 9}, [1500, 1500, 700], [0, 37_000, 90_000_000]),
    "slow alpha": ({"alpha_us": 50, "cut_us": 50, "rate_us": 55}, [2500, 2500], [0, 37_000]),
    "another rate": ({"rate_bps": 25_000_000_000, "delay_ps": 333_333}, [800, 800, 800], [0, 11_003, 22_007]),
    "a high floor": ({"min_bps": 30_000_000_000, "mark_above": 3_000}, [900, 900], [0, 37_000]),
    "alone": ({}, [300], [5]),
}


@pytest.mark.parametrize("name", CASES)
def test_every_event_of_the_second_model_and_no_other(name: str, tmp_path: Path) -> None:
    changes, packets, starts = CASES[name]
    p = Parameters(**changes)
    times, logs = simulate(p, packets, starts)
    result = run(as_job(p, packets, starts, tmp_path))
    for i, log in enumerate(logs):
        assert events(tmp_path, i) == log
        assert result["flows"][i]["fct_ps"] == times[i]
    assert rows(tmp_path / "pfc_events.csv") == []
    if len(packets) > 1:
        assert sum(len(log) for log in logs) > 100, "the case exercises nothing"
    assert asdict(p)["g"] == 1 / 256
