"""Steps, sessions, defects and what is too long: parts of the page."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

from harness.core.record import Outcome, SeriesRecord
from harness.tests.reports import sample
from reports import html
from reports.joined import join
from reports.page import ROWS_AT_FIRST, page_view
from reports.trim import MAX_LINES, trimmed_run


def test_steps_add_up_to_the_time_of_the_test() -> None:
    test = sample.record().tests[0]
    view = next(view for view in page_view(sample.record()).tests if view.nodeid == test.nodeid)
    found = [(step.name, step.duration.replace("\N{NO-BREAK SPACE}", " ")) for step in view.steps]
    assert found == [("set-up", "0.1 s"), ("run 1: incast", "0.4 s"), ("judging", "0.8 s")]
    assert view.steps[-1].note == "2 measurements"


def test_all_measurements_stand_in_one_table_the_worst_first_and_intended_failures_last() -> None:
    rows = page_view(sample.record()).rows
    verdicts = [row.measurement.verdict for row in rows]
    assert verdicts[:3] == ["INVALID", "FAIL", "MARGINAL"]
    assert verdicts[-1] == "FAIL, intended"
    assert rows[-1].verdict == "PASS"  # a reader who filters by FAIL looks for failures of the product
    assert rows[-1].kind == "control"
    assert len({row.anchor for row in rows}) == len(rows)


def test_rows_beyond_the_first_are_folded_until_asked_for() -> None:
    record = sample.record(tests=sample.record().tests * 20)
    rows = page_view(record).rows
    assert [row.late for row in rows].index(True) == ROWS_AT_FIRST


def test_a_bar_is_right_of_its_middle_inside_and_left_of_it_outside() -> None:
    rows = {row.measurement.value: row.measurement for row in page_view(sample.record()).rows}
    inside, outside = rows["96\N{NO-BREAK SPACE}Gb/s"].bar, rows["88.12\N{NO-BREAK SPACE}Gb/s"].bar
    assert (inside.left, inside.width) == ("50.0", "5.1")  # 50 % of the track times the root of 1.05 %
    assert float(outside.left) + float(outside.width) == 50
    assert rows["no data"].bar is None


def test_a_failure_that_a_defect_was_to_cause_is_told_from_one_of_the_product() -> None:
    bad = replace(sample.record().tests[0], catches=(("marking_off", "goodput"),))
    plain = page_view(sample.record(tests=(bad,)))
    assert plain.tests[0].measurements[0].verdict == "FAIL"
    assert plain.defects == ""
    defective = page_view(sample.record(tests=(bad,), defects=("marking_off",)))
    assert defective.tests[0].measurements[0].verdict == "FAIL, the defect"
    assert defective.defects == "Defective on purpose: the devices of this fabric have marking_off."
    assert defective.tests[0].repeat.endswith("--defect marking_off")


def test_sessions_stand_side_by_side_with_what_differs() -> None:
    first = sample.record()
    good = first.tests[1]
    moved = replace(good.measurements[0], value=2408)
    second = sample.record(seed=2, tests=(replace(good, outcome=Outcome.FAIL, measurements=(moved,)),))
    page = page_view(join([("old", replace(first, tests=(good,))), ("new", second)]))
    assert page.sessions is not None
    assert page.sessions.names == ("old", "new")
    assert [each.text for each in page.sessions.differing[0].outcomes] == ["PASS", "FAIL"]
    (change,) = page.sessions.changes
    assert change.values == ("1,204\N{NO-BREAK SPACE}frames", "2,408\N{NO-BREAK SPACE}frames")
    assert change.part == "50.0\N{NO-BREAK SPACE}%"
    assert [test.session for test in page.tests] == ["old", "new"]
    assert [test.repeat.rpartition("--seed ")[2] for test in page.tests] == ["1", "2"]
    assert page_view(first).sessions is None


def test_of_many_failures_the_first_are_unfolded() -> None:
    tests = tuple(replace(sample.record().tests[0], nodeid=f"a.py::test_{i}") for i in range(40))
    page = page_view(sample.record(tests=tests))
    assert sum(test.unfold for test in page.tests) == 12
    assert len(page.attention) == 30
    assert page.more_attention == "and 10 more tests: filter the tables by verdict"


def test_a_page_of_one_command_word_or_none_has_a_command_to_repeat() -> None:
    for command in ((), ("pytest",), ("pytest", "--site")):
        assert "--seed 1" in page_view(sample.record(command=command)).tests[0].repeat


def test_very_many_events_are_cut_and_counted() -> None:
    run = replace(sample.run(), events=tuple(map(str, range(1000))))
    events = trimmed_run(run).events
    assert len(events) == MAX_LINES + 1
    assert events[-1] == "… and 800 more"


def test_queue_pairs_and_who_made_the_traffic_are_on_the_page() -> None:
    times = tuple(range(0, 50_000_000, 10_000_000))
    fast, slow = (5e9, 6e9, 7e9, 6e9, 5e9), (1e9, 2e9, 3e9, 2e9, 1e9)
    spread = SeriesRecord("qp_spread_bps", "bit/s", ("fastest QP", "slowest QP"), times, (fast, slow), 5)
    lines = SeriesRecord("qp_goodput_bps", "bit/s", ("f[0]", "f[1]"), times, (fast, slow), 5)
    test = sample.record().tests[0]
    notes = ("Traffic of h1: native, roce-load 0.1.0.", "The generator of h1 was the bottleneck: <busy>.")
    run = replace(test.runs[0], series=(lines, spread), notes=notes)
    record = sample.record(tests=(replace(test, runs=(run,)),))
    (view,) = page_view(record).tests[0].runs
    assert view.remarks == notes
    assert [chart.title for chart in view.charts] == [
        "Goodput of queue pairs: the fastest, the median, the slowest", "Goodput by queue pair",
    ]  # fmt: skip
    out = StringIO()
    html.reporter.write(record, out)
    assert "The generator of h1 was the bottleneck: &lt;busy&gt;." in out.getvalue()
