"""A matrix of defects as text, as a Markdown page, as JSON and as one HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.defect_matrix import Cell, Matrix, Row, Sight
from reports.text import count, one_line

FORMAT = 1
"""Version of the JSON document (docs/defects.md)."""

ABSENT = Sight(Cell.NOT_RUN)
STYLES = {
    Cell.FAILED: "fail",
    Cell.INVALID: "invalid",
    Cell.BROKE: "fault",
    Cell.PASSED: "pass",
    Cell.NOT_RUN: "none",
}


def family_of(test: str) -> str:
    """Return the folder of a test's file: `pfc` of `suites/pfc/test_x.py::test_y`."""
    return test.partition("::")[0].split("/")[-2] if "/" in test.partition("::")[0] else ""


def short(test: str) -> str:
    """Return a test without the folders of its file."""
    return test.partition("::")[0].rsplit("/", 1)[-1] + "::" + test.partition("::")[2]


def verdict_lines(matrix: Matrix) -> list[str]:
    """Return the summary: one line what was shown, then one a thing that is not as it should be."""
    cells = sum(sight.cell is Cell.FAILED for row in matrix.rows for sight in row.sights.values())
    caught = len(matrix.rows) - len(matrix.uncaught)
    summary = (
        f"{caught} of {count(len(matrix.rows), 'defect')} caught and named, "
        f"{count(len(matrix.tests), 'test')} ({sum(matrix.cases.values())} cases), {count(cells, 'failing pair')}"
    )
    lines = [summary]
    lines += [
        f"not well without any defect: {one_line(test)}: {one_line(why)}" for test, why in matrix.healthy
    ]
    lines += [f"not caught: {defect}" for defect in matrix.uncaught]
    lines += [
        f"not as declared: {test} says to catch {defect} by {measurement!r}"
        for defect, test, measurement in matrix.broken_promises
    ]
    lines += [f"unproven: {test} (no defect makes it fail)" for test in matrix.unproven]
    return lines


def as_text(matrix: Matrix) -> str:
    """Print a line a defect: failing tests by family, and the test that names it; then the summary."""
    families = sorted({family_of(test) for test in matrix.tests})
    width = max((len(row.defect.name) for row in matrix.rows), default=6)
    lines = [f"{'defect':{width}}  {' '.join(families)}  caught by"]
    for row in matrix.rows:
        cells = " ".join(f"{_failing_in(row, family) or '.':>{len(family)}}" for family in families)
        lines.append(f"{row.defect.name:{width}}  {cells}  {_witness(row)}")
    return "\n".join([*lines, "", *verdict_lines(matrix), ""])


def _failing_in(row: Row, family: str) -> int:
    return sum(sight.cell is Cell.FAILED and family_of(test) == family for test, sight in row.sights.items())


def _witness(row: Row) -> str:
    return "; ".join(f"{short(test)} ({measurement})" for test, measurement in row.witnesses) or "NOT CAUGHT"


INTRODUCTION = """# Defects, and the tests that notice them

Printed by `roce defects`; change the tests or the simulator, not this file.

A check is worth something when it fails for what it is there for. The simulated devices can misbehave as real ones do:
`pytest suites --defect NAME` runs suites on such devices, `roce defects` runs them against every defect.

* A defect is *caught* when a test names it (marker `catches`) and fails by the measurement that it names, so that the
  report says what is wrong and not only that something is.
* A test is *proven* when at least one defect makes at least one of its measurements FAIL. INVALID is no proof.
* Without any defect everything passes. Negative controls are left out: they are broken on purpose already.

The page `matrix.html` that the command leaves has every pair with its failing measurements; `matrix.json` (format 1)
has the same for tools: `defects[].cells` by test with `state` (`failed`, `invalid`, `broke`; what passed is left out),
`failed` of `cases`, and `measurements`.
"""


def as_markdown(matrix: Matrix) -> str:
    """Return docs/defects.md: defects with their witnesses, tests with the defects that fail them."""
    lines = [INTRODUCTION, *(f"{line}." for line in verdict_lines(matrix)), ""]
    lines += [
        "## Defects",
        "",
        "| defect | in | what it does | caught by | tests that fail |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{row.defect.name}` | {row.defect.part} | {row.defect.what} | {_witness_cells(row)} | {_total(row)} |"
        for row in matrix.rows
    ]
    lines += ["", "## Tests", "", "| test | cases | failed by |", "|---|---|---|"]
    lines += [f"| `{test}` | {matrix.cases[test]} | {_failed_by(matrix, test)} |" for test in matrix.tests]
    return "\n".join([*lines, ""])


