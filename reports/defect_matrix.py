"""Which test notices which defect: a matrix made of the records of sessions, one without defects and one for each.

A defect is *caught* when a test that declares it (marker `catches`) has the declared measurement at FAIL: then the
table says what is wrong, and not only that something is. A test is *proven* when at least one defect makes at least one
of its measurements FAIL. INVALID is no proof: what has no evidence shows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from harness.core.defects import Defect
from harness.core.measure import Measurement, Verdict
from harness.core.record import Outcome, RunRecord, TestRecord


class Cell(Enum):
    """What a test made of a defect, over all of its cases; the value is how it is printed."""

    FAILED = "F"
    """At least one measurement of at least one case is at FAIL."""
    INVALID = "i"
    """No measurement failed, and at least one case had no evidence."""
    BROKE = "!"
    """No measurement failed, and at least one case ended in a fault of lab or test."""
    PASSED = "."
    NOT_RUN = " "


@dataclass(frozen=True, slots=True)
class Sight:
    """How a test sees a defect: the state of the cell, how many cases failed of how many, and by what.

    `measurements` are the names of those at FAIL in any case, each once.
    """

    cell: Cell
    failed: int = 0
    cases: int = 0
    measurements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One defect: what tests made of it, by test.

    `witnesses` are pairs of a test and the measurement by which it says to catch the defect, those that did;
    `broken_promises` those that did not.
    """

    defect: Defect
    sights: Mapping[str, Sight]
    witnesses: tuple[tuple[str, str], ...]
    broken_promises: tuple[tuple[str, str], ...]

    @property
    def caught(self) -> bool:
        """Whether a test that names the defect fails for it, by the measurement that it names."""
        return bool(self.witnesses)


@dataclass(frozen=True, slots=True)
class Matrix:
    """Defects by tests.

    Attributes:
        tests: names of all claims that ran, in the order of files; a name has no parameters.
        cases: number of cases by test.
        healthy: what is wrong without any defect: test and outcome; empty when all is well.
        partial: only some tests or defects were chosen, so that nothing can be said of unproven ones.
    """

    tests: tuple[str, ...]
    cases: Mapping[str, int]
    rows: tuple[Row, ...]
    healthy: tuple[tuple[str, str], ...] = ()
    partial: bool = False
    seed: int = 1
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def uncaught(self) -> tuple[str, ...]:
        """Defects that no test names by a measurement."""
        return tuple(row.defect.name for row in self.rows if not row.caught)

    @property
    def unproven(self) -> tuple[str, ...]:
        """Tests that no defect of this matrix makes fail; empty for a partial one, which cannot know."""
        if self.partial:
            return ()
        seen = {test for row in self.rows for test, sight in row.sights.items() if sight.cell is Cell.FAILED}
        return tuple(test for test in self.tests if test not in seen)

    @property
    def broken_promises(self) -> tuple[tuple[str, str, str], ...]:
        """Defect, test and measurement of markers that say what is not so."""
        return tuple((row.defect.name, *promise) for row in self.rows for promise in row.broken_promises)


def matrix_of(
    healthy: RunRecord | None, sessions: Sequence[tuple[Defect, RunRecord]], *, partial: bool = False
) -> Matrix:
    """Join a session without defects (None: there was none) and one session for each defect."""
    records = [record for _, record in sessions]
    claims = _claims(
        healthy.tests if healthy is not None else (test for each in records for test in each.tests)
    )
    first = healthy if healthy is not None else next(iter(records), None)
    return Matrix(
        tests=tuple(claims),
        cases={name: len(cases) for name, cases in claims.items()},
        rows=tuple(_row(defect, record) for defect, record in sessions),
        healthy=_complaints(healthy),
        partial=partial,
        seed=1 if first is None else first.seed,
        versions={} if first is None else first.versions,
    )


def test_name(nodeid: str) -> str:
    """Return a test without the parameters of a case: `suites/pfc/test_x.py::test_y`."""
    return nodeid.partition("[")[0]


def _claims(tests: Iterable[TestRecord]) -> dict[str, set[str]]:
    """Cases by test, of all claims that ran; negative controls prove something else."""
    found: dict[str, set[str]] = {}
    for test in sorted(tests, key=lambda test: test.nodeid.partition("::")[0]):
        if not test.negative_control and test.outcome is not Outcome.SKIPPED:
            found.setdefault(test_name(test.nodeid), set()).add(test.nodeid)
    return found


def _complaints(healthy: RunRecord | None) -> tuple[tuple[str, str], ...]:
    if healthy is None:
        return ()
    bad = [
        (test.nodeid, f"{test.outcome.value}: {test.message}")
        for test in healthy.tests
        if not test.outcome.is_good
    ]
    return (*bad, *(("the session", problem) for problem in healthy.problems))


def _row(defect: Defect, record: RunRecord) -> Row:
    by_test: dict[str, list[TestRecord]] = {}
    for test in record.tests:
        if not test.negative_control and test.outcome is not Outcome.SKIPPED:
            by_test.setdefault(test_name(test.nodeid), []).append(test)
    sights = {name: _sight(cases) for name, cases in by_test.items()}
    promises = [
        (name, measurement)
        for name, cases in by_test.items()
        for promised, measurement in dict.fromkeys(promise for case in cases for promise in case.catches)
        if promised == defect.name
    ]
    kept = [promise for promise in promises if promise[1] in sights[promise[0]].measurements]
    return Row(
        defect,
        sights,
        witnesses=tuple(kept),
        broken_promises=tuple(promise for promise in promises if promise not in kept),
    )


def _sight(cases: Sequence[TestRecord]) -> Sight:
    failed = [failing for case in cases if (failing := _failing(case.measurements))]
    names = dict.fromkeys(name for failing in failed for name in failing)
    return Sight(_cell(cases, failed=bool(failed)), len(failed), len(cases), tuple(names))


def _failing(measurements: Iterable[Measurement]) -> list[str]:
    return [each.name for each in measurements if each.verdict is Verdict.FAIL]


def _cell(cases: Sequence[TestRecord], *, failed: bool) -> Cell:
    if failed or any(case.outcome is Outcome.FAIL for case in cases):
        return Cell.FAILED
    if any(case.outcome is Outcome.INVALID for case in cases):
        return Cell.INVALID
    return Cell.PASSED if all(case.outcome.is_good for case in cases) else Cell.BROKE
