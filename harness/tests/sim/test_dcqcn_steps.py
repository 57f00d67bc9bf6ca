"""Step responses of the reaction points: every cut and increase after chosen notifications, to the bit and the ps.

Sources: Zhu et al., SIGCOMM 2015, section 3.1 (dcqcn); the published meaning of the firmware parameters
(mlx5). A named data packet is marked, so that the notification comes when the test wants it.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from harness.analysis.dcqcn import alpha_after, alpha_decay, fast_recovery, mlx5_gain
from harness.tests.sim.jobs import GBPS, MBPS, MS, US, Json, chain, flow, flow_of, rows, run

G = 1 / 256
NO_BYTE_COUNTER = 10**12
LINE = 100 * GBPS


class Event(NamedTuple):
    """One line of cc_events.csv."""

    ps: int
    kind: str
    target: int
    rate: int
    alpha: float


def trace(
    folder: Path, cc: Json, *, marks: Json, duration: int, rate: int = LINE, **nic: object
) -> list[Event]:
    """The events of one endless flow whose packets are marked as `marks` says."""
    work = chain(
        1,
        [flow("f", "h0", "h1", 1_000_000, messages=0)],
        rate_bps=rate,
        nic={"cc": cc, "cnp": {"interval_ps": 0}, **nic},
        events=[{"at_ps": 0, "kind": "impair", "flow": "f", "action": "mark", **marks}],
        until="duration",
        duration_ps=duration,
        output_dir=str(folder),
        trace=["cc"],
    )
    result = run(work)
    events = [
        Event(int(r[0]), r[4], int(r[5]), int(r[6]), float(r[7])) for r in rows(folder / "cc_events.csv")
    ]
    counts = flow_of(result, "f")
    assert counts["rate_cuts"] == sum(event.kind == "dec" for event in events)
    assert counts["rate_increases"] == sum(event.kind.startswith("inc") for event in events)
    if cc["algorithm"] != "none":  # which logs nothing
        assert counts["cnp_received"] == sum(event.kind == "cnp" for event in events)
    return events


def test_paper_recovery_halves_the_gap_five_times_at_55_us(tmp_path: Path) -> None:
    cc = {"algorithm": "dcqcn", "byte_counter_bytes": NO_BYTE_COUNTER}
    events = trace(tmp_path, cc, marks={"packets": [0]}, duration=400 * US)
    cnp, cut, *steps = events
    assert (cnp.kind, cut.kind, cut.rate, cut.target) == ("cnp", "dec", 50 * GBPS, LINE)
    assert [step.ps - cut.ps for step in steps[:5]] == [k * 55 * US for k in range(1, 6)]
    assert [step.rate for step in steps[:5]] == fast_recovery(50 * GBPS, LINE, 5)
    assert [step.rate / LINE for step in steps[:5]] == [0.75, 0.875, 0.9375, 0.96875, 0.984375]
    assert {step.kind for step in steps[:5]} == {"inc_fr"}
    assert {step.kind for step in steps[5:]} == {"inc_ai"}


def test_paper_alpha_decays_every_55_us(tmp_path: Path) -> None:
    cc = {"algorithm": "dcqcn", "byte_counter_bytes": NO_BYTE_COUNTER}
    events = trace(tmp_path, cc, marks={"packets": [0]}, duration=11 * MS)
    cut, steps = events[1], events[2:]
    for k, step in enumerate(steps, start=1):
        assert step.alpha == pytest.approx(alpha_after(k, g=G), abs=1e-9)
    for elapsed, published in ((1 * MS, 0.931), (5 * MS, 0.701), (10 * MS, 0.491)):
        at = next(step for step in steps if step.ps >= cut.ps + elapsed)
        assert at.alpha == pytest.approx(alpha_decay(elapsed * 1e-12, 55e-6, g=G), rel=G)
        assert at.alpha == pytest.approx(published, abs=0.001 + G)  # a tick of 55 us is one part in 256


def test_paper_rate_halves_with_every_cnp(tmp_path: Path) -> None:
    """Alpha stays 1 under a CNP every 50 us, before any increase at 55 us: 40, 20, 10, 5 Gb/s, …"""
    events = trace(
        tmp_path, {"algorithm": "dcqcn"}, marks={"fraction": 1.0}, duration=230 * US, rate=40 * GBPS,
        cnp={"interval_ps": 50 * US},
    )  # fmt: skip
    cuts = [event for event in events if event.kind == "dec"]
    assert [cut.rate for cut in cuts] == [40 * GBPS // 2 ** (k + 1) for k in range(5)]
    assert all(event.kind in {"cnp", "dec"} for event in events)
    assert {cut.alpha for cut in cuts} == {1.0}
    # a CNP leaves with the first packet that comes 50 us or more after the last: at most one packet later
    for one, other in pairwise(cuts):
        packet = 1106 * 8 * 10**12 // one.rate
        assert 50 * US <= other.ps - one.ps <= 50 * US + packet


def test_the_rate_never_falls_below_the_minimum(tmp_path: Path) -> None:
    cc = {"algorithm": "dcqcn", "min_rate_bps": 7 * GBPS}
    events = trace(tmp_path, cc, marks={"fraction": 1.0}, duration=200 * US)
    assert min(event.rate for event in events) == 7 * GBPS


@pytest.mark.parametrize(("clamp", "target"), [(True, 50 * GBPS), (False, LINE)])
def test_a_second_cut_without_increase_keeps_or_clamps_the_target(
    clamp: bool, target: int, tmp_path: Path
) -> None:
    cc = {"algorithm": "dcqcn", "clamp_target": clamp, "byte_counter_bytes": NO_BYTE_COUNTER}
    events = trace(tmp_path, cc, marks={"packets": [0, 1]}, duration=50 * US)
    second = [event for event in events if event.kind == "dec"][1]
    assert (second.rate, second.target) == (25 * GBPS, target)


def test_cut_interval_spaces_the_cuts(tmp_path: Path) -> None:
    cc = {"algorithm": "dcqcn", "cut_interval_ps": 50 * US}
    events = trace(tmp_path, cc, marks={"fraction": 1.0}, duration=230 * US)
    cuts = [event.ps for event in events if event.kind == "dec"]
    assert len(cuts) == 5
    assert all(b - a >= 50 * US for a, b in pairwise(cuts))


class PaperMachine:
    """Stages, target and rate of the paper's increase, written again from its words."""

    def __init__(self, cut: Event, cc: Json) -> None:
        self.cc, self.rate, self.target, self.timer, self.bytes = cc, cut.rate, cut.target, 0, 0

    def step(self, by_timer: bool) -> str:
        f, least = self.cc["fast_recovery"], min(self.timer, self.bytes)
        if least > f:
            kind, gain = "inc_hai", (least - f) * self.cc["rate_hai_bps"]
        elif max(self.timer, self.bytes) >= f:
            kind, gain = "inc_ai", self.cc["rate_ai_bps"]
        else:
            kind, gain = "inc_fr", 0
        self.target = min(self.target + gain, LINE)
        self.rate = (self.rate + self.target) // 2
        self.timer, self.bytes = self.timer + by_timer, self.bytes + (not by_timer)
        return kind


