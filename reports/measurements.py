"""Measurements in words, the one nearest to its limit first."""

from __future__ import annotations

import math
from collections.abc import Iterable

from harness.core.evidence import Missing
from harness.core.measure import Limit, Measurement, Verdict
from reports.text import number, one_line, signed_percent, with_unit
from reports.view import BarView, MeasurementView

STYLES = {
    Verdict.PASS: "pass",
    Verdict.MARGINAL: "marginal",
    Verdict.FAIL: "fail",
    Verdict.INVALID: "invalid",
}


def worst_first(measurements: Iterable[Measurement]) -> list[Measurement]:
    """INVALID, then FAIL, MARGINAL and PASS; within one verdict the smallest relative margin first."""
    return sorted(measurements, key=lambda m: (-m.verdict.rank, _order(relative_margin(m))))


def measurement_views(measurements: Iterable[Measurement]) -> tuple[MeasurementView, ...]:
    """Format measurements, worst first."""
    return tuple(_view(measurement) for measurement in worst_first(measurements))


def relative_margin(measurement: Measurement) -> float | None:
    """Distance to the nearer bound as a part of that bound: +0.04 is 4 % inside, -0.04 is 4 % outside.

    None without a value, for a limit that is one number, and where the bound is 0 and nothing can be a part of it.
    """
    value, limit = measurement.value, measurement.limit
    if value is None or isinstance(value, Missing) or not math.isfinite(value) or limit.low == limit.high:
        return None
    room = [(float(value - limit.low), limit.low)] if limit.low is not None else []
    room += [(float(limit.high - value), limit.high)] if limit.high is not None else []
    parts = [distance / abs(bound) for distance, bound in room if bound != 0]
    return min(parts) if len(parts) == len(room) else None


def bar_of(margin: float | None) -> BarView | None:
    """Place a margin on its track; everything beyond 100 % ends at the end."""
    if margin is None:
        return None
    length = 50 * math.sqrt(min(abs(margin), 1.0))
    left = 50 - length if margin < 0 else 50.0
    return BarView(f"{left:.1f}", f"{max(length, 0.6):.1f}")


def _order(margin: float | None) -> float:
    """Where no margin can be given, after those that have one."""
    return math.inf if margin is None else margin


def _view(measurement: Measurement) -> MeasurementView:
    invalid = measurement.verdict is Verdict.INVALID
    unit = one_line(measurement.unit)
    return MeasurementView(
        name=one_line(measurement.name),
        value=_value(measurement, unit),
        limit=with_unit(one_line(str(measurement.limit)), unit),
        margin=_margin(measurement, unit),
        verdict=measurement.verdict.value,
        style=STYLES[measurement.verdict],
        source=one_line(measurement.source or ""),
        evidence=one_line(measurement.evidence),
        reason=one_line(measurement.reason or "") if invalid else "",
        bar=None if invalid else bar_of(relative_margin(measurement)),
    )


def _value(measurement: Measurement, unit: str) -> str:
    value = measurement.value
    if value is None or isinstance(value, Missing):
        return "no data"
    if not math.isfinite(value):
        return str(value)
    return with_unit(number(value, _bounds(measurement.limit)), unit)


def _bounds(limit: Limit) -> list[float]:
    return [bound for bound in (limit.low, limit.high) if bound is not None]


def _margin(measurement: Measurement, unit: str) -> str:
    """Relative where it means something, else the distance in the unit of the value, else nothing."""
    part = relative_margin(measurement)
    if part == 0:
        return "at the limit"
    if part is not None:
        return signed_percent(part)
    value, limit = measurement.value, measurement.limit
    if value is None or isinstance(value, Missing) or not math.isfinite(value):
        return ""
    inside = [float(value - limit.low)] if limit.low is not None else []
    inside += [float(limit.high - value)] if limit.high is not None else []
    if not inside:
        return ""
    distance = min(inside)
    if distance == 0:
        return "exact" if limit.low == limit.high else "at the limit"
    return with_unit(f"{'+' if distance > 0 else '-'}{number(abs(distance))}", unit)
