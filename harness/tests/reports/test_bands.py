from __future__ import annotations

import pytest

from harness.core.measure import at_least, at_most, equals, measure, within
from reports.bands import MAX_BANDS, bands_of, wants_total


def bands(series: str, *measurements, run: int = 1, runs: int = 1) -> list[tuple]:
    return [(band.low, band.high) for band in bands_of(series, measurements, run, runs)]


def test_a_limit_is_drawn_in_the_unit_of_its_chart() -> None:
    assert bands("goodput_bps", measure("goodput", 96, at_least(95), "Gb/s")) == [(95e9, None)]
    assert bands("queue_bytes", measure("deepest queue", 1, at_most(2), "MB")) == [(None, 2e6)]
    assert bands("pause_fraction", measure("paused part, sender 1", 0.5, within(0.4, 0.6))) == [(40, 60)]


@pytest.mark.parametrize(
    ("series", "name", "unit"),
    [
        ("queue_bytes", "flow delivered", "B"),
        ("queue_bytes", "queue emptied after", "ms"),
        ("pause_fraction", "part of packets marked", ""),
        ("pause_fraction", "paused part, sum of the senders", ""),
        ("goodput_bps", "frames dropped", ""),
        ("cc_rate_bps", "goodput", "Gb/s"),
    ],
)
def test_a_limit_of_another_quantity_is_not_drawn(series: str, name: str, unit: str) -> None:
    assert bands(series, measure(name, 1, at_most(2), unit)) == []


def test_a_limit_stands_beside_its_own_run() -> None:
    first = measure("goodput", 96, at_least(95), "Gb/s", evidence="run 1")
    second = measure("goodput", 96, at_least(40), "Gb/s", evidence="run 2: link down")
    assert bands("goodput_bps", first, second, run=1, runs=2) == [(95e9, None)]
    assert bands("goodput_bps", first, second, run=2, runs=2) == [(40e9, None)]
    assert bands("goodput_bps", measure("goodput", 96, at_least(95), "Gb/s"), runs=2) == []


def test_of_many_limits_the_worst_are_drawn() -> None:
    rates = [measure(f"flow {i}", 50, at_least(i), "Gb/s") for i in (10, 60, 20, 49)]
    assert bands("goodput_bps", *rates) == [(60e9, None), (49e9, None)]
    assert len(bands("goodput_bps", *rates)) == MAX_BANDS


def test_the_sum_is_drawn_where_a_limit_is_about_all_flows() -> None:
    assert wants_total([measure("goodput", 96, at_least(95), "Gb/s")], 1, 1)
    assert not wants_total([measure("slowest flow", 96, at_least(95), "Gb/s")], 1, 1)
    assert not wants_total([measure("goodput", 96, equals(96), "messages")], 1, 1)
