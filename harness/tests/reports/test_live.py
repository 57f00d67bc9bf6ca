from __future__ import annotations

import json

import numpy as np

from harness.tests.reports import sample
from reports.chart import Band, Column, Moment, Panel, Threshold
from reports.live import (
    LIVE_POINTS,
    MAX_LINES,
    MAX_POINTS,
    MIN_POINTS,
    figure_json,
    points_for,
    script_json,
    shortened,
)


def column(name: str, values, every_ps: float = 1e6) -> Column:
    return Column(name, np.arange(len(values)) * every_ps, np.asarray(values, dtype=np.float64))


def test_a_peak_of_one_sample_is_kept_at_its_height() -> None:
    values = np.zeros(100_000)
    values[54_321] = 9e9
    panel = Panel("Rate", "b/s", (column("a", values), column("b", values / 2)))
    figure = json.loads(figure_json([panel], [], 500))
    (chart,) = figure["panels"]
    assert [max(line["v"]) for line in chart["lines"]] == [9, 4.5]
    assert chart["unit"] == "Gb/s"
    (times,) = figure["times"]  # shared by both lines
    assert len(times) <= 500
    assert times == sorted(times)


def test_values_times_levels_and_bands_are_in_the_units_of_the_axes() -> None:
    panel = Panel(
        "Depth",
        "B",
        (column("q", [0, 2e6], 1e9),),
        (Threshold("Kmin", 4e5),),
        (Band("deepest", None, 1.5e6),),
    )
    figure = json.loads(figure_json([panel], [Moment("link down", 5e8)], 2000))
    (chart,) = figure["panels"]
    assert (figure["unit"], figure["times"]) == ("ms", [[0, 1]])
    assert (chart["unit"], chart["lines"][0]["v"]) == ("MB", [0, 2])
    assert chart["levels"] == [{"name": "Kmin", "at": 0.4}]
    assert chart["bands"] == [{"name": "deepest", "low": None, "high": 1.5}]
    assert figure["events"] == [{"n": "1", "text": "link down", "at": 0.5}]


def test_lines_that_cannot_be_told_apart_are_told_of() -> None:
    columns = tuple(column(f"q{i}", [0, float(i)]) for i in range(30))
    (chart,) = json.loads(figure_json([Panel("Depth", "B", columns)], [], 2000))["panels"]
    assert len(chart["lines"]) == MAX_LINES
    assert chart["notes"] == ["Not drawn: 13 lines with lower peaks, 1 line at zero throughout."]


def test_columns_with_other_times_or_gaps_stand_alone() -> None:
    gappy = column("c", [1, float("nan"), 3])
    short = shortened([column("a", [1, 2, 3]), column("b", [4, 5, 6]), gappy, column("d", [1])], 4)
    assert [list(values[~np.isnan(values)]) for _, values in short] == [[1, 2, 3], [4, 5, 6], [1, 3], [1]]


def test_nothing_in_the_data_can_end_its_script_element() -> None:
    text = script_json(["</script><!--", "\u2028&"])
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == ["</script><!--", "\u2028&"]


def test_without_panels_there_is_no_figure() -> None:
    assert figure_json([], [], 100) == ""


def test_the_room_of_a_page_is_shared_between_its_lines() -> None:
    record = sample.record()
    assert points_for(record).live == MAX_POINTS
    tables = [table for test in record.tests for run in test.runs for table in run.series]
    lines = sum(len(table.columns) for table in tables) - 2  # one queue of each of two runs is empty
    many = sample.record(tests=record.tests * 100)
    assert points_for(many).live == LIVE_POINTS // (100 * lines) < MAX_POINTS
    assert points_for(sample.record(tests=record.tests * 5000)).live == MIN_POINTS
    assert points_for(sample.record(tests=())).live == MAX_POINTS
