from __future__ import annotations

import pytest

from reports.table import display_width, measurement_table
from reports.view import MeasurementView


def row(name: str, verdict: str = "PASS", reason: str = "", evidence: str = "run 1") -> MeasurementView:
    return MeasurementView(
        name=name, value="88.1 Gb/s", limit="≥ 95 Gb/s", margin="-7.2 %", verdict=verdict, style=verdict.lower(),
        source="", evidence=evidence, reason=reason,
    )  # fmt: skip


@pytest.mark.parametrize("width", [30, 50, 64, 80, 120, 200])
def test_no_line_is_wider_than_asked(width: int) -> None:
    rows = [
        row("goodput of all the receivers of the incast " * 3),
        row("x", "INVALID", "no data " * 30),
        row("漢字" * 40),
    ]
    for line in measurement_table(rows, width, indent="  "):
        assert display_width(line) <= width


@pytest.mark.parametrize("width", [30, 100])
def test_everything_that_was_measured_is_there(width: int) -> None:
    text = " ".join(
        " ".join(measurement_table([row("marks", "INVALID", "no data: no such counter")], width)).split()
    )
    for part in (
        "INVALID",
        "marks",
        "88.1 Gb/s",
        "≥ 95 Gb/s",
        "-7.2 %",
        "no data: no such counter",
        "from run 1",
    ):
        assert part in text


def test_a_name_that_was_cut_is_repeated_in_full() -> None:
    name = "goodput " * 30 + "end"
    assert any(line.endswith("end") for line in measurement_table([row(name)], 100))


def test_nothing_measured_gives_no_lines() -> None:
    assert measurement_table([], 80) == []
