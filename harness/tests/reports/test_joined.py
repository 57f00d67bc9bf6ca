from __future__ import annotations

import math
from dataclasses import replace

from harness.core.evidence import Missing
from harness.core.record import Outcome, RunRecord
from harness.tests.reports import sample
from reports.joined import changes, differing, join, rows


def session(**changes: object) -> RunRecord:
    return sample.record(**changes)


def test_one_session_stays_as_it_is() -> None:
    assert join([("", session())]) == session()


def test_one_session_with_a_name_carries_it() -> None:
    record = join([("fw 1", session())])
    assert {test.run for test in record.tests} == {"fw 1"}


def test_the_same_test_stands_side_by_side_and_knows_its_session() -> None:
    record = join([("old", session()), ("new", session(seed=7))])
    assert [test.run for test in record.tests] == ["old", "new"] * len(session().tests)
    assert [test.nodeid for test in record.tests][:2] == [session().tests[0].nodeid] * 2
    assert [record.session_of(test).seed for test in record.tests[:2]] == [1, 7]
    assert [run.tests for run in record.joined] == [(), ()]


def test_it_is_a_record_like_any_other() -> None:
    record = join([("old", session()), ("new", session())])
    assert RunRecord.from_json(record.to_json()) == record
    again = join([("", record), ("third", session())])
    assert [run.run_id for run in again.joined] == ["old", "new", "third"]
    assert len(again.tests) == 3 * len(session().tests)


def test_sessions_without_a_name_go_by_their_own_and_never_share_one() -> None:
    record = join([("", session(run_id="x")), ("", session(run_id="x")), ("", session(run_id="y"))])
    assert [run.run_id for run in record.joined] == ["x", "x (2)", "y"]


def test_what_differs_between_the_sessions_is_kept_apart() -> None:
    old = session(versions={"harness": "1", "nic firmware": "28.39"})
    new = session(
        versions={"harness": "1", "nic firmware": "28.42"}, simulated=False, fabric="hardware",
        started="2026-01-01T00:00:00+00:00", finished="2026-01-01T00:01:00+00:00", problems=("cut",),
    )  # fmt: skip
    record = join([("old", old), ("new", new)])
    assert record.versions["harness"] == "1"
    assert record.versions["nic firmware (old)"] == "28.39"
    assert record.versions["nic firmware (new)"] == "28.42"
    assert "seed 1" in record.versions["run old"]
    assert (record.fabric, record.simulated) == ("sim, hardware", True)
    assert (record.started, record.finished) == (new.started, old.finished)
    assert record.problems == ("new: cut",)


def test_a_join_with_a_session_that_was_cut_short_has_no_end() -> None:
    assert join([("a", session()), ("b", session(finished=None))]).finished is None


def test_verdicts_that_differ_and_tests_that_only_one_ran() -> None:
    bad, good, *_ = session().tests
    record = join(
        [("a", session(tests=(bad, good))), ("b", session(tests=(replace(bad, outcome=Outcome.PASS),)))]
    )
    assert [row.nodeid for row in rows(record)] == [bad.nodeid, good.nodeid]
    assert [[test and test.outcome for test in row.tests] for row in differing(record)] == [
        [Outcome.FAIL, Outcome.PASS],
        [Outcome.PASS, None],
    ]


def test_values_that_differ_are_sorted_by_how_much() -> None:
    bad = session().tests[0]
    frames, goodput = bad.measurements
    other = replace(bad, measurements=(replace(frames, value=1200), replace(goodput, value=44.06)))
    record = join([("a", session(tests=(bad,))), ("b", session(tests=(other,)))])
    (change,) = changes(record)  # 1204 frames and 1200 are less than 1 % apart
    assert (change.name, change.values, change.part) == ("goodput", (88.12, 44.06), 0.5)


def test_values_that_are_none_have_no_difference() -> None:
    bad = session().tests[0]
    for value in (Missing("gone"), math.nan, None):
        other = replace(bad, measurements=(replace(bad.measurements[1], value=value),))
        assert changes(join([("a", session(tests=(bad,))), ("b", session(tests=(other,)))])) == []
