"""Quantities and their units.

Times are whole picoseconds, sizes whole bytes, rates whole bits per second; fractions are floats from 0 to
1. In files a quantity is text with its unit (`100Gbps`, `20MB`, `1MiB`, `1us`, `5%`); Python code may also
give the number in the base unit (`20 * MB`). `KB`, `MB`, `GB` are powers of 1000, `KiB`, `MiB`, `GiB` powers
of 1024.
"""

from __future__ import annotations

import math
import re
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from harness.core.errors import ConfigError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KB, MB, GB, TB = 10**3, 10**6, 10**9, 10**12
KiB, MiB, GiB, TiB = 2**10, 2**20, 2**30, 2**40
PS, NS, US, MS, S = 1, 10**3, 10**6, 10**9, 10**12
KBPS, MBPS, GBPS, TBPS = 10**3, 10**6, 10**9, 10**12

MAX_QUANTITY = 2**63 - 1
"""Largest quantity a job can hold: signed 64 bits."""

FILE_CONTEXT: dict[str, object] = {"units_required": True}
"""Validation context of files: a bare non-zero number is refused where a unit is needed."""

_RATES = {
    "bps": 1, "b/s": 1, "bit/s": 1,
    "kbps": KBPS, "Kbps": KBPS, "kb/s": KBPS, "Kb/s": KBPS, "kbit/s": KBPS,
    "Mbps": MBPS, "mbps": MBPS, "Mb/s": MBPS, "Mbit/s": MBPS,
    "Gbps": GBPS, "gbps": GBPS, "Gb/s": GBPS, "Gbit/s": GBPS,
    "Tbps": TBPS, "tbps": TBPS, "Tb/s": TBPS, "Tbit/s": TBPS,
}  # fmt: skip
_BYTES = {
    "B": 1, "kB": KB, "KB": KB, "MB": MB, "GB": GB, "TB": TB, "KiB": KiB, "MiB": MiB, "GiB": GiB, "TiB": TiB,
}  # fmt: skip
_DURATIONS = {"ps": PS, "ns": NS, "us": US, "µs": US, "μs": US, "ms": MS, "s": S}

_QUANTITY = re.compile(r"([+-]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:[eE][+-]?\d{1,2})?)\s*([A-Za-zµμ/%]*)")

_EXAMPLES = {"rate": "100Gbps", "size": "20MB", "duration": "5us"}
_SHOWN_UNITS = {
    "rate": "bps, Kbps, Mbps, Gbps, Tbps",
    "size": "B, KB, MB, GB, TB (1000s), KiB, MiB, GiB, TiB (1024s)",
    "duration": "ps, ns, us, ms, s",
}


def parse_rate(text: str) -> int:
    """Return bits per second for text such as `100Gbps`; raise ConfigError for anything else."""
    return _parse(text, _RATES, "rate")


def parse_bytes(text: str) -> int:
    """Return bytes for text such as `20MB` or `1MiB`; raise ConfigError for anything else."""
    return _parse(text, _BYTES, "size")


def parse_duration(text: str) -> int:
    """Return picoseconds for text such as `5us`; raise ConfigError for anything else."""
    return _parse(text, _DURATIONS, "duration")


