"""A record with a test of every outcome, long series, events and thresholds."""

from __future__ import annotations

import numpy as np

from harness.core.evidence import Missing
from harness.core.measure import at_least, equals, measure
from harness.core.record import Figure, Outcome, RunRecord, ScenarioRecord, SeriesRecord, TestRecord

SCENARIO = """
sample_every: 5us
qos:
  pfc: {priorities: [3]}
  ecn: {kmin: 400KB, kmax: 1600KB, pmax: 0.2}
  dcqcn: {preset: mlx5}
traffic:
- {pattern: incast, senders: 8, receiver: h9, size: 8MB}
events:
- {at: 2ms, link_down: "h2:p0"}
- {at: 2500us, link_up: "h2:p0"}
"""


def series() -> tuple[SeriesRecord, ...]:
    """Eight senders that share 100 Gb/s, their queue and their pauses, 1000 samples."""
    rng = np.random.default_rng(1)
    time = np.arange(1000) * 5e6
    settle = np.exp(-time / 4e8)
    rates = [12e9 + 3e9 * settle * np.sin(time / 3e8 + i) + rng.normal(0, 2e8, 1000) for i in range(8)]
    queue = 2.2e6 * settle + 7e5 + 2e5 * np.sin(time / 9e7) + rng.normal(0, 3e4, 1000)
    pause = np.where(time < 6e8, 0.875, 0.0)
    return (
        table("goodput_bps", "bps", [f"incast-{i}" for i in range(8)], time, rates),
        table("queue_bytes", "bytes", ["sw1:e1/3", "sw1:e9/3"], time, [np.zeros(1000), queue]),
        table("pause_fraction", "fraction", [f"h{i}:p0/3" for i in range(1, 4)], time, [pause, pause, pause]),
    )


def table(name, unit, columns, time, values) -> SeriesRecord:
    rounded = tuple(tuple(round(float(value), 3) for value in column) for column in values)
    return SeriesRecord(name, unit, tuple(columns), tuple(int(t) for t in time), rounded, len(time))


def run(number: int = 1) -> ScenarioRecord:
    figures = (
        Figure("goodput", 88.12, "Gb/s"),
        Figure("frames dropped", 0),
        Figure("deepest queue", 2_913_004, "B"),
        Figure("CNPs", Missing("not reported")),
        Figure("Kmin", 400_000, "B"),
        Figure("Kmax", 1_600_000, "B"),
    )
    return ScenarioRecord(
        number, "incast", SCENARIO, "star-9", simulated=True, wall_s=0.4, ended="done", figures=figures,
        events=("2ms: link down h2:p0", "2500us: link up h2:p0"), series=series(),
    )  # fmt: skip


def record(**changes: object) -> RunRecord:
    """The record; `changes` replace its fields."""
    good = measure("pause frames sent", 1204, at_least(1), "frames", evidence="run 1")
    bad = measure(
        "goodput", 88.12, at_least(95), "Gb/s", evidence="run 1", source="max-min share at line rate"
    )
    near = measure("goodput", 96.0, at_least(95), "Gb/s", evidence="run 1")
    gone = measure("CNPs handled", Missing("no such counter here"), at_least(1), evidence="run 1")
    drops = measure("frames dropped", 171, equals(0), evidence="run 1")
    common = {"simulated": True, "topology": "star-9", "durations_s": {"setup": 0.1, "call": 1.2}}
    tests = (
        TestRecord(
            "suites/pfc/test_incast.py::test_incast_stays_full[8]", Outcome.FAIL, ("PFC-07", "INC-01"),
            "Overload one receiver; the link stays full.\n\nNo frame is\ndropped.", {"senders": "8"},
            (good, bad), (run(),), message="outside the limit: goodput 88.12 Gb/s (limit ≥ 95 Gb/s)", **common,
        ),
        TestRecord("a.py::test_good", Outcome.PASS, ("PFC-07",), measurements=(good,), runs=(run(),), **common),
        TestRecord("a.py::test_near", Outcome.MARGINAL, ("ECN-01",), measurements=(near, good), **common),
        TestRecord("a.py::test_gone", Outcome.INVALID, ("ECN-02",), measurements=(gone,), **common),
        TestRecord(
            "a.py::test_control", Outcome.PASS, ("PFC-07",), measurements=(drops,), negative_control=True,
            control="PFC switched off", message="the fault was seen by frames dropped 171", **common,
        ),
        TestRecord("a.py::test_fault", Outcome.LAB_FAULT, lab_fault="cable", message="SimError: cable", **common),
        TestRecord("a.py::test_error", Outcome.ERROR, message="TypeError: x\ntraceback line", **common),
        TestRecord("a.py::test_skip", Outcome.SKIPPED, skipped="lacks CAPTURE", message="lacks CAPTURE"),
    )  # fmt: skip
    fields: dict = {
        "run_id": "2026-01-02T03-04-05",
        "started": "2026-01-02T03:04:05+00:00", "finished": "2026-01-02T03:06:10+00:00",
        "fabric": "sim", "simulated": True, "topology": "star-9", "seed": 1, "tests": tests,
        "versions": {"harness": "0.1.0", "roce-sim": "0.1.0"}, "command": ("pytest", "suites", "--site", "lab b.yaml"),
    }  # fmt: skip
    return RunRecord(**{**fields, **changes})
