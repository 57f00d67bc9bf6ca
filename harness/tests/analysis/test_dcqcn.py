from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import dcqcn
from harness.analysis.dcqcn import FluidModel

PAPER = FluidModel()
AT_100G = FluidModel(capacity_bps=100e9, rate_ai_bps=20e6, kmin_bytes=400e3, kmax_bytes=1600e3, pmax=0.2)

# Fixed point computed independently from the formulas of SIGCOMM'15 / CoNEXT'16: 40 Gb/s, 1000-byte packets,
# paper parameters. Columns: flows, p approx, q approx KB, p exact, q exact KB, alpha.
PAPER_TABLE = [
    (1, 3.7027e-4, 12.220, 3.1823e-4, 11.205, 0.083806),
    (2, 9.2469e-4, 23.031, 7.7699e-4, 20.151, 0.10136),
    (4, 2.3195e-3, 50.231, 1.8877e-3, 41.809, 0.12182),
    (8, 5.8315e-3, 118.71, 4.5521e-3, 93.766, 0.14516),
    (10, 7.8487e-3, 158.05, 6.0320e-3, 122.62, 0.15328),
]
# The same at 100 Gb/s, Kmin 400 KB, Kmax 1600 KB, Pmax 0.2, R_AI 20 Mb/s.
TABLE_100G = [
    (2, 2.1923e-4, 401.32, 1.9418e-4, 401.17, 0.064578),
    (4, 5.4628e-4, 403.28, 4.7623e-4, 402.86, 0.07861),
    (8, 1.3688e-3, 408.21, 1.1656e-3, 406.99, 0.095367),
    (16, 3.4393e-3, 420.64, 2.8359e-3, 417.02, 0.11488),
    (32, 8.6542e-3, 451.93, 6.8458e-3, 441.07, 0.13721),
    (64, 2.1792e-2, 530.75, 1.6348e-2, 498.09, 0.16227),
]


@pytest.mark.parametrize(
    ("model", "row"), [(PAPER, row) for row in PAPER_TABLE] + [(AT_100G, row) for row in TABLE_100G]
)
def test_fixed_point_is_the_published_one(
    model: FluidModel, row: tuple[int, float, float, float, float, float]
) -> None:
    flows, p_approx, q_approx, p_exact, q_exact, alpha = row

    approximate = dcqcn.fixed_point(model, flows, exact=False)
    exact = dcqcn.fixed_point(model, flows)

    assert approximate.probability == pytest.approx(p_approx, rel=1e-4)
    assert approximate.queue_bytes == pytest.approx(q_approx * 1000, rel=1e-4)
    assert exact.probability == pytest.approx(p_exact, rel=1e-4)
    assert exact.queue_bytes == pytest.approx(q_exact * 1000, rel=1e-4)
    assert exact.alpha == pytest.approx(alpha, rel=1e-4)
    assert exact.rate_bps == model.capacity_bps / flows


@pytest.mark.parametrize("flows", [16, 20, 32, 64])
def test_no_queue_marks_enough_for_many_flows(flows: int) -> None:
    point = dcqcn.fixed_point(PAPER, flows)

    assert point.probability > PAPER.pmax
    assert point.queue_bytes is None


def test_doubling_flows_raises_marking_by_2_52_when_the_timer_dominates() -> None:
    timer_only = FluidModel(byte_counter_bytes=1e15)

    ratio = dcqcn.approximate_marking(timer_only, 16) / dcqcn.approximate_marking(timer_only, 8)

    assert ratio == pytest.approx(2 ** (4 / 3), rel=1e-6)


def test_a_short_byte_counter_needs_more_marking() -> None:
    timer_only = dcqcn.exact_marking(FluidModel(byte_counter_bytes=1e15), 8)

    assert dcqcn.exact_marking(PAPER, 8) == pytest.approx(timer_only, rel=1e-6)
    assert dcqcn.exact_marking(FluidModel(byte_counter_bytes=150e3), 8) > 1.04 * timer_only


@given(st.integers(1, 200))
def test_more_flows_need_more_marking(flows: int) -> None:
    assert dcqcn.exact_marking(AT_100G, flows + 1) > dcqcn.exact_marking(AT_100G, flows)


# Step responses: paper parameters (g 1/256, 55 us) and mlx5 parameters (1019/1024, 1 us).
@pytest.mark.parametrize(("elapsed_s", "alpha"), [(1e-3, 0.931), (5e-3, 0.701), (10e-3, 0.491)])
def test_alpha_decays_as_in_the_paper(elapsed_s: float, alpha: float) -> None:
    assert dcqcn.alpha_decay(elapsed_s, 55e-6, g=1 / 256) == pytest.approx(alpha, abs=5e-4)


@pytest.mark.parametrize(("elapsed_s", "alpha"), [(100e-6, 0.613), (500e-6, 0.0865), (1e-3, 0.0075)])
def test_alpha_decays_as_in_mlx5_firmware(elapsed_s: float, alpha: float) -> None:
    gain = dcqcn.mlx5_gain(1019)

    assert dcqcn.alpha_decay(elapsed_s, 1e-6, g=gain) == pytest.approx(alpha, abs=5e-4)
    assert dcqcn.alpha_after(round(elapsed_s * 1e6), g=gain) == pytest.approx(alpha, abs=5e-4)


def test_alpha_grows_towards_one_while_marked() -> None:
    assert dcqcn.alpha_after(1, g=0.25, alpha=0.5, marked=True) == 0.625
    assert dcqcn.alpha_after(10_000, g=0.25, alpha=0.5, marked=True) == 1.0


def test_alpha_one_halves_the_rate_at_each_cut() -> None:
    assert [dcqcn.rate_after_cuts(40e9, [1.0] * cuts) for cuts in range(4)] == [40e9, 20e9, 10e9, 5e9]
    assert dcqcn.rate_after_cuts(40e9, [1.0] * 40, min_rate_bps=1e7) == 1e7


def test_fast_recovery_halves_the_gap() -> None:
    assert dcqcn.fast_recovery(0.5, 1.0, 5) == [0.75, 0.875, 0.9375, 0.96875, 0.984375]


def test_mlx5_timer_recovers_from_half_the_line_rate() -> None:
    rates = dcqcn.timer_recovery(
        50e9, 100e9, 3, line_rate_bps=100e9, fast_recovery=1, rate_ai_bps=20e6, rate_hai_bps=200e6
    )

    assert rates == [
        75e9,
        87.5e9,
        93.75e9,
    ]  # the target is at the line rate already, so increases add nothing


def test_timer_recovery_raises_the_target_after_fast_recovery() -> None:
    rates = dcqcn.timer_recovery(
        10.0, 20.0, 4, line_rate_bps=100.0, fast_recovery=1, rate_ai_bps=8, rate_hai_bps=80
    )

    assert rates == [15.0, 21.5, 60.75, 80.375]  # targets 20, 28, 100 (of 108), 100


def test_cnps_are_spaced_by_the_interval() -> None:
    assert dcqcn.cnps_expected([], 50) == 0
    assert dcqcn.cnps_expected([0, 10, 49, 50, 60, 99, 120], 50) == 3
    assert dcqcn.cnps_expected(range(100), 0) == 100


@pytest.mark.parametrize("flows", [0, -1])
def test_no_flows_have_no_fixed_point(flows: int) -> None:
    with pytest.raises(ValueError, match="at least one flow"):
        dcqcn.fixed_point(PAPER, flows)
