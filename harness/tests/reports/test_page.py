from __future__ import annotations

import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from harness.core.record import Outcome, TestRecord
from harness.tests.reports import sample
from reports import reporter
from reports.page import page_view

VOID = {"meta", "br", "path", "rect", "input"}


class Structure(HTMLParser):
    """Fails on a tag that is closed out of turn; collects ids, links and text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.data: dict[str, str] = {}

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.stack.append(tag)
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] in {"script", "style"}:
            self.data[self.ids[-1] if self.ids else ""] = data
        else:
            self.text += data


def html(record) -> str:
    out = io.StringIO()
    reporter.load("html").write(record, out)
    return out.getvalue()


def parsed(record) -> Structure:
    structure = Structure()
    structure.feed(html(record))
    assert structure.stack == []
    return structure


def test_the_page_is_well_formed_and_its_links_lead_somewhere() -> None:
    page = parsed(sample.record())
    assert len(page.ids) == len(set(page.ids))
    measured = sum(len(test.measurements) for test in sample.record().tests)
    assert sum(re.fullmatch(r"t\d+-m\d+", name) is not None for name in page.ids) == measured
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


def test_everything_that_was_measured_is_on_the_page() -> None:
    text = " ".join(parsed(sample.record()).text.split())
    for part in (
        "88.12 Gb/s", "≥ 95 Gb/s", "-7.2 %", "limit from max-min share at line rate", "value from run 1",
        "no data: no such counter here", "FAIL, intended",
        "PFC switched off: at least one measurement must fail; 1 of 1 did",
        "Kmin 0.4", "Kmax 1.6", "2ms: link down h2:p0", "deepest queue 2.913 MB", "CNPs no data", "lacks CAPTURE",
        "2026-01-02 03:04:05 UTC", "2 min 05 s", "roce-sim0.1.0", "No frame is dropped.",
    ):  # fmt: skip
        assert part in text, part


def test_charts_have_a_line_a_flow_and_marks_for_events() -> None:
    page = page_view(sample.record())
    rate, queue, pause = page.tests[0].runs[0].charts
    assert [len(chart.lines) for chart in (rate, queue, pause)] == [8, 1, 3]
    assert [len(chart.thresholds) for chart in (rate, queue, pause)] == [0, 2, 0]
    assert [[m.percent for m in chart.moments] for chart in (rate, queue, pause)] == [["40.04", "50.05"]] * 3
    assert queue.omitted == "Not drawn: 1 line at zero throughout."
    assert (rate.unit, queue.unit, pause.unit) == ("Gb/s", "MB", "%")


def test_what_needs_a_person_comes_first() -> None:
    page = page_view(sample.record())
    assert [link.verdict for link in page.attention] == ["FAIL", "INVALID", "ERROR", "LAB FAULT", "MARGINAL"]
    assert page.conclusion == "Not passed: 1 FAIL, 1 INVALID, 1 ERROR, 1 LAB FAULT of 7 tests."
    assert page.style == "fail"


def test_the_plan_shows_the_worst_of_each_case() -> None:
    rows = {row.plan_id: (row.verdict, len(row.tests)) for row in page_view(sample.record()).plan}
    assert rows == {
        "ECN-01": ("MARGINAL", 1),
        "ECN-02": ("INVALID", 1),
        "INC-01": ("FAIL", 1),
        "PFC-07": ("FAIL", 3),
    }


@pytest.mark.parametrize(
    ("outcomes", "finished", "conclusion"),
    [
        ([], "x", "Nothing was shown: no test ran."),
        (["SKIPPED"], "x", "Nothing was shown: no test ran."),
        (["PASS", "SKIPPED"], "x", "Passed: 1 test."),
        (["PASS", "MARGINAL"], "x", "Passed: 2 tests. 1 near a limit."),
        (["PASS"], None, "All finished tests passed: 1 test. The session was cut short."),
        (["LAB_FAULT", "PASS"], "x", "Not passed: 1 LAB FAULT of 2 tests."),
    ],
)
def test_the_conclusion_never_claims_more_than_was_shown(outcomes, finished, conclusion) -> None:
    test = sample.record().tests[1]
    tests = tuple(replace(test, outcome=Outcome[name]) for name in outcomes)
    assert page_view(sample.record(tests=tests, finished=finished)).conclusion == conclusion


def test_simulated_is_stamped_only_where_it_is_true() -> None:
    assert page_view(sample.record()).stamp == "SIMULATED"
    tests = tuple(replace(test, simulated=False, runs=()) for test in sample.record().tests)
    real = html(sample.record(simulated=False, tests=tests))
    assert "SIMULATED" not in real
    # one simulated test among real ones is enough
    mixed = sample.record(simulated=False, tests=(*tests, sample.record().tests[1]))
    assert page_view(mixed).stamp == "SIMULATED"


def test_software_nics_are_stamped() -> None:
    tests = tuple(replace(test, simulated=False, runs=()) for test in sample.record().tests)
    versions = {"RDMA drivers": "mlx5_core, rxe", "host h1": "rxe0 (rxe)"}
    record = sample.record(simulated=False, tests=tests, versions=versions, fabric="vmlab")
    assert page_view(record).stamp == "SOFTWARE RoCE"
    text = parsed(record).text
    assert "vmlab (software RoCE)" in text
    assert "rxe0 (rxe)" in text
    hardware = replace(record, versions={"RDMA drivers": "mlx5_core"})
    assert page_view(hardware).stamp == ""


def test_a_damaged_record_says_so() -> None:
    text = parsed(sample.record(problems=("the last line is cut",), finished=None)).text
    assert "the last line is cut" in text
    assert "cut short" in text


def test_the_command_repeats_site_and_seed_and_is_quoted() -> None:
    (*_, command) = [test.repeat for test in page_view(sample.record(seed=7)).tests]
    assert command == (
        "pytest 'suites/pfc/test_incast.py::test_incast_stays_full[8]' --fabric sim --topology star-9 "
        "--site 'lab b.yaml' --seed 7"
    )


@pytest.mark.parametrize(
    "scenario", ["", "a: [", "- x", "qos: 5\nevents: {a: 1}", "events: [{at: soon}]", "Own(x=1)"]
)
def test_a_scenario_text_of_any_kind_is_shown_or_left_out(scenario: str) -> None:
    test = sample.record().tests[0]
    run = replace(test.runs[0], scenario=scenario)
    page = page_view(sample.record(tests=(replace(test, runs=(run,)),)))
    assert all(chart.moments == () for chart in page.tests[0].runs[0].charts)


def test_the_page_of_a_long_series_stays_small() -> None:
    page = html(sample.record())
    package = page.partition('id="chart-package">')[2].partition("<")[0]
    assert len(page) - len(package) < 400_000
    assert len(package) < 2_500_000


def test_no_style_is_used_that_the_sheet_does_not_know() -> None:
    page = html(sample.record())
    sheet = page.partition("<style>")[2].partition("</style>")[0]
    for names in re.findall(r'class="([^"]*)"', page):
        for name in names.split():
            assert f".{name}" in sheet or name in {"panel", "measurements", "meta", "repeat", "drawn"}, name


def test_the_plan_names_a_parametrized_test_once_and_links_its_worst() -> None:
    bad, good, *_ = sample.record().tests
    cases = [
        replace(test, nodeid=f"a.py::test_it[{i}]", plan_ids=("X-1",))
        for i, test in enumerate((good, bad, good))
    ]
    ((link,),) = [row.tests for row in page_view(sample.record(tests=tuple(cases))).plan]
    assert (link.name, link.anchor, link.verdict) == ("it (3 cases)", "t2", "FAIL")


def test_tests_of_a_file_stand_together_whatever_order_workers_finished_in() -> None:
    good = sample.record().tests[1]
    names = ("b.py::test_1", "a.py::test_2", "b.py::test_3", "a.py::test_4")
    page = page_view(sample.record(tests=tuple(replace(good, nodeid=name) for name in names)))
    assert [test.name for test in page.tests] == ["2", "4", "1", "3"]


def test_skipped_tests_do_not_speak_for_those_that_passed() -> None:
    passed, skipped = TestRecord("a", Outcome.PASS), TestRecord("b", Outcome.SKIPPED, skipped="no such lab")

    assert page_view(sample.record(tests=(passed, skipped))).style == "pass"
    assert page_view(sample.record(tests=(skipped,))).style == "skipped"
