"""Random valid jobs: packets are conserved, runs repeat, and every flow comes to an end.

$ROCE_RANDOM_JOBS runs as many seeds instead of 25 (for a sanitized build, say).
"""

from __future__ import annotations

import json
import os

import pytest

from harness.tests.sim.jobs import Json, run_text
from harness.tests.sim.random_jobs import random_job

SEEDS = range(int(os.environ.get("ROCE_RANDOM_JOBS", "25")))
COLLAPSE = 100
"""Timeouts and NAKs of a flow that tries and tries (go-back-0, a queue that drops nearly all): slow, not asleep."""
TROUBLE = ("timeouts", "naks_received", "rnr_naks_received")


def check_flow(work: Json, spec: Json, flow: Json) -> None:
    """What holds of every flow, whatever happened to it."""
    expected = spec["message_bytes"] * spec["messages"] * spec["qps"]
    assert flow["bytes_delivered"] <= expected or spec["transport"] == "ud"
    assert flow["packets_sent"] >= flow["packets_retransmitted"]
    if flow["status"] == "done" and spec["transport"] == "rc":
        assert flow["bytes_delivered"] == flow["bytes_acked"] == expected
        assert flow["messages_completed"] == spec["messages"] * spec["qps"]
    if flow["status"] == "failed":
        assert flow["error"] in {"RETRY_EXC_ERR", "RNR_RETRY_EXC_ERR"}
        assert any(flow[key] for key in TROUBLE)
    if work.get("until") != "duration":
        tried = flow["timeouts"] + flow["naks_sent"]
        assert flow["status"] != "unfinished" or tried > COLLAPSE, "a wake-up was lost"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_job(seed: int) -> None:
    work = random_job(seed)
    text = run_text(work)
    result = json.loads(text)
    assert result["conservation"]["ok"]
    for spec, flow in zip(work["flows"], result["flows"], strict=True):
        check_flow(work, spec, flow)
    if work.get("until") != "duration":
        waiting = [flow for flow in result["flows"] if flow["status"] != "done"]
        assert result["ended"] == "done" or waiting
        assert result["conservation"]["packets_in_flight"] == 0 or waiting
        for name, switch in result["switches"].items():
            assert switch["shared_end_bytes"] == 0 or waiting, name
    if seed % 5 == 0:
        assert run_text(work) == text


def test_seeds_draw_different_jobs() -> None:
    assert len({json.dumps(random_job(seed), sort_keys=True) for seed in SEEDS}) == len(SEEDS)