def parse_fraction(text: str) -> float:
    """Return a number from 0 to 1 for text such as `5%` or `0.05`; raise ConfigError for anything else."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[2] not in ("", "%"):
        raise ConfigError("not a fraction", value=text, hint="write a fraction such as 20% or 0.2")
    number = Decimal(match[1]) / (100 if match[2] else 1)
    return _check_fraction(float(number), text)


def format_rate(bits_per_second: int) -> str:
    """Return the exact rate in its most readable unit: `100Gbps`, `12.5Gbps`."""
    return _format(bits_per_second, {"Tbps": TBPS, "Gbps": GBPS, "Mbps": MBPS, "Kbps": KBPS, "bps": 1})


def format_bytes(size: int) -> str:
    """Return the exact size in its most readable unit: `20MB`, `1MiB`, `1.5KB`."""
    decimal = _format(size, {"TB": TB, "GB": GB, "MB": MB, "KB": KB, "B": 1})
    for unit, scale in (("TiB", TiB), ("GiB", GiB), ("MiB", MiB), ("KiB", KiB)):
        if size and size % scale == 0 and len(binary := f"{size // scale}{unit}") < len(decimal):
            return binary
    return decimal


def format_duration(picoseconds: int) -> str:
    """Return the exact duration in its most readable unit: `1.5us`, `20ms`."""
    return _format(picoseconds, {"s": S, "ms": MS, "us": US, "ns": NS, "ps": PS})


def _parse(text: str, units: Mapping[str, int], kind: str) -> int:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"not a {kind}", value=text, hint=f"write a number and a unit, such as {_EXAMPLES[kind]}"
        )
    number, unit = Decimal(match[1]), match[2]
    if not unit and number != 0:
        raise ConfigError(
            f"{kind} without a unit",
            value=text,
            hint=f"add a unit, such as {_EXAMPLES[kind]}: {_SHOWN_UNITS[kind]}",
        )
    if unit and unit not in units:
        raise ConfigError(
            f"unknown unit {unit!r} of a {kind}", value=text, hint=f"units are {_SHOWN_UNITS[kind]}"
        )
    return _whole(number * units.get(unit, 1), text, kind)


def _whole(number: Decimal, shown_as: object, kind: str) -> int:
    """Check sign, size and wholeness, in an order that never builds a huge integer."""
    if number < 0:
        raise ConfigError(f"negative {kind}", value=shown_as, hint="give zero or more")
    if number > MAX_QUANTITY:
        raise ConfigError(f"{kind} is too large", value=shown_as, hint="at most 2^63-1 in the base unit")
    if number != number.to_integral_value():
        base = {"rate": "bits per second", "size": "bytes", "duration": "picoseconds"}[kind]
        raise ConfigError(f"not a whole number of {base}", value=shown_as)
    return int(number)


def _format(value: int, units: Mapping[str, int]) -> str:
    for unit, scale in units.items():
        if abs(value) >= scale or scale == 1:
            number = format(Decimal(value).scaleb(-round(math.log10(scale))), "f")
            return f"{number.rstrip('0').rstrip('.') if '.' in number else number}{unit}"
    raise AssertionError("units end with scale 1")


def _check_fraction(number: float, shown_as: object) -> float:
    if not math.isfinite(number):
        raise ConfigError("not a finite number", value=shown_as, hint="write a fraction such as 20% or 0.2")
    if not 0 <= number <= 1:
        raise ConfigError("a fraction is from 0 to 1 (0% to 100%)", value=shown_as, hint="write 20% or 0.2")
    return number


def _quantity(
    value: object, info: ValidationInfo, parse: Callable[[str], int], kind: str, strict: bool
) -> int:
    """Turn text or a number into a whole quantity; files must give a unit when `strict`."""
    if isinstance(value, str):
        if not strict and value.strip().isdigit():
            return _whole(Decimal(value.strip()), value, kind)
        return parse(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(
            f"not a {kind}", value=value, hint=f"write a number and a unit, such as {_EXAMPLES[kind]}"
        )
    if not math.isfinite(value):
        raise ConfigError(
            "not a finite number", value=value, hint=f"write a {kind} such as {_EXAMPLES[kind]}"
        )
    if strict and value != 0 and info.context and info.context.get("units_required"):
        raise ConfigError(
            f"{kind} without a unit",
            value=value,
            hint=f"add a unit, such as {_EXAMPLES[kind]}: {_SHOWN_UNITS[kind]}",
        )
    return _whole(Decimal(value), value, kind)


def _rate(value: object, info: ValidationInfo) -> int:
    return _quantity(value, info, parse_rate, "rate", True)


def _bytes(value: object, info: ValidationInfo) -> int:
    return _quantity(value, info, parse_bytes, "size", True)


def _duration(value: object, info: ValidationInfo) -> int:
    return _quantity(value, info, parse_duration, "duration", True)


def _bare_rate(value: object, info: ValidationInfo) -> int:
    return _quantity(value, info, parse_rate, "rate", False)


def _bare_bytes(value: object, info: ValidationInfo) -> int:
    return _quantity(value, info, parse_bytes, "size", False)


def _bare_duration(value: object, info: ValidationInfo) -> int:
    return _quantity(value, info, parse_duration, "duration", False)


def _fraction(value: object) -> float:
    if isinstance(value, str):
        return parse_fraction(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError("not a fraction", value=value, hint="write a fraction such as 20% or 0.2")
    return _check_fraction(float(value), value)


def _schema(kind: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "examples": [_EXAMPLES[kind]], "description": f"{kind} with its unit"}
    )


def _bare_schema(kind: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": ["integer", "string"],
            "description": f"{kind} in the unit of the key's name, or with its own unit",
        }
    )


Rate = Annotated[
    int,
    BeforeValidator(_rate),
    PlainSerializer(format_rate, return_type=str, when_used="json"),
    _schema("rate"),
]
"""Bits per second; text with a unit in files."""


def _positive(value: int) -> int:
    if value == 0:
        raise ConfigError("a rate above zero is needed", value=value)
    return value


LinkSpeed = Annotated[Rate, AfterValidator(_positive)]
"""A rate above zero."""

Bytes = Annotated[
    int,
    BeforeValidator(_bytes),
    PlainSerializer(format_bytes, return_type=str, when_used="json"),
    _schema("size"),
]
"""Bytes; text with a unit in files."""

Duration = Annotated[
    int,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    _schema("duration"),
]
"""Picoseconds; text with a unit in files."""

Fraction = Annotated[
    float,
    BeforeValidator(_fraction),
    WithJsonSchema(
        {"type": ["number", "string"], "examples": ["20%", 0.2], "description": "0 to 1, or percent"}
    ),
]
"""A number from 0 to 1, or text in percent."""

Bps = Annotated[int, BeforeValidator(_bare_rate), _bare_schema("rate")]
"""Bits per second under a key that names the unit (`rate_bps`): a bare number is clear, a unit is welcome."""

ByteCount = Annotated[int, BeforeValidator(_bare_bytes), _bare_schema("size")]
"""Bytes under a key that names the unit (`message_bytes`)."""

Picoseconds = Annotated[int, BeforeValidator(_bare_duration), _bare_schema("duration")]
"""Picoseconds under a key that names the unit (`start_ps`)."""

Priority = Annotated[int, Field(ge=0, le=7, strict=True)]
"""An 802.1Q priority, 0 to 7."""

Dscp = Annotated[int, Field(ge=0, le=63, strict=True)]
"""A differentiated services code point (RFC 2474), 0 to 63."""


def _priorities(value: object) -> frozenset[int]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise ConfigError("not a list of priorities", value=value, hint="write a list such as [3]")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int) or not 0 <= item <= 7:
            raise ConfigError(f"there is no priority {shown(item)}", hint="priorities are 0 to 7")
    if len(set(value)) != len(value):
        raise ConfigError("a priority is listed twice", value=value)
    return frozenset(value)


Priorities = Annotated[
    AbstractSet[int],
    PlainValidator(_priorities),
    PlainSerializer(sorted, return_type=list[int]),
    WithJsonSchema(
        {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 7}, "uniqueItems": True}
    ),
]
"""A set of 802.1Q priorities; a list in files."""
