"""Turn series into the geometry of a small line chart.

No chart package and no JavaScript: a chart is a stretched SVG (lines only, so that it may be scaled freely) with its
labels as text beside it, placed in percent. Text therefore keeps its size on a phone. All arithmetic happens here; the
template prints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reports.decimate import FloatArray, decimate, peak
from reports.text import count, with_unit

# The drawing area of the SVG in its own units; CSS stretches it to the width and height of the page.
WIDTH, HEIGHT = 1000, 300
# More lines than this cannot be told apart; the rest is named in a sentence under the chart.
MAX_LINES = 8
# Two samples a bucket and about one bucket a drawn pixel column of a wide page.
MAX_DRAWN_POINTS = 600
# Labels of horizontal lines closer than this (percent of the height) would print over each other.
MIN_LABEL_GAP = 9.0

# A horizontal line this many times above everything else would press the rest flat: it is told and not drawn.
MAX_ABOVE = 5.0

# Base units that read better with a prefix.
SCALED_UNITS = ("B", "b/s")

_SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


@dataclass(frozen=True, slots=True)
class Column:
    """One line to draw: `time_ps` in picoseconds, `values` in the unit of the chart, NaN where there is none."""

    name: str
    time_ps: FloatArray
    values: FloatArray


@dataclass(frozen=True, slots=True)
class Threshold:
    """A horizontal line, such as Kmin; `value` in the unit of the chart."""

    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Band:
    """Where a measurement passes, from `low` to `high` in the unit of the chart; None: open."""

    label: str
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Panel:
    """What one chart shows: lines of one unit over time, with the levels and bands that they are held against.

    `total` is the sum of the lines, where that is another quantity than each of them; None where it is not.
    """

    title: str
    unit: str
    columns: tuple[Column, ...]
    thresholds: tuple[Threshold, ...] = ()
    bands: tuple[Band, ...] = ()
    total: Column | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """A vertical line: something that happened at `time_ps`."""

    label: str
    time_ps: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A label on an axis; `percent` from the left or from the top."""

    percent: str
    text: str
    position: str


@dataclass(frozen=True, slots=True)
class LineView:
    """A drawn column: `path` is SVG path data, `style` the number of its colour, `note` its largest value in words."""

    name: str
    path: str
    style: int
    note: str


@dataclass(frozen=True, slots=True)
class BandView:
    """A drawn band: its top and height in units of the SVG, and the place of its label."""

    y: str
    height: str
    percent: str
    text: str


@dataclass(frozen=True, slots=True)
class MomentView:
    """A drawn event; `number` stands on the chart, what happened in the numbered list of the run."""

    number: str
    percent: str
    position: str


