from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import convergence, fairness, pause, percentiles
from harness.analysis.pause import PauseFrame
from harness.core.evidence import Missing

rates = st.lists(st.floats(0, 1e12), min_size=1, max_size=20).filter(any)


def test_percentiles_are_samples() -> None:
    values = list(range(1, 101))

    assert percentiles.percentile(values, 0.5) == 50
    assert percentiles.percentile(values, 0.07) == 7
    assert percentiles.percentile(reversed(values), 0.99) == 99
    assert percentiles.tail([3.0]) == {0.5: 3.0, 0.9: 3.0, 0.99: 3.0, 0.999: 3.0}
    assert percentiles.percentile(values, 0) == 1
    assert percentiles.percentile(values, 1) == 100


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.floats(0, 1))
def test_enough_samples_are_not_above_a_percentile(values: list[float], fraction: float) -> None:
    found = percentiles.percentile(values, fraction)

    assert found in values
    assert sum(value <= found for value in values) >= fraction * len(values) * (1 - 1e-9)


def test_no_samples_have_no_percentile() -> None:
    assert isinstance(percentiles.percentile([], 0.5), Missing)
    with pytest.raises(ValueError, match="NaN"):
        percentiles.percentile([1.0, math.nan], 0.5)
    with pytest.raises(ValueError, match="from 0 to 1, not 99"):
        percentiles.percentile([1.0], 99)


@given(rates)
def test_jain_is_between_one_nth_and_one(values: list[float]) -> None:
    index = fairness.jain(values)

    assert 1 / len(values) * (1 - 1e-9) <= index <= 1 + 1e-9


@given(rates, st.floats(1e-6, 1e6))
def test_jain_ignores_the_unit(values: list[float], factor: float) -> None:
    assert fairness.jain([value * factor for value in values]) == pytest.approx(
        fairness.jain(values), rel=1e-6
    )


def test_jain_of_k_of_n() -> None:
    assert fairness.jain([1, 1, 1, 0]) == pytest.approx(0.75)
    assert fairness.jain([5.0]) == 1.0
    assert isinstance(fairness.jain([]), Missing)
    assert isinstance(fairness.jain([0, 0]), Missing)
    with pytest.raises(ValueError, match="NaN"):
        fairness.jain([1, math.nan])
    with pytest.raises(ValueError, match="from 0"):
        fairness.jain([1, -1])


def test_one_gap_is_a_gap_in_every_statistic() -> None:
    gap = Missing("flow f2 is unfinished")

    assert fairness.jain([1, gap]) is gap
    assert fairness.relative_spread([gap, 1]) is gap
    assert percentiles.percentile([1, 2, gap], 0.5) is gap
    assert pause.mean_duty([0.5, gap]) is gap


def test_spread() -> None:
    assert fairness.relative_spread([1, 1]) == 0
    assert fairness.relative_spread([1, 3]) == 1
    assert isinstance(fairness.relative_spread([]), Missing)


def test_time_to_fair_share_is_the_last_entry() -> None:
    times = [0, 10, 20, 30, 40, 50]
    series = [[100, 0], [52, 48], [70, 30], [54, 46], [50, 50], [51, 49]]

    assert convergence.time_to_fair_share(times, series, 50, within=0.1) == 30
    assert convergence.time_to_fair_share(times, series, [50, 50], within=0.02) == 40
    assert isinstance(convergence.time_to_fair_share(times, series, 50, within=0.1, hold_ps=30), Missing)
    assert isinstance(convergence.time_to_fair_share(times, series, 50, within=0.01), Missing)


def test_a_series_that_is_fair_from_the_start() -> None:
    assert convergence.time_to_fair_share([5, 6], [[1, 1], [1, 1]], 1, within=0.1) == 5


def test_time_to_jain_over_a_sliding_window() -> None:
    times = [0, 10, 20, 30, 40]
    delivered = [[0, 0], [10, 0], [20, 0], [25, 5], [30, 10]]

    assert convergence.time_to_jain(times, delivered, 0.99, window_ps=10) == 30
    assert convergence.time_to_jain(times, delivered, 0.99, window_ps=20) == 40
    assert isinstance(convergence.time_to_jain(times, delivered, 0.99, window_ps=30), Missing)


def test_idle_flows_are_not_fair() -> None:
    assert isinstance(convergence.time_to_jain([0, 1, 2], [[0, 0]] * 3, 0.5, window_ps=1), Missing)


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        convergence.time_to_fair_share([1, 2, 3], [[1], [1]], 1, within=0.1)
    with pytest.raises(ValueError, match="above 0"):
        convergence.time_to_fair_share([1], [[1]], 0, within=0.1)


def test_paused_time_from_frames() -> None:
    frames = [
        PauseFrame(10, "h1", 1, True),
        PauseFrame(12, "h1", 1, True),
        PauseFrame(15, "h2", 1, True),
        PauseFrame(20, "h1", 1, False),
        PauseFrame(21, "h1", 1, False),
        PauseFrame(22, "h3", 1, False),
    ]

    paused = pause.paused_ps(frames, 30_000)

    assert paused == {("h1", 1, 3): 10_000, ("h2", 1, 3): 15_000, ("h3", 1, 3): 0}


def test_pause_duty() -> None:
    assert pause.duty(250, 1000) == 0.25
    assert isinstance(pause.duty(0, 0), Missing)
    assert pause.mean_duty([0, 0.5, 1]) == 0.5
    assert isinstance(pause.mean_duty([]), Missing)
