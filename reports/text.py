"""Print quantities for people: enough digits to judge, never so few that a verdict looks wrong.

Nothing here decides anything; verdicts come judged in the record.
"""

from __future__ import annotations

import math
import shlex
import unicodedata
from collections.abc import Sequence

_SIGNIFICANT_DIGITS = 4
# A double has no more than 17 significant digits; beyond them two numbers cannot be told apart by printing.
_MAX_DIGITS = 17


def number(value: float, bounds: Sequence[float] = ()) -> str:
    """Format a value with thousands separators and about four significant digits.

    More digits are used where four would move the value across one of `bounds`: 94.9996 judged against 95 prints as
    "94.9996" and not as the misleading "95". Whole numbers print all their digits.
    """
    if isinstance(value, bool) or not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    for digits in range(_fewest_digits(value), _MAX_DIGITS + 1):
        if all(_side(_rounded(value, digits), bound) == _side(value, bound) for bound in bounds):
            break
    return _plain(_rounded(value, digits), digits)


def _fewest_digits(value: float) -> int:
    """Four, or as many as stand before the decimal point: 123456.7 prints as 123,457 and not as 123,500."""
    whole = math.floor(math.log10(abs(value))) + 1 if value else 1
    return min(max(_SIGNIFICANT_DIGITS, whole), _MAX_DIGITS)


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _side(value: float, bound: float) -> int:
    """-1 below, 0 on, 1 above the bound."""
    return (value > bound) - (value < bound)


def _plain(value: float, digits: int) -> str:
    """Positional notation where it reads well, scientific where it would be a row of zeros."""
    if value != 0 and not 1e-4 <= abs(value) < 1e15:
        return f"{value:.{digits}g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def with_unit(text: str, unit: str) -> str:
    """Join a printed number and its unit; a percent sign stands close enough with a no-break space as well."""
    return f"{text}\N{NO-BREAK SPACE}{unit}" if unit else text


def signed_percent(fraction: float) -> str:
    """Format a relative margin: 0.042 gives "+4.2 %".

    Tiny but non-zero margins never print as zero; those of 1000 % and more, which say no more than "far", are cut.
    """
    percent = fraction * 100
    if abs(percent) >= 1000:
        return f"{'over +' if percent > 0 else 'below -'}999\N{NO-BREAK SPACE}%"
    text = f"{percent:+.1f}" if abs(percent) < 100 else f"{percent:+.0f}"
    if float(text) == 0 and percent != 0:
        text = f"{percent:+.1g}"
    return f"{text}\N{NO-BREAK SPACE}%"


def duration(seconds: float) -> str:
    """Format elapsed wall-clock time: "0.8 s", "2 min 05 s", "1 h 02 min"."""
    if seconds < 59.95:
        return (
            f"{seconds:.1f}\N{NO-BREAK SPACE}s"
            if seconds >= 0.1
            else f"{seconds * 1000:.0f}\N{NO-BREAK SPACE}ms"
        )
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(amount: int, singular: str, plural: str | None = None) -> str:
    """Number and noun: "1 test", "2 tests"."""
    return f"{amount:,} {singular if amount == 1 else plural or singular + 's'}"


def plain_spaces(text: str) -> str:
    """Ordinary blanks for places where people search and copy: terminals and logs."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


def clean(text: str) -> str:
    """Make text from elsewhere safe to print: control and direction-changing characters become visible escapes.

    A test name or an error may hold terminal escapes or bytes that no XML or HTML may carry. Line breaks and tabs stay.
    """
    if text.isprintable():  # a megabyte at once
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn"):
        return character
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


def one_line(text: str) -> str:
    """`clean` text with all white space folded, for table cells."""
    return " ".join(clean(text).split())


def shorten(text: str, room: int) -> str:
    """Cut text that is longer than `room` characters and say so: a name of a megabyte must not fill a page."""
    if len(text) <= room:
        return text
    told = f"… ({len(text):,} characters)" if room > 60 else "…"
    return text[: room - len(told)] + told


def shell_word(text: str) -> str:
    """Quote a word for a POSIX shell where it needs it."""
    return shlex.quote(text)
