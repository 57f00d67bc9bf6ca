from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import ConfigError
from harness.core.units import (
    GBPS,
    KB,
    MAX_QUANTITY,
    MB,
    MS,
    US,
    MiB,
    format_bytes,
    format_duration,
    format_rate,
    parse_bytes,
    parse_duration,
    parse_fraction,
    parse_rate,
)

QUANTITIES = st.integers(0, MAX_QUANTITY)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_rate, "100Gbps", 100 * GBPS),
        (parse_rate, " 12.5 Gb/s ", 12_500_000_000),
        (parse_rate, "1e3 Mbps", GBPS),
        (parse_rate, "0", 0),
        (parse_bytes, "20MB", 20 * MB),
        (parse_bytes, "1MiB", MiB),
        (parse_bytes, "1.5kB", 1500),
        (parse_duration, "1us", US),
        (parse_duration, "0.5µs", 500_000),
        (parse_duration, "20ms", 20 * MS),
    ],
)
def test_text_with_a_unit_is_read(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_rate, "10 parsecs", "unknown unit 'parsecs' of a rate"),
        (parse_rate, "10", "rate without a unit"),
        (parse_rate, "100GBps", "unknown unit 'GBps'"),
        (parse_rate, "fast", "not a rate"),
        (parse_rate, "-1Gbps", "negative rate"),
        (parse_rate, "0.5bps", "not a whole number of bits per second"),
        (parse_bytes, "1e30GB", "too large"),
        (parse_bytes, "1e999999999GB", "not a size"),
        (parse_bytes, "nan MB", "not a size"),
        (parse_duration, "infs", "not a duration"),
        (parse_duration, "", "not a duration"),
        (parse_duration, "1" * 50 + "s", "too large"),
        (parse_duration, "1" * 500 + "s", "not a duration"),
        (parse_fraction, "120%", "from 0 to 1"),
        (parse_fraction, "half", "not a fraction"),
    ],
)
def test_other_text_is_one_clear_error(parse, text, message):
    with pytest.raises(ConfigError, match=message):
        parse(text)


def test_fractions_are_percent_or_numbers():
    assert parse_fraction("20%") == parse_fraction("0.2") == 0.2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_rate(100 * GBPS), "100Gbps"),
        (format_rate(12_500_000_000), "12.5Gbps"),
        (format_rate(0), "0bps"),
        (format_bytes(20 * MB), "20MB"),
        (format_bytes(MiB), "1MiB"),
        (format_bytes(400 * KB), "400KB"),
        (format_bytes(1024), "1KiB"),
        (format_duration(1_500_000), "1.5us"),
        (format_duration(843_123_457), "843.123457us"),
    ],
)
def test_quantities_are_written_in_their_most_readable_unit(text, expected):
    assert text == expected


@given(QUANTITIES)
def test_what_is_written_is_read_back_exactly(value):
    assert parse_rate(format_rate(value)) == value
    assert parse_bytes(format_bytes(value)) == value
    assert parse_duration(format_duration(value)) == value