@dataclass(frozen=True, slots=True)
class ChartView:
    """Everything a template needs to print one chart; all text is formatted."""

    title: str
    unit: str
    description: str
    width: int
    height: int
    lines: tuple[LineView, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    thresholds: tuple[Tick, ...]
    bands: tuple[BandView, ...]
    moments: tuple[MomentView, ...]
    omitted: str


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps `low`…`high` (base unit) to fractions 0…1; `scale` base units make one `unit`."""

    low: float
    high: float
    scale: float
    unit: str
    ticks: tuple[float, ...]

    def fraction(self, value: float) -> float:
        """Place of a value, 0 at the lower end."""
        return (value - self.low) / (self.high - self.low)

    def text(self, value: float) -> str:
        """Print a value in `unit`."""
        return f"{value / self.scale:.6g}"


def line_chart(
    panel: Panel, *, moments: Sequence[Moment] = (), max_points: int = MAX_DRAWN_POINTS
) -> ChartView | None:
    """Draw a panel over one time axis, or return None when no column holds a single sample.

    The base unit of the values gets an SI prefix where it is "B" or "b/s"; "%" and others are printed as they are. At
    most `MAX_LINES` columns, those with the highest peaks, are drawn, with at most `max_points` points each; `omitted`
    tells of what is not drawn.
    """
    drawn, left_out = to_draw(panel.columns, MAX_LINES)
    if not drawn:
        return None
    drawn += [panel.total] if panel.total is not None else []
    x = time_axis(drawn, moments)
    levels, too_high = drawable(panel.thresholds, drawn)
    y = value_axis(panel.unit, drawn, levels, panel.bands)
    lines = tuple(_line(column, panel.unit, number, x, y, max_points) for number, column in enumerate(drawn))
    return ChartView(
        title=panel.title,
        unit=y.unit,
        description=f"{panel.title}, {y.unit} over {x.unit}: "
        + "; ".join(f"{line.name} {line.note}" for line in lines),
        width=WIDTH,
        height=HEIGHT,
        lines=lines,
        x_ticks=tuple(_x_tick(value, x) for value in x.ticks),
        y_ticks=tuple(_y_tick(value, y.text(value), y) for value in y.ticks),
        thresholds=_spread([_y_tick(t.value, f"{t.label} {y.text(t.value)}", y) for t in levels]),
        bands=tuple(_band(band, y) for band in panel.bands),
        moments=tuple(_moment(number, moment, x) for number, moment in enumerate(moments, 1)),
        omitted=" ".join(part for part in (left_out, *too_high) if part),
    )


def drawable(
    thresholds: Sequence[Threshold], columns: Sequence[Column]
) -> tuple[list[Threshold], tuple[str, ...]]:
    """The levels that a chart of these columns can show, and a sentence on each of those far above them."""
    highest = max((peak(column.values) for column in columns), default=0.0)
    kept: list[Threshold] = []
    for threshold in sorted(thresholds, key=lambda each: each.value):
        if threshold.value <= MAX_ABOVE * max([highest, *(each.value for each in kept)]):
            kept.append(threshold)
    far = [threshold for threshold in thresholds if threshold not in kept]
    return kept, tuple(f"{t.label} {si_text(t.value, 'B')} is far above the chart." for t in far)


def constant_level(columns: Sequence[Column]) -> float | None:
    """The value that all columns have all the time, None when there is more to see (or nothing at all)."""
    values = [column.values[~np.isnan(column.values)] for column in columns]
    samples = np.concatenate(values) if values else np.zeros(0)
    return float(samples[0]) if samples.size and (samples == samples[0]).all() else None


def si_text(value: float, unit: str) -> str:
    """A value with four digits and, for bytes and bits per second, an SI prefix: "4.243 MB"."""
    scale, scaled_unit = _scaled(value, unit)
    return with_unit(f"{float(f'{value / scale:.4g}'):g}", scaled_unit)


def _scaled(value: float, unit: str) -> tuple[float, str]:
    """How many of `unit` make one of the unit with the prefix that suits `value`; KB as everywhere in the harness."""
    if unit not in SCALED_UNITS or not value:
        return 1.0, unit
    scale, prefix = _si(value)
    return scale, "KB" if (prefix, unit) == ("k", "B") else f"{prefix}{unit}"


def to_draw(columns: Sequence[Column], max_lines: int) -> tuple[list[Column], str]:
    """The columns with the highest peaks, in their given order, and a sentence on those left out."""
    full = [column for column in columns if not math.isnan(peak(column.values))]
    moving = [column for column in full if np.nanmax(np.abs(column.values)) > 0] or full[:1]
    loudest = sorted(range(len(moving)), key=lambda index: -peak(moving[index].values))
    chosen = sorted(loudest[:max_lines])
    return [moving[index] for index in chosen], _left_out(len(full) - len(moving), len(moving) - len(chosen))


def _left_out(zero: int, quieter: int) -> str:
    parts = [f"{count(quieter, 'line')} with lower peaks"] if quieter else []
    parts += [f"{count(zero, 'line')} at zero throughout"] if zero else []
    return f"Not drawn: {', '.join(parts)}." if parts else ""


def time_axis(columns: Sequence[Column], moments: Sequence[Moment]) -> Axis:
    """From the start of the run to the last sample or event."""
    ends = [float(column.time_ps[-1]) for column in columns] + [moment.time_ps for moment in moments]
    starts = [float(column.time_ps[0]) for column in columns] + [moment.time_ps for moment in moments] + [0.0]
    low, high = min(starts), max(ends)
    if high <= low:
        high = low + 1.0
    # A picosecond is 1e-12 s, so the SI prefix is found on seconds.
    scale, prefix = _si((high - low) * 1e-12)
    scale_ps = scale * 1e12
    ticks = tuple(t for t in _nice_ticks(low / scale_ps, high / scale_ps, 5))
    return Axis(low, high, scale_ps, f"{prefix}s", tuple(t * scale_ps for t in ticks))


def value_axis(
    unit: str, columns: Sequence[Column], thresholds: Sequence[Threshold], bands: Sequence[Band] = ()
) -> Axis:
    """From zero (or the lowest value below it) to a little above the highest line."""
    lowest = min(float(np.nanmin(column.values)) for column in columns)
    edges = [edge for band in bands for edge in (band.low, band.high) if edge is not None]
    highest = max([peak(column.values) for column in columns] + [t.value for t in thresholds] + edges)
    low, high = min(0.0, lowest), max(highest, 0.0)
    if high <= low:
        high = low + 1.0
    scale, scaled_unit = _scaled(high, unit)
    ticks = _nice_ticks(low / scale, high / scale * 1.04, 5)
    return Axis(low, high * 1.04, scale, scaled_unit, tuple(t * scale for t in ticks))


def _si(value: float) -> tuple[float, str]:
    """The factor and prefix that bring `value` between 1 and 1000."""
    for factor, prefix in _SI:
        if abs(value) >= factor:
            return factor, prefix
    return _SI[-1]


def _nice_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within `low`…`high`, about `wanted` of them."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _percent(fraction: float) -> str:
    return f"{fraction * 100:.2f}".rstrip("0").rstrip(".")


def _x_tick(value: float, axis: Axis) -> Tick:
    fraction = axis.fraction(value)
    return Tick(_percent(fraction), with_unit(axis.text(value), axis.unit), f"{fraction * WIDTH:.0f}")


def _y_tick(value: float, text: str, axis: Axis) -> Tick:
    fraction = 1.0 - axis.fraction(value)
    return Tick(_percent(fraction), text, f"{fraction * HEIGHT:.0f}")


def _spread(ticks: list[Tick]) -> tuple[Tick, ...]:
    """Move the labels (not the lines) apart where they would overlap, from the top down."""
    placed: list[Tick] = []
    for tick in sorted(ticks, key=lambda tick: float(tick.percent)):
        floor = float(placed[-1].percent) + MIN_LABEL_GAP if placed else 0.0
        placed.append(Tick(_percent(max(float(tick.percent), floor) / 100), tick.text, tick.position))
    return tuple(placed)


def _band(band: Band, axis: Axis) -> BandView:
    """From its upper to its lower edge; open ends reach those of the chart."""
    low = axis.low if band.low is None else max(band.low, axis.low)
    high = axis.high if band.high is None else min(band.high, axis.high)
    top, bottom = ((1.0 - axis.fraction(value)) * HEIGHT for value in (high, low))
    edge = band.low if band.low is not None else high
    height = max(bottom - top, 1.0)
    return BandView(f"{top:.0f}", f"{height:.0f}", _percent(1.0 - axis.fraction(edge)), band.label)


def _moment(number: int, moment: Moment, axis: Axis) -> MomentView:
    fraction = axis.fraction(moment.time_ps)
    return MomentView(str(number), _percent(fraction), f"{fraction * WIDTH:.0f}")


def _line(column: Column, unit: str, number: int, x: Axis, y: Axis, max_points: int) -> LineView:
    time, values = decimate(column.time_ps, column.values, max_points)
    note = f"max {si_text(peak(column.values), unit)}"
    return LineView(column.name, _path(time, values, x, y), number, note)


def _path(time: FloatArray, values: FloatArray, x: Axis, y: Axis) -> str:
    """SVG path data in whole units; a NaN lifts the pen, points on a straight level run are left out."""
    parts: list[str] = []
    points: list[tuple[int, int]] = []
    for t, v in zip(time, values, strict=True):
        if math.isnan(v):
            parts.append(_stroke(points))
            points = []
            continue
        points.append((round(x.fraction(float(t)) * WIDTH), round((1.0 - y.fraction(float(v))) * HEIGHT)))
    parts.append(_stroke(points))
    return "".join(parts)


def _stroke(points: list[tuple[int, int]]) -> str:
    if not points:
        return ""
    if len(points) == 1:  # a lone sample between gaps is still evidence: a round cap of zero length draws it
        return f"M{points[0][0]} {points[0][1]}h0"
    kept = [
        point
        for i, point in enumerate(points)
        if i in (0, len(points) - 1) or not points[i - 1][1] == point[1] == points[i + 1][1]
    ]
    return "M" + "L".join(f"{px} {py}" for px, py in kept)
