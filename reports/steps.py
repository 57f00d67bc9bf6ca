"""The steps of a test and how long each took, in wall-clock time and, for a run, in the time of the fabric."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.record import ScenarioRecord, TestRecord
from reports.text import count, duration, number, one_line, shorten, with_unit
from reports.view import StepView

_NAME_ROOM = 120


def step_views(test: TestRecord) -> tuple[StepView, ...]:
    """Set-up, each run, what the body did besides (judging, mostly), and tear-down; what was not timed is left out."""
    return tuple(_steps(test))


def _steps(test: TestRecord) -> Iterator[StepView]:
    times = test.durations_s
    if "setup" in times:
        yield StepView("set-up", duration(times["setup"]), "the fabric is reserved")
    for run in test.runs:
        title = f": {shorten(one_line(run.title), _NAME_ROOM)}" if run.title else ""
        yield StepView(f"run {run.number}{title}", duration(run.wall_s), _of_fabric(run))
    if "call" in times:
        rest = max(0.0, times["call"] - sum(run.wall_s for run in test.runs))
        yield StepView("judging", duration(rest), count(len(test.measurements), "measurement"))
    if "teardown" in times:
        yield StepView("tear-down", duration(times["teardown"]), "")


def _of_fabric(run: ScenarioRecord) -> str:
    """How long the run was for the devices, and how it ended."""
    took = next((figure.value for figure in run.figures if figure.name == "duration of the run"), None)
    time = with_unit(number(took), "ms") if isinstance(took, int | float) else ""
    kind = " of simulated time" if run.simulated and time else " on the fabric" if time else ""
    return ", ".join(part for part in (f"{time}{kind}", one_line(run.ended)) if part)
