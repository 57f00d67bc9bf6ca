from __future__ import annotations

import re

import numpy as np
import pytest

from reports.chart import (
    HEIGHT,
    MAX_LINES,
    WIDTH,
    Band,
    Column,
    Moment,
    Panel,
    Threshold,
    constant_level,
    line_chart,
    si_text,
)


def column(name: str, values: list[float], every_ps: float = 1e6) -> Column:
    return Column(name, np.arange(len(values)) * every_ps, np.asarray(values, dtype=np.float64))


def drawn(title: str, unit: str, columns: list[Column], *, moments=(), **held_against):
    panel = Panel(title, unit, tuple(columns), **{name: tuple(value) for name, value in held_against.items()})
    return line_chart(panel, moments=moments)


def points(path: str) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in re.findall(r"[ML](-?\d+) (-?\d+)", path)]


def test_the_line_spans_the_chart_and_its_peak_is_near_the_top() -> None:
    chart = drawn("Queue", "B", [column("sw1:e1/3", [0, 50, 100, 0])])
    assert chart is not None
    line = points(chart.lines[0].path)
    assert (line[0][0], line[-1][0]) == (0, WIDTH)
    assert min(y for _, y in line) == pytest.approx(HEIGHT * (1 - 1 / 1.04), abs=1)
    assert line[0][1] == HEIGHT


def test_units_get_the_prefix_of_the_highest_value() -> None:
    chart = drawn("Rate", "b/s", [column("f", [0, 96e9])])
    assert chart is not None
    assert chart.unit == "Gb/s"
    assert chart.x_ticks[-1].text.split() == ["1", "µs"]
    assert chart.lines[0].note.split() == ["max", "96", "Gb/s"]


def test_percent_has_no_prefix() -> None:
    chart = drawn("Pause", "%", [column("h1:p0/3", [0, 0.5])])
    assert chart is not None
    assert chart.unit == "%"


def test_without_a_sample_there_is_no_chart() -> None:
    assert drawn("Queue", "B", []) is None
    assert drawn("Queue", "B", [column("a", [float("nan")])]) is None


def test_a_gap_lifts_the_pen() -> None:
    chart = drawn("Queue", "B", [column("a", [1, 2, float("nan"), 3, 4])])
    assert chart is not None
    assert chart.lines[0].path.count("M") == 2


def test_a_lone_sample_is_drawn() -> None:
    chart = drawn("Queue", "B", [column("a", [5.0])])
    assert chart is not None
    assert chart.lines[0].path.endswith("h0")


def test_the_loudest_lines_are_drawn_and_the_rest_is_told() -> None:
    chart = drawn("Queue", "B", [column(f"q{i}", [0, float(i)]) for i in range(20)])
    assert chart is not None
    assert [line.name for line in chart.lines] == [f"q{i}" for i in range(20 - MAX_LINES, 20)]
    assert chart.omitted == "Not drawn: 11 lines with lower peaks, 1 line at zero throughout."


def test_thresholds_are_within_the_chart_and_their_labels_apart() -> None:
    near = [Threshold("Kmin", 100.0), Threshold("Kmax", 101.0)]
    chart = drawn("Queue", "B", [column("a", [0, 50])], thresholds=near)
    assert chart is not None
    tops = [float(label.percent) for label in chart.thresholds]
    assert [label.text for label in chart.thresholds] == ["Kmax 101", "Kmin 100"]
    assert tops[1] - tops[0] >= 9
    assert all(0 <= int(label.position) <= HEIGHT for label in chart.thresholds)


def test_a_level_far_above_the_lines_is_told_and_does_not_press_them_flat() -> None:
    chart = drawn(
        "Queue", "B", [column("a", [0, 1e5])], thresholds=[Threshold("Kmin", 4e5), Threshold("XOFF", 4e6)]
    )
    assert [label.text for label in chart.thresholds] == ["Kmin 400"]
    assert chart.omitted == "XOFF 4\N{NO-BREAK SPACE}MB is far above the chart."


def test_a_band_covers_what_passes() -> None:
    chart = drawn(
        "Rate", "b/s", [column("f", [0, 50e9])], bands=[Band("goodput", 95e9, None), Band("b", 10e9, 20e9)]
    )
    above, between = chart.bands
    assert (above.y, above.text) == ("0", "goodput")
    assert int(above.height) == pytest.approx(HEIGHT * (1 - 95 / (95 * 1.04)), abs=1)
    assert int(between.height) == pytest.approx(HEIGHT * 10 / (95 * 1.04), abs=1)


def test_events_after_the_last_sample_still_fit() -> None:
    chart = drawn("Queue", "B", [column("a", [0, 10])], moments=[Moment("link down", 4e6)])
    assert chart is not None
    assert [(m.number, m.percent) for m in chart.moments] == [("1", "100")]


def test_flat_zero_and_negative_values_do_not_break_the_axis() -> None:
    for values in ([0.0, 0.0], [-5.0, 5.0], [-5.0, -1.0]):
        chart = drawn("x", "B", [column("a", values)])
        assert chart is not None
        assert all(0 <= y <= HEIGHT for _, y in points(chart.lines[0].path))


def test_long_series_stay_small_and_keep_their_peak() -> None:
    values = [0.0] * 200_000
    values[123_456] = 7.0
    chart = drawn("Queue", "B", [column("a", values)])
    assert chart is not None
    assert len(chart.lines[0].path) < 20_000
    assert chart.lines[0].note.split() == ["max", "7", "B"]
    assert min(y for _, y in points(chart.lines[0].path)) < HEIGHT * 0.1


def test_what_never_moves_is_a_level() -> None:
    assert constant_level([column("a", [7, 7]), column("b", [7, float("nan")])]) == 7
    assert constant_level([column("a", [7, 7]), column("b", [7, 8])]) is None
    assert constant_level([]) is None


@pytest.mark.parametrize(
    ("value", "unit", "printed"), [(4_243_002, "B", "4.243 MB"), (0, "b/s", "0 b/s"), (12.5, "%", "12.5 %")]
)
def test_si_text(value: float, unit: str, printed: str) -> None:
    assert si_text(value, unit).replace("\N{NO-BREAK SPACE}", " ") == printed