def _witness_cells(row: Row) -> str:
    return (
        "<br>".join(f"`{short(test)}`: {measurement}" for test, measurement in row.witnesses) or "**nothing**"
    )


def _total(row: Row) -> int:
    return sum(sight.cell is Cell.FAILED for sight in row.sights.values())


def _failed_by(matrix: Matrix, test: str) -> str:
    names = [row.defect.name for row in matrix.rows if row.sights.get(test, ABSENT).cell is Cell.FAILED]
    return ", ".join(names) or "**no defect**"


def as_json(matrix: Matrix) -> str:
    """Return the whole matrix as one JSON document; cells that passed are left out."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "seed": matrix.seed,
        "partial": matrix.partial,
        "versions": dict(matrix.versions),
        "tests": [{"name": test, "cases": matrix.cases[test]} for test in matrix.tests],
        "defects": [_row_json(row) for row in matrix.rows],
        "healthy": [{"test": test, "why": why} for test, why in matrix.healthy],
        "uncaught": list(matrix.uncaught),
        "unproven": list(matrix.unproven),
        "broken_promises": [
            {"defect": defect, "test": test, "measurement": measurement}
            for defect, test, measurement in matrix.broken_promises
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.defect.name,
        "part": row.defect.part,
        "what": row.defect.what,
        "caught": row.caught,
        "caught_by": [{"test": test, "measurement": name} for test, name in row.witnesses],
        "cells": {
            test: {
                "state": sight.cell.name.lower(),
                "failed": sight.failed,
                "cases": sight.cases,
                "measurements": list(sight.measurements),
            }
            for test, sight in row.sights.items()
            if sight.cell is not Cell.PASSED
        },
    }


@dataclass(frozen=True, slots=True)
class CellView:
    """One field of the grid."""

    text: str
    style: str
    title: str


@dataclass(frozen=True, slots=True)
class TestView:
    """One row of the grid; `family` is "" where the row above has the same."""

    __test__ = False  # pytest collects classes called Test…

    family: str
    name: str
    cases: str
    proven: bool
    cells: tuple[CellView, ...]


@dataclass(frozen=True, slots=True)
class DefectView:
    """One defect of the list, and the head of its column."""

    name: str
    part: str
    what: str
    caught: bool
    witnesses: tuple[str, ...]
    total: str


@dataclass(frozen=True, slots=True)
class MatrixView:
    """The page."""

    good: bool
    conclusion: str
    complaints: tuple[str, ...]
    defects: tuple[DefectView, ...]
    tests: tuple[TestView, ...]


def matrix_view(matrix: Matrix) -> MatrixView:
    """Format a matrix for its page."""
    conclusion, *complaints = verdict_lines(matrix)
    defects = tuple(
        DefectView(
            row.defect.name,
            row.defect.part,
            one_line(row.defect.what),
            row.caught,
            tuple(f"{short(test)}: {measurement}" for test, measurement in row.witnesses),
            str(_total(row)),
        )
        for row in matrix.rows
    )
    return MatrixView(not complaints, conclusion, tuple(complaints), defects, tuple(_test_views(matrix)))


def _test_views(matrix: Matrix) -> Iterator[TestView]:
    above, unproven = "", set(matrix.unproven)
    for test in matrix.tests:
        family = family_of(test)
        cells = tuple(_cell_view(row.sights.get(test, ABSENT), row.defect.name) for row in matrix.rows)
        shown = "" if family == above else family
        yield TestView(shown, short(test), str(matrix.cases[test]), test not in unproven, cells)
        above = family


def _cell_view(sight: Sight, defect: str) -> CellView:
    words = [f"{defect}: {sight.failed} of {count(sight.cases, 'case')} failed", *sight.measurements]
    title = "; ".join(one_line(word) for word in words) if sight.cell is Cell.FAILED else ""
    return CellView(sight.cell.value.strip(), STYLES[sight.cell], title)


def as_html(matrix: Matrix) -> str:
    """Return one self-contained page: no script, no external request; everything of a record is escaped."""
    environment = Environment(loader=PackageLoader("reports"), autoescape=True, undefined=StrictUndefined)
    css = "".join(
        files("reports").joinpath(f"static/{name}.css").read_text("utf-8") for name in ("page", "defects")
    )
    template = environment.get_template("defects.html.j2")
    return template.render(page=matrix_view(matrix), css=Markup(css))  # noqa: S704 - files of this package