def test_byte_counter_and_timer_together_reach_hyper_increase(tmp_path: Path) -> None:
    cc = {
        "algorithm": "dcqcn",
        "fast_recovery": 3,
        "byte_counter_bytes": 100_000,
        "rate_ai_bps": 100 * MBPS,
        "rate_hai_bps": 500 * MBPS,
    }
    events = trace(tmp_path, cc, marks={"packets": [0, 1, 2]}, duration=900 * US)
    last_cut = max(i for i, event in enumerate(events) if event.kind == "dec")
    cut, steps = events[last_cut], events[last_cut + 1 :]
    machine = PaperMachine(cut, cc)
    for step in steps:
        by_timer = (step.ps - cut.ps) % (55 * US) == 0
        assert machine.step(by_timer) == step.kind
        assert (machine.target, machine.rate) == (step.target, step.rate)
    assert {step.kind for step in steps} == {"inc_fr", "inc_ai", "inc_hai"}
    assert machine.timer == 16
    assert machine.bytes > 8


def test_the_byte_counter_counts_frame_bytes(tmp_path: Path) -> None:
    """At 50 Gb/s after the cut, 100,000 bytes of frames take their frames' time on the wire, gaps included."""
    cc = {"algorithm": "dcqcn", "byte_counter_bytes": 100_000, "rate_timer_ps": 10 * MS, "fast_recovery": 5}
    events = trace(tmp_path, cc, marks={"packets": [0]}, duration=200 * US)
    cut, first, second = events[1], events[2], events[3]
    frames = -(-100_000 // (1024 + 62))
    at_50g = (1024 + 62 + 20) * 8 * 10**12 // (50 * GBPS)
    assert abs(first.ps - cut.ps - frames * at_50g) <= 2 * at_50g
    assert (first.rate, second.rate) == (75 * GBPS, 875 * GBPS // 10)


# ---- mlx5: the fixed-point machine ----

MLX5_CUT = LINE - (LINE * 1023 >> 11)
"""After the first CNP: alpha 1023/1024 and rpg_gd 11 take 1023/2048 of the rate, within rpg_min_dec_fac 50 %."""


def mlx5(**more: object) -> Json:
    return {"algorithm": "mlx5", "rpg_byte_reset": 0, **more}


def test_mlx5_recovers_in_steps_of_300_us(tmp_path: Path) -> None:
    """50, 75, 87.5, 93.75 Gb/s, up to the 1/2048 that the first cut falls short of a half."""
    events = trace(tmp_path, mlx5(), marks={"packets": [0]}, duration=1 * MS)
    cut, steps = events[1], events[2:]
    assert (cut.rate, cut.target) == (MLX5_CUT, LINE)
    assert [step.ps - cut.ps for step in steps] == [300 * US, 600 * US, 900 * US]
    assert [step.rate for step in steps] == pytest.approx(fast_recovery(MLX5_CUT, LINE, 3), abs=1)
    assert [step.rate / GBPS for step in steps] == pytest.approx([75, 87.5, 93.75], abs=0.03)
    assert [step.kind for step in steps] == ["inc_fr", "inc_ai", "inc_ai"]


def test_mlx5_alpha_is_weighted_by_1019_in_1024_every_us(tmp_path: Path) -> None:
    work = chain(
        1,
        [flow("f", "h0", "h1", 1_000_000, messages=0)],
        nic={"cc": mlx5()},
        events=[{"at_ps": 0, "kind": "impair", "flow": "f", "action": "mark", "packets": [0]}],
        until="duration",
        duration_ps=1100 * US,
        sample_every_ps=US,
        output_dir=str(tmp_path),
        trace=["cc"],
    )
    run(work)
    cut = int(rows(tmp_path / "cc_events.csv")[0][0])
    times, alpha = np.load(tmp_path / "time_ps.npy"), np.load(tmp_path / "cc_alpha.npy")[:, 0]
    gain = mlx5_gain(1019)
    for elapsed_us, published in ((100, 0.613), (500, 0.0865), (1000, 0.0075)):
        at = int(np.searchsorted(times, cut + elapsed_us * US, side="right"))
        ticks = (int(times[at]) - cut) // US
        # the firmware value has ten bits; sixteen more are kept here, so that truncation is below 1e-5
        expected = alpha_after(ticks, g=gain, alpha=1023 / 1024)
        assert alpha[at] == pytest.approx(expected, rel=1e-3, abs=1e-4)
        assert alpha[at] == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize("algorithm", ["dcqcn", "mlx5", "ns3"])
def test_the_rate_paces_the_packets(algorithm: str, tmp_path: Path) -> None:
    """A rate held at its minimum by endless notifications is what the receiver measures, to two packets."""
    at_min = {"mlx5": {"rpg_min_rate_mbps": 5000}}.get(algorithm, {"min_rate_bps": 5 * GBPS})
    work = chain(
        1,
        [flow("f", "h0", "h1", 1_000_000, messages=0)],
        nic={"cc": {"algorithm": algorithm, **at_min}, "cnp": {"interval_ps": 0}},
        events=[{"at_ps": 0, "kind": "impair", "flow": "f", "action": "mark", "fraction": 1.0}],
        until="duration",
        duration_ps=1 * MS,
        sample_every_ps=100 * US,
        output_dir=str(tmp_path),
    )
    run(work)
    goodput = np.load(tmp_path / "goodput_bps.npy")[2:, 0]
    packet = 1024 * 8 / 100e-6
    assert goodput == pytest.approx(5 * GBPS * 1024 / 1106, abs=2 * packet)


def test_the_ns3_machine_may_be_told_not_to_pace(tmp_path: Path) -> None:
    work = chain(
        1,
        [flow("f", "h0", "h1", 1_000_000)],
        nic={"cc": {"algorithm": "ns3", "pace": False}, "cnp": {"mode": "ack_echo"}},
        events=[{"at_ps": 0, "kind": "impair", "flow": "f", "action": "mark", "fraction": 1.0}],
    )
    slowed = flow_of(run(work), "f")
    assert slowed["rate_cuts"] > 0
    work["events"] = []
    assert slowed["fct_ps"] == flow_of(run(work), "f")["fct_ps"]


def test_mlx5_waits_for_the_end_of_the_monitor_period(tmp_path: Path) -> None:
    """Marks all the time: cuts exactly rate_reduce_monitor_period (4 us) apart while packets come faster."""
    events = trace(tmp_path, mlx5(), marks={"fraction": 1.0}, duration=40 * US)
    cuts = [event.ps for event in events if event.kind == "dec"]
    assert len(cuts) > 5
    assert {b - a for a, b in pairwise(cuts[:6])} == {4 * US}


def test_mlx5_keeps_the_target_over_cuts_without_increase(tmp_path: Path) -> None:
    events = trace(tmp_path, mlx5(), marks={"packets": [0, 30]}, duration=40 * US)
    targets = [event.target for event in events if event.kind == "dec"]
    assert targets == [LINE, LINE]
    events = trace(tmp_path, mlx5(clamp_tgt_rate=True), marks={"packets": [0, 30]}, duration=40 * US)
    cuts = [event for event in events if event.kind == "dec"]
    assert cuts[1].target == cuts[0].rate


def test_mlx5_rate_on_first_cnp_and_least_decrease(tmp_path: Path) -> None:
    cc = mlx5(rate_to_set_on_first_cnp_mbps=80_000, rpg_min_dec_fac=90)
    events = trace(tmp_path, cc, marks={"packets": [0]}, duration=30 * US)
    cut = next(event for event in events if event.kind == "dec")
    assert cut.rate == 72 * GBPS  # 80 Gb/s, of which at most 10 % may go


def test_mlx5_byte_counter_counts_units_of_64_bytes(tmp_path: Path) -> None:
    cc = {"algorithm": "mlx5", "rpg_byte_reset": 1000, "rpg_time_reset_us": 5000}
    events = trace(tmp_path, cc, marks={"packets": [0]}, duration=100 * US)
    cut, first = events[1], events[2]
    frame, wire = 1024 + 62, 1024 + 82
    frames = -(-64_000 // frame)
    at_cut_rate = wire * 8 * 10**12 // MLX5_CUT
    assert abs(first.ps - cut.ps - frames * at_cut_rate) <= 2 * at_cut_rate


def test_no_congestion_control_ignores_every_notification(tmp_path: Path) -> None:
    events = trace(tmp_path, {"algorithm": "none"}, marks={"fraction": 1.0}, duration=30 * US)
    assert events == []
