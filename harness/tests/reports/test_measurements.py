from __future__ import annotations

import pytest

from harness.core.evidence import Missing
from harness.core.measure import Limit, approx, at_least, at_most, equals, measure, within
from reports.measurements import measurement_views, relative_margin


def shown(value: object, limit: Limit, unit: str = "") -> tuple[str, str, str]:
    (view,) = measurement_views([measure("x", value, limit, unit)])
    return tuple(text.replace("\N{NO-BREAK SPACE}", " ") for text in (view.value, view.limit, view.margin))


@pytest.mark.parametrize(
    ("value", "limit", "printed"),
    [
        (97.375, at_least(95), ("97.38", "≥ 95", "+2.5 %")),
        (88.0, at_least(95), ("88", "≥ 95", "-7.4 %")),
        (3, at_most(2), ("3", "≤ 2", "-50.0 %")),
        (0, equals(0), ("0", "= 0", "exact")),
        (12, equals(0), ("12", "= 0", "-12")),
        (0.5, within(0, 1), ("0.5", "0 ≤ x ≤ 1", "+0.5")),
        (5, at_most(0), ("5", "≤ 0", "-5")),
        (101.0, approx(100, rel=0.01), ("101", "100 ± 1 %", "at the limit")),
        (Missing("no such counter"), at_least(1), ("no data", "≥ 1", "")),
        (None, at_least(1), ("no data", "≥ 1", "")),
        (5, at_least(Missing("no baseline")), ("5", "unknown", "")),
        (float("nan"), at_least(1), ("nan", "≥ 1", "")),
    ],
)
def test_value_limit_and_margin(value: object, limit: Limit, printed: tuple[str, str, str]) -> None:
    assert shown(value, limit) == printed


def test_value_and_limit_carry_the_unit() -> None:
    assert shown(97.4, at_least(95), "Gb/s")[:2] == ("97.4 Gb/s", "≥ 95 Gb/s")


def test_worst_first_invalid_before_everything() -> None:
    rows = [
        measure("far", 200, at_least(100), ""),
        measure("near", 101, at_least(100), ""),
        measure("gone", None, at_least(100), ""),
        measure("little outside", 99, at_least(100), ""),
        measure("far outside", 10, at_least(100), ""),
        measure("exact", 0, equals(0), ""),
    ]
    names = [view.name for view in measurement_views(rows)]
    assert names == ["gone", "far outside", "little outside", "near", "far", "exact"]


def test_only_an_invalid_value_says_why() -> None:
    views = measurement_views(
        [measure("a", Missing("port is down"), at_least(1)), measure("b", 0, at_least(1))]
    )
    assert [view.reason for view in views] == ["no data: port is down", ""]


def test_margin_of_a_range_is_to_the_nearer_bound() -> None:
    assert relative_margin(measure("x", 12, within(10, 100))) == pytest.approx(0.2)
    assert relative_margin(measure("x", 99, within(10, 100))) == pytest.approx(0.01)
