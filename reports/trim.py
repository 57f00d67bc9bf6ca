"""Cut what is too long for a page before anything is made of it: a name of a megabyte costs a line, not the report."""

from __future__ import annotations

from dataclasses import replace

from harness.core.measure import Limit, Measurement
from harness.core.record import ScenarioRecord, SeriesRecord, TestRecord
from reports.text import shorten

NAME_ROOM, TEXT_ROOM, SCENARIO_ROOM = 160, 4_000, 20_000
"""Characters of a name, a sentence, a scenario."""
MAX_LINES = 200
"""Events and reasons that are listed; what a suite writes has a handful."""


def trimmed(test: TestRecord) -> TestRecord:
    """Return a test with the texts of its runs and measurements cut."""
    return replace(
        test,
        runs=tuple(map(trimmed_run, test.runs)),
        measurements=tuple(map(trimmed_measurement, test.measurements)),
    )


def trimmed_run(run: ScenarioRecord) -> ScenarioRecord:
    """Return a run with its texts cut; numbers stay as they are."""
    return replace(
        run,
        title=shorten(run.title, NAME_ROOM),
        scenario=shorten(run.scenario, SCENARIO_ROOM),
        ended=shorten(run.ended, NAME_ROOM),
        figures=tuple(
            replace(figure, name=shorten(figure.name, NAME_ROOM), unit=shorten(figure.unit, NAME_ROOM))
            for figure in run.figures
        ),
        invalid_reasons=_lines(run.invalid_reasons),
        events=_lines(run.events),
        notes=_lines(run.notes),
        series=tuple(map(_series, run.series)),
    )


def trimmed_measurement(measurement: Measurement) -> Measurement:
    """Return a measurement with its texts cut; its verdict stands."""
    return replace(
        measurement,
        name=shorten(measurement.name, NAME_ROOM),
        unit=shorten(measurement.unit, NAME_ROOM),
        limit=_limit(measurement.limit),
        evidence=shorten(measurement.evidence, TEXT_ROOM),
        source=shorten(measurement.source or "", TEXT_ROOM),
        reason=shorten(measurement.reason or "", TEXT_ROOM),
    )


def _limit(limit: Limit) -> Limit:
    return replace(limit, text=shorten(limit.text, NAME_ROOM), source=shorten(limit.source or "", TEXT_ROOM))


def _series(table: SeriesRecord) -> SeriesRecord:
    return replace(table, columns=tuple(shorten(column, NAME_ROOM) for column in table.columns))


def _lines(lines: tuple[str, ...]) -> tuple[str, ...]:
    more = len(lines) - MAX_LINES
    shown = tuple(shorten(line, TEXT_ROOM) for line in lines[:MAX_LINES])
    return (*shown, f"… and {more} more") if more > 0 else shown
