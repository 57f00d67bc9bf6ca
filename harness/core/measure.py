"""Limits, measurements and verdicts.

A limit is a value that can be called: `at_least(95)(97.2)` is a Verdict, `str(at_least(95))` is `≥ 95`.

MARGINAL means: the value holds, but lies within `margin` of the bound. It passes, and the report shows it.
The margin of `at_least` and `at_most` is 2 % of the bound unless given (0 for a bound of 0); the other
limits have none unless given.

A bound may come from another reading; when that is Missing there is no bound, and the verdict is INVALID.

No data is never a pass: None, Missing, NaN, infinities and whatever is not a number give INVALID with a
reason.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from harness.core.errors import ConfigError, shown
from harness.core.evidence import Missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DEFAULT_MARGIN = 0.02
"""Part of a one-sided bound that counts as near it.

Our choice: run-to-run spread of line-rate goodput is about 1 %.
"""


class Verdict(Enum):
    """The outcome of a check, from good to useless; ordered."""

    PASS = "PASS"  # noqa: S105 - a verdict and no password
    MARGINAL = "MARGINAL"
    FAIL = "FAIL"
    INVALID = "INVALID"

    @property
    def rank(self) -> int:
        """Position from good (0) to useless (3)."""
        return list(Verdict).index(self)

    @property
    def passed(self) -> bool:
        """PASS and MARGINAL pass."""
        return self in (Verdict.PASS, Verdict.MARGINAL)

    def __lt__(self, other: Verdict) -> bool:
        return self.rank < other.rank

    @staticmethod
    def worst(verdicts: Iterable[Verdict]) -> Verdict:
        """Return the worst; of none at all INVALID, for nothing was shown."""
        return max(verdicts, key=lambda verdict: verdict.rank, default=Verdict.INVALID)


worst = Verdict.worst


@dataclass(frozen=True, slots=True)
class Limit:
    """A range that a value must lie in; None leaves a side open.

    Attributes:
        margin: absolute distance from a bound, inside the range, that still counts as MARGINAL.
        exclusive: the bounds themselves do not hold.
        source: where the bound is from ("expected from"), for the report.
        text: how the limit is printed; made from the bounds when empty.
        unknown: why there is no bound; it was to come from a reading that is missing, and nothing can be judged by it.
    """

    low: float | None = None
    high: float | None = None
    margin: float = 0.0
    exclusive: bool = False
    source: str | None = None
    text: str = ""
    unknown: str = ""

    def __post_init__(self) -> None:
        if self.unknown:
            return
        for bound in (self.low, self.high):
            if bound is not None and not_a_number(bound):
                raise ConfigError("a limit needs a finite number", value=bound, hint=not_a_number(bound))
        if self.low is None and self.high is None:
            raise ConfigError("a limit needs a bound")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ConfigError(f"empty limit: {self.low:g} is above {self.high:g}")
        if not math.isfinite(self.margin) or self.margin < 0:
            raise ConfigError("a margin is zero or more", value=self.margin)

    def __call__(self, value: object) -> Verdict:
        """Judge a value."""
        return judge(value, self)

    def __str__(self) -> str:
        if self.unknown:
            return "unknown"
        return self.text or _range_text(self.low, self.high, self.exclusive)

    def holds(self, value: float) -> bool:
        """Tell whether a finite number lies in the range."""
        if self.exclusive and value in (self.low, self.high):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def is_near(self, value: float) -> bool:
        """Tell whether a number that holds lies within the margin of a bound.

        With a margin of 0 nothing is near.
        """
        if self.margin == 0:
            return False
        bounds = (bound for bound in (self.low, self.high) if bound is not None)
        return any(abs(value - bound) <= self.margin for bound in bounds)

    def expected_from(self, source: str) -> Limit:
        """Return the same limit with the origin of its bound."""
        return replace(self, source=source)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One judged value with its evidence.

    Attributes:
        unit: unit of value and limit, "" for counts and ratios.
        evidence: where the value was read ("sum of tx_pause over sw1").
        source: where the limit is from; that of the limit when not given to `measure`.
        reason: why the verdict is not PASS; None for PASS.
    """

    name: str
    value: float | int | Missing | None
    unit: str
    limit: Limit
    verdict: Verdict
    evidence: str = ""
    source: str | None = None
    reason: str | None = None


