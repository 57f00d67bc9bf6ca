from __future__ import annotations

import json

import pytest

from harness.core.defects import Defect
from harness.core.evidence import Missing
from harness.core.measure import equals, measure
from harness.core.record import Outcome, RunRecord, TestRecord
from reports.defect_matrix import Cell, Matrix, matrix_of
from reports.defect_pages import as_html, as_json, as_markdown, as_text, verdict_lines

OFF = Defect("marking_off", "switch", "never marks")
DROP = Defect("silent_drop", "switch", "loses <b>packets</b>")
MARKS = "suites/ecn/test_marks.py::test_marks"
FILLS = "suites/pfc/test_fills.py::test_fills"


def case(
    test: str, outcome: Outcome, catches=(), *, parameter: str = "", control: bool = False, **values
) -> TestRecord:
    """One case of a test whose measurements, by name, must all be 0."""
    measured = tuple(measure(name.replace("_", " "), value, equals(0)) for name, value in values.items())
    nodeid = test + (f"[{parameter}]" if parameter else "")
    return TestRecord(
        nodeid, outcome, measurements=measured, catches=tuple(catches), negative_control=control
    )


def session(*tests: TestRecord, **changes) -> RunRecord:
    return RunRecord(
        run_id="r", started="", finished="", fabric="sim", simulated=True, tests=tests, **changes
    )


CATCHES = [("marking_off", "marks missing")]
HEALTHY = session(
    case(MARKS, Outcome.PASS, CATCHES, parameter="2", marks_missing=0),
    case(MARKS, Outcome.PASS, CATCHES, parameter="4", marks_missing=0),
    case(FILLS, Outcome.PASS, drops=0),
    case("suites/pfc/test_fills.py::test_control", Outcome.PASS, control=True, drops=5),
    case("suites/verbs/test_atomics.py::test_atomics", Outcome.SKIPPED),
)
MARKING_OFF = session(
    case(MARKS, Outcome.PASS, CATCHES, parameter="2", marks_missing=0),
    case(MARKS, Outcome.FAIL, CATCHES, parameter="4", marks_missing=7, drops=0),
    case(FILLS, Outcome.PASS, drops=0),
)


def whole() -> Matrix:
    lost = session(
        case(MARKS, Outcome.INVALID, CATCHES, parameter="2", marks_missing=Missing("gone")),
        case(MARKS, Outcome.PASS, CATCHES, parameter="4", marks_missing=0),
        case(FILLS, Outcome.FAIL, [("silent_drop", "drops")], drops=3),
    )
    return matrix_of(HEALTHY, [(OFF, MARKING_OFF), (DROP, lost)])


def test_a_whole_matrix_has_nothing_to_complain_about() -> None:
    matrix = whole()
    assert (matrix.uncaught, matrix.unproven, matrix.healthy, matrix.broken_promises) == ((), (), (), ())
    assert verdict_lines(matrix) == ["2 of 2 defects caught and named, 2 tests (3 cases), 2 failing pairs"]


def test_claims_are_counted_without_controls_and_skipped_tests() -> None:
    assert dict(whole().cases) == {MARKS: 2, FILLS: 1}


def test_a_cell_tells_fail_from_invalid_and_from_a_fault() -> None:
    rows = whole().rows
    assert rows[0].sights[MARKS].cell is Cell.FAILED
    assert (rows[0].sights[MARKS].failed, rows[0].sights[MARKS].cases) == (1, 2)
    assert rows[1].sights[MARKS].cell is Cell.INVALID
    assert rows[0].sights[FILLS].cell is Cell.PASSED
    broke = matrix_of(None, [(OFF, session(case(FILLS, Outcome.LAB_FAULT)))])
    assert broke.rows[0].sights[FILLS].cell is Cell.BROKE


def test_a_measurement_that_fails_counts_though_the_run_is_no_evidence() -> None:
    doubted = session(case(FILLS, Outcome.INVALID, [("silent_drop", "drops")], drops=3))
    matrix = matrix_of(None, [(DROP, doubted)])
    assert matrix.rows[0].caught
    assert matrix.rows[0].sights[FILLS].cell is Cell.FAILED


def test_a_defect_that_fails_another_measurement_is_not_caught() -> None:
    other = session(
        case(MARKS, Outcome.FAIL, CATCHES, marks_missing=0, drops=1), case(FILLS, Outcome.PASS, drops=0)
    )
    matrix = matrix_of(HEALTHY, [(OFF, other)])
    assert matrix.uncaught == ("marking_off",)
    assert matrix.broken_promises == (("marking_off", MARKS, "marks missing"),)
    assert f"not as declared: {MARKS} says to catch marking_off by 'marks missing'" in verdict_lines(matrix)


def test_one_case_may_promise_what_the_others_do_not() -> None:
    cases = session(
        case(MARKS, Outcome.PASS, parameter="2", marks_missing=0),
        case(MARKS, Outcome.FAIL, CATCHES, parameter="4", marks_missing=7),
    )
    assert matrix_of(None, [(OFF, cases)]).rows[0].witnesses == ((MARKS, "marks missing"),)


def test_a_test_that_no_defect_fails_is_unproven() -> None:
    matrix = matrix_of(HEALTHY, [(OFF, MARKING_OFF)])
    assert matrix.unproven == (FILLS,)
    assert f"unproven: {FILLS} (no defect makes it fail)" in verdict_lines(matrix)


def test_invalid_is_no_proof() -> None:
    blind = session(case(FILLS, Outcome.INVALID, drops=Missing("gone")))
    assert matrix_of(session(case(FILLS, Outcome.PASS, drops=0)), [(DROP, blind)]).unproven == (FILLS,)


def test_a_partial_matrix_knows_nothing_of_unproven_tests() -> None:
    assert matrix_of(None, [(OFF, MARKING_OFF)], partial=True).unproven == ()


def test_what_is_wrong_without_defects_is_told() -> None:
    sick = session(case(FILLS, Outcome.FAIL, drops=1), problems=("a worker died",))
    lines = verdict_lines(matrix_of(sick, []))
    assert any(line.startswith(f"not well without any defect: {FILLS}: FAIL") for line in lines)
    assert "not well without any defect: the session: a worker died" in lines


def test_text_names_the_witness_of_each_defect() -> None:
    text = as_text(whole())
    assert "marking_off    1   .  test_marks.py::test_marks (marks missing)" in text
    assert "NOT CAUGHT" in as_text(matrix_of(HEALTHY, [(DROP, HEALTHY)]))


def test_markdown_lists_defects_and_tests() -> None:
    page = as_markdown(whole())
    assert "| `marking_off` | switch | never marks | `test_marks.py::test_marks`: marks missing | 1 |" in page
    assert f"| `{FILLS}` | 1 | silent_drop |" in page


def test_json_holds_every_cell_that_is_not_a_pass() -> None:
    document = json.loads(as_json(whole()))
    assert document["format"] == 1
    assert [row["caught"] for row in document["defects"]] == [True, True]
    assert document["defects"][0]["cells"] == {
        MARKS: {"state": "failed", "failed": 1, "cases": 2, "measurements": ["marks missing"]}
    }


def test_the_page_escapes_and_says_simulated() -> None:
    page = as_html(whole())
    assert "SIMULATED" in page
    assert "&lt;b&gt;packets&lt;/b&gt;" in page
    assert "<script" not in page


@pytest.mark.parametrize("render", [as_text, as_markdown, as_json, as_html])
def test_an_empty_matrix_can_be_shown(render) -> None:
    assert render(matrix_of(None, []))
