from __future__ import annotations

import numpy as np
import pytest

from reports.decimate import decimate, peak


def test_short_series_comes_back_unchanged() -> None:
    time, values = decimate([0, 1, 2], [5, 6, 7], max_points=4)
    assert list(time) == [0, 1, 2]
    assert list(values) == [5, 6, 7]


@pytest.mark.parametrize("place", [0, 1, 4_999, 77_777, 99_999])
def test_single_sample_peak_and_dip_survive_at_their_own_time(place: int) -> None:
    for spike in (1e9, -1e9):
        values = np.zeros(100_000)
        values[place] = spike
        time, kept = decimate(np.arange(100_000) * 10, values, max_points=2000)
        assert len(kept) <= 2000
        assert time[np.flatnonzero(kept == spike)].tolist() == [place * 10]


def test_order_of_time_is_kept() -> None:
    rng = np.random.default_rng(7)
    time, _ = decimate(np.arange(5000), rng.normal(size=5000), max_points=100)
    assert (np.diff(time) > 0).all()


def test_a_gap_stays_a_gap() -> None:
    values = np.ones(1000)
    values[400:600] = np.nan
    time, kept = decimate(np.arange(1000), values, max_points=20)
    inside = kept[(time >= 400) & (time < 600)]
    assert len(inside) > 0
    assert np.isnan(inside).all()


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="one value a sample"):
        decimate([0, 1, 2], [1, 2])


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        decimate([0, 1], [1, 2], max_points=3)


def test_peak_ignores_gaps_and_is_nan_without_samples() -> None:
    assert peak([1.0, float("nan"), 3.0]) == 3.0
    assert np.isnan(peak([float("nan")]))
    assert np.isnan(peak([]))