def at_least(
    low: float | Missing,
    *,
    margin: float | None = None,
    margin_abs: float | None = None,
    source: str | None = None,
) -> Limit:
    """The value is `low` or more.

    `margin` is a part of the bound (0.02 = 2 %), `margin_abs` in the value's unit.
    """
    if isinstance(low, Missing):
        return _unknown(low, source)
    return Limit(low=_bound(low), margin=_margin(low, margin, margin_abs), source=source)


def at_most(
    high: float | Missing,
    *,
    margin: float | None = None,
    margin_abs: float | None = None,
    source: str | None = None,
) -> Limit:
    """The value is `high` or less.

    `margin` is a part of the bound (0.02 = 2 %), `margin_abs` in the value's unit.
    """
    if isinstance(high, Missing):
        return _unknown(high, source)
    return Limit(high=_bound(high), margin=_margin(high, margin, margin_abs), source=source)


def within(
    low: float | Missing, high: float | Missing, *, margin_abs: float = 0.0, source: str | None = None
) -> Limit:
    """The value lies in the range, bounds included."""
    for bound in (low, high):
        if isinstance(bound, Missing):
            return _unknown(bound, source)
    return Limit(low=_bound(low), high=_bound(high), margin=margin_abs, source=source)


def between(
    low: float | Missing, high: float | Missing, *, margin_abs: float = 0.0, source: str | None = None
) -> Limit:
    """The value lies in the range, bounds excluded."""
    for bound in (low, high):
        if isinstance(bound, Missing):
            return _unknown(bound, source)
    return Limit(low=_bound(low), high=_bound(high), margin=margin_abs, exclusive=True, source=source)


def equals(value: float | Missing, *, source: str | None = None) -> Limit:
    """The value is exactly this one."""
    if isinstance(value, Missing):
        return _unknown(value, source)
    return Limit(low=_bound(value), high=_bound(value), source=source, text=f"= {_text(value)}")


def approx(
    value: float | Missing,
    *,
    rel: float | None = None,
    abs: float | None = None,  # noqa: A002 - the word of pytest.approx
    margin_abs: float = 0.0,
    source: str | None = None,
) -> Limit:
    """The value is this one within `rel` (a part of it) or `abs` (in its unit).

    Exactly one of the two is given.
    """
    if (rel is None) == (abs is None):
        raise ConfigError(
            "approx needs either rel or abs", hint="approx(100, rel=0.01) or approx(100, abs=1)"
        )
    for given in (value, rel, abs):
        if isinstance(given, Missing):
            return _unknown(given, source)
    spread = abs if abs is not None else math.fabs(_bound(value)) * (rel or 0.0)
    if not math.isfinite(spread) or spread < 0:
        raise ConfigError("a tolerance is zero or more", value=spread)
    shown_as = f"± {_text(spread)}" if abs is not None else f"± {_text((rel or 0.0) * 100)} %"
    low, high = _bound(value) - spread, _bound(value) + spread
    return Limit(low=low, high=high, margin=margin_abs, source=source, text=f"{_text(value)} {shown_as}")


def judge(value: object, limit: Limit) -> Verdict:
    """Hold a value against a limit; whatever is not a finite number is INVALID."""
    if limit.unknown or not_a_number(value):
        return Verdict.INVALID
    number = plain(value)  # ints stay exact: a counter may exceed 2^53
    if number is None or isinstance(number, Missing):
        return Verdict.INVALID
    if not limit.holds(number):
        return Verdict.FAIL
    return Verdict.MARGINAL if limit.is_near(number) else Verdict.PASS


