"""Goodput over time from what senders saw acknowledged."""

from __future__ import annotations

import numpy as np
import pytest

from harness.hosts.clock import ClockMap, Reading
from harness.hosts.series import progress_ms, write_series

MS_NS, MS_PS = 10**6, 10**9
CLOCK = ClockMap(Reading(10**15, 0, 0, 0))
T0 = 5 * 10**9


def samples(*pairs):
    """Instants in ms after the start, and bytes."""
    return CLOCK, [[T0 + 10**15 + ms * MS_NS, count] for ms, count in pairs]


def goodput(folder, flows, end_ms=400, every_ms=100):
    found = write_series(folder, every_ms * MS_PS, end_ms * MS_PS, flows, T0)
    return found, np.load(folder / "goodput_bps.npy"), np.load(folder / "time_ps.npy")


@pytest.mark.parametrize(
    ("asked_ps", "told_ms"), [(0, 100), (10**7, 100), (10 * MS_PS, 10), (50 * MS_PS, 50), (10**12, 100)]
)
def test_agents_are_asked_no_oftener_than_they_can(asked_ps, told_ms):
    assert progress_ms(asked_ps) == told_ms


def test_bytes_become_bits_per_second_in_the_interval_they_came(tmp_path):
    found, values, times = goodput(tmp_path, {"f": samples((0, 0), (100, 1250), (200, 1250), (400, 6250))})
    assert values[:, 0] == pytest.approx([100_000, 0, 200_000, 200_000])
    assert list(times) == [100 * MS_PS, 200 * MS_PS, 300 * MS_PS, 400 * MS_PS]
    assert found["tables"]["goodput_bps"]["columns"] == ["f"]
    assert (found["samples"], found["every_ps"]) == (4, 100 * MS_PS)


def test_a_finer_interval_than_samples_is_not_pretended(tmp_path):
    found, values, _ = goodput(tmp_path, {"f": samples((0, 0), (400, 4000))}, every_ms=1)
    assert found["every_ps"] == 100 * MS_PS
    assert len(values) == 4


def test_a_flow_that_nobody_knows_is_not_a_number(tmp_path):
    _, values, _ = goodput(tmp_path, {"f": samples((0, 0), (400, 4000)), "lost": None, "mute": (CLOCK, [])})
    assert np.isfinite(values[:, 0]).all()
    assert np.isnan(values[:, 1:]).all()


def test_without_any_samples_there_is_no_series(tmp_path):
    assert write_series(tmp_path, 100 * MS_PS, 400 * MS_PS, {"f": None}, T0) is None
    assert list(tmp_path.iterdir()) == []


def test_all_payload_is_in_the_series(tmp_path):
    _, values, _ = goodput(tmp_path, {"f": samples((37, 0), (101, 777), (333, 3000), (390, 10_000))})
    assert values.sum() * 0.1 / 8 == pytest.approx(10_000)
