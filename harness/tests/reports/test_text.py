from __future__ import annotations

import pytest

from reports import text


@pytest.mark.parametrize(
    ("value", "bounds", "printed"),
    [
        (0, (), "0"),
        (12_345_678, (), "12,345,678"),
        (97.31234, (95,), "97.31"),
        (0.0123456, (), "0.01235"),
        (123_456.7, (), "123,457"),
        (1.5e-7, (), "1.5e-07"),
        (-3.25, (), "-3.25"),
        (float("nan"), (), "nan"),
        (float("inf"), (), "inf"),
    ],
)
def test_number(value: float, bounds: tuple[float, ...], printed: str) -> None:
    assert text.number(value, bounds) == printed


@pytest.mark.parametrize("value", [94.9999, 95.0001, 94.999999999, 95.00000000001])
def test_rounding_never_moves_a_value_across_its_limit(value: float) -> None:
    shown = float(text.number(value, (95,)))
    assert (shown < 95) == (value < 95)
    assert (shown > 95) == (value > 95)


@pytest.mark.parametrize(
    ("fraction", "printed"),
    [
        (0.042, "+4.2"),
        (-0.5, "-50.0"),
        (9.5, "+950"),
        (1204, "over +999"),
        (-20, "below -999"),
        (1e-6, "+0.0001"),
    ],
)
def test_signed_percent(fraction: float, printed: str) -> None:
    assert text.signed_percent(fraction) == f"{printed}\N{NO-BREAK SPACE}%"


@pytest.mark.parametrize(
    ("seconds", "printed"),
    [(0.012, "12 ms"), (1.24, "1.2 s"), (59.97, "1 min 00 s"), (125, "2 min 05 s"), (7300, "2 h 01 min")],
)
def test_duration(seconds: float, printed: str) -> None:
    assert text.duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == printed


def test_clean_makes_control_and_direction_characters_visible() -> None:
    assert text.clean("a\x1b[31mb\u202ec\x00\n\td") == "a\\x1b[31mb\\u202ec\\x00\n\td"


def test_one_line_folds_white_space() -> None:
    assert text.one_line(" a\n\t b ") == "a b"


def test_count_knows_the_plural() -> None:
    assert [text.count(n, "test") for n in (0, 1, 2)] == ["0 tests", "1 test", "2 tests"]