def measure(
    name: str, value: object, limit: Limit, unit: str = "", *, evidence: str = "", source: str | None = None
) -> Measurement:
    """Judge a value and keep it with its evidence; the value is stored as a plain Python number."""
    verdict = judge(value, limit)
    return Measurement(
        name,
        plain(value),
        unit,
        limit,
        verdict,
        evidence,
        source or limit.source,
        _reason(value, limit, verdict),
    )


TIME_UNITS = frozenset({"ps", "ns", "us", "µs", "ms", "s", "min", "h"})
"""Units of what takes longer when a generator is slow."""


def doubted(measurement: Measurement, bottlenecks: Sequence[str]) -> Measurement:
    """Return a FAIL as INVALID where a generator that its host held back may explain it; others as they are.

    A slow generator explains too little of anything, too long a time and any ratio. It does not explain too much: a
    count above its limit (drops, wrong bytes) or a rate above it stays FAIL.
    """
    if not bottlenecks or measurement.verdict is not Verdict.FAIL or not _slowness_explains(measurement):
        return measurement
    reason = "; ".join([*dict.fromkeys(bottlenecks), measurement.reason or ""])
    return replace(measurement, verdict=Verdict.INVALID, reason=reason)


def _slowness_explains(measurement: Measurement) -> bool:
    value, low = measurement.value, measurement.limit.low
    if not isinstance(value, int | float):
        return False
    too_little = low is not None and (value < low or (measurement.limit.exclusive and value == low))
    a_ratio = isinstance(value, float) and measurement.unit in ("", "%")
    return too_little or a_ratio or measurement.unit in TIME_UNITS


def not_a_number(value: object) -> str:
    """Return why the value is no evidence, or "" for a finite number."""
    if value is None:
        return "no value"
    if isinstance(value, Missing):
        return f"no data: {value.reason}"
    if not isinstance(value, numbers.Real):
        return f"not a number: {shown(value)}"
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer beyond the floats is finite
        finite = True
    return "" if finite else f"not a finite number: {value}"


def plain(value: object) -> float | int | Missing | None:
    """Return the value as a Python number (numpy scalars too); Missing with a reason when it is none."""
    if value is None or isinstance(value, Missing):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    return Missing(not_a_number(value))


def _reason(value: object, limit: Limit, verdict: Verdict) -> str | None:
    if verdict is Verdict.INVALID:
        return not_a_number(value) or f"the limit is unknown: {limit.unknown}"
    if verdict is Verdict.FAIL:
        return f"{_text(value)} is not {limit}"
    if verdict is Verdict.MARGINAL:
        return f"{_text(value)} is within {_text(limit.margin)} of the limit {limit}"
    return None


def _unknown(bound: Missing, source: str | None) -> Limit:
    return Limit(source=source, unknown=f"no data: {bound.reason}")


def _margin(bound: float, margin: float | None, margin_abs: float | None) -> float:
    if margin is not None and margin_abs is not None:
        raise ConfigError("give margin or margin_abs, not both")
    if margin_abs is not None:
        return margin_abs
    return math.fabs(_bound(bound)) * (DEFAULT_MARGIN if margin is None else margin)


def _bound(value: object) -> float:
    """Return the bound as a plain number.

    Raise ConfigError when it is none (a bound may come from a measurement).
    """
    number = plain(value)
    if number is None or isinstance(number, Missing) or not_a_number(number):
        raise ConfigError("a limit needs a finite number", hint=not_a_number(value))
    return number


def _text(value: object) -> str:
    """Print integers in full and floats with six digits."""
    if isinstance(value, numbers.Integral):
        return str(int(value))
    return f"{value:.6g}"


def _range_text(low: float | None, high: float | None, exclusive: bool) -> str:
    less, more = ("<", ">") if exclusive else ("≤", "≥")
    if low is not None and high is not None:
        return f"{_text(low)} {less} x {less} {_text(high)}"
    return f"{more} {_text(low)}" if low is not None else f"{less} {_text(high)}"
