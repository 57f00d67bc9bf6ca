"""Which measurements a chart can show as the band in which they pass.

A limit belongs on a chart when it is of the same kind of quantity; whether it is of one line, of all or of their sum,
its name says. Charts carry the limit nearest to being broken first, and few of them, so that lines stay readable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.core.measure import Measurement
from reports.chart import Band
from reports.measurements import worst_first
from reports.text import one_line

MAX_BANDS = 2

_RATES = {"Gb/s": 1e9, "Mb/s": 1e6, "kb/s": 1e3, "b/s": 1.0}
_SIZES = {"B": 1.0, "KB": 1e3, "MB": 1e6, "KiB": 1024.0, "MiB": 1024.0**2}
_PARTS = {"": 100.0, "%": 1.0}

# Series → units of measurements that it is comparable with (factor to the chart's unit), and what their names say.
_KINDS = {
    "goodput_bps": (_RATES, re.compile("")),
    "queue_bytes": (_SIZES, re.compile(r"\bqueue\b")),
    "pause_fraction": (_PARTS, re.compile(r"^(?!.*\bsum\b).*(\bpaused part\b|\bpause fraction\b)")),
}
_OF_ALL = re.compile(r"^(goodput|together|total)\b")


def bands_of(series: str, measurements: Sequence[Measurement], run: int, runs: int) -> tuple[Band, ...]:
    """Bands for the chart of `series` in run number `run` of `runs`, the worst first."""
    mine = [each for each in worst_first(measurements) if _is_of_run(each, run, runs)]
    return tuple(_bands(series, mine))[:MAX_BANDS]


def wants_total(measurements: Sequence[Measurement], run: int, runs: int) -> bool:
    """Whether a rate that was measured is the sum of all flows."""
    return any(
        _OF_ALL.match(each.name) and each.unit in _RATES and _is_of_run(each, run, runs)
        for each in measurements
    )


def _bands(series: str, measurements: Sequence[Measurement]) -> Iterator[Band]:
    units, names = _KINDS.get(series, ({}, re.compile("")))
    for each in measurements:
        factor, limit = units.get(each.unit), each.limit
        if factor is None or not names.search(each.name) or (limit.low is None and limit.high is None):
            continue
        edges = [None if edge is None else float(edge) * factor for edge in (limit.low, limit.high)]
        yield Band(one_line(f"{each.name}: {limit} {each.unit}"), edges[0], edges[1])


def _is_of_run(measurement: Measurement, run: int, runs: int) -> bool:
    named = [int(number) for number in re.findall(r"\brun (\d{1,6})\b", measurement.evidence)]
    return run in named if named else runs == 1
