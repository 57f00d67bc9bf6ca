from __future__ import annotations

import csv
import functools
import http.server
import io
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.record import Outcome, RunRecord
from harness.tests.reports import hostile, sample
from reports import reporter
from reports.allure_text import CATEGORIES, properties, safe_cell, series_csv
from reports.joined import join

ROOT = Path(__file__).resolve().parents[3]


def folder(record: RunRecord, place: Path) -> Path:
    return reporter.write_report(reporter.load("allure"), record, place / "results")


def results(place: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in place.glob("*-result.json")]
    return {result["name"]: result for result in found}


def test_outcomes_have_statuses_and_messages_that_begin_with_the_verdict(tmp_path: Path) -> None:
    found = results(folder(sample.record(), tmp_path))
    told = {
        name: (each["status"], each["statusDetails"]["message"].split(":")[0]) for name, each in found.items()
    }
    assert told == {
        "incast stays full [8]": ("failed", "FAIL (SIMULATED)"),
        "good": ("passed", "PASS (SIMULATED)"),
        "near": ("passed", "MARGINAL (SIMULATED)"),
        "gone": ("failed", "INVALID (SIMULATED)"),
        "control": ("passed", "PASS (SIMULATED)"),
        "fault": ("broken", "LAB FAULT (SIMULATED)"),
        "error": ("broken", "ERROR (SIMULATED)"),
        "skip": ("skipped", "SKIPPED"),
    }


def test_a_result_has_criterion_labels_parameters_steps_and_attachments(tmp_path: Path) -> None:
    place = folder(sample.record(), tmp_path)
    result = results(place)["incast stays full [8]"]
    assert result["description"] == "Overload one receiver; the link stays full.\n\nNo frame is dropped."
    labels = {(label["name"], label["value"]) for label in result["labels"]}
    assert {
        ("parentSuite", "suites.pfc"), ("suite", "test_incast"), ("epic", "PFC"), ("feature", "PFC-07"),
        ("feature", "INC-01"), ("plan", "INC-01"), ("tag", "SIMULATED"), ("verdict", "FAIL"),
    } <= labels  # fmt: skip
    assert result["parameters"] == [{"name": "senders", "value": "8"}]
    set_up, run, bad, good = result["steps"]
    assert set_up["stop"] - set_up["start"] == 100
    assert run["stop"] - run["start"] == 400
    assert {"name": "goodput", "value": "88.12 Gb/s"} in run["parameters"]
    assert [each["name"] for each in run["attachments"]] == [
        "scenario", "goodput_bps (SIMULATED)", "queue_bytes (SIMULATED)", "pause_fraction (SIMULATED)",
    ]  # fmt: skip
    assert (bad["status"], good["status"]) == ("failed", "passed")
    assert bad["name"] == "FAIL: goodput 88.12 Gb/s (≥ 95 Gb/s, -7.2 %)"
    for attachment in (*run["attachments"], *result["attachments"]):
        assert (place / attachment["source"]).stat().st_size > 0


def test_tables_are_csv(tmp_path: Path) -> None:
    place = folder(sample.record(), tmp_path)
    (table,) = results(place)["near"]["attachments"]
    head, worst, best = csv.reader(io.StringIO((place / table["source"]).read_text(encoding="utf-8")))
    assert head[:5] == ["verdict", "measurement", "value", "limit", "margin"]
    assert worst[:5] == ["MARGINAL", "goodput", "96 Gb/s", "≥ 95 Gb/s", "+1.1 %"]
    assert best[0] == "PASS"
    lines = series_csv(sample.table("q", "bytes", ["a", "b"], [0, 5e6], [[1, 2], [3, 4.5]])).splitlines()
    assert lines == ["time (us),a (bytes),b (bytes)", "0,1,3", "5,2,4.5"]


def test_a_negative_control_is_green_and_says_what_it_is(tmp_path: Path) -> None:
    control = results(folder(sample.record(), tmp_path))["control"]
    assert (
        control["description"]
        == "**Negative control:** PFC switched off; at least one measurement must fail."
    )
    assert [step["name"] for step in control["steps"] if "intended" in step["name"]] == [
        "FAIL, intended: frames dropped 171 (= 0, -171)"
    ]
    assert {"name": "tag", "value": "negative control"} in control["labels"]


def test_histories_are_of_tests_and_not_of_runs(tmp_path: Path) -> None:
    first = results(folder(sample.record(), tmp_path / "1"))["good"]
    later = results(folder(sample.record(run_id="later", seed=5), tmp_path / "2"))["good"]
    assert first["historyId"] == later["historyId"]
    assert first["uuid"] != later["uuid"]


def test_a_test_begins_when_it_did_or_with_its_session(tmp_path: Path) -> None:
    good = sample.record().tests[1]
    later = replace(good, nodeid="a.py::test_later", started="2026-01-02T03:05:00+00:00")
    found = results(folder(sample.record(tests=(good, later)), tmp_path))
    assert found["later"]["start"] - found["good"]["start"] == 55_000
    assert found["later"]["steps"][0]["start"] == found["later"]["start"]
    assert found["later"]["stop"] - found["later"]["start"] == 1300


def test_two_sessions_are_parameters_and_no_retries(tmp_path: Path) -> None:
    found = results(folder(join([("old", sample.record()), ("new", sample.record())]), tmp_path))
    old, new = found["good · old"], found["good · new"]
    assert old["parameters"] == [{"name": "run", "value": "old"}]
    assert old["historyId"] != new["historyId"]


def test_a_session_that_was_cut_short_is_not_green(tmp_path: Path) -> None:
    good = sample.record().tests[1]
    place = folder(sample.record(tests=(good,), finished=None), tmp_path)
    missing = results(place)["the session is complete"]
    assert missing["status"] == "broken"
    assert missing["statusDetails"]["message"].startswith(
        "INCOMPLETE: session 2026-01-02T03-04-05 was cut short"
    )
    assert "finished=cut short" in (place / "environment.properties").read_text()


@pytest.mark.parametrize(
    ("status", "message", "category"),
    [
        ("failed", "FAIL (SIMULATED): outside the limit: INVALID 3", "Limit exceeded"),
        ("failed", "INVALID: without evidence: FAIL", "Invalid evidence"),
        ("broken", "LAB FAULT: cable", "Lab fault"),
        ("broken", "ERROR: TypeError: x", "Error of a test"),
        ("broken", "INCOMPLETE: the last line is cut", "Incomplete session"),
        ("skipped", "SKIPPED: expected to fail: known deviation: late", "Known deviation"),
        ("skipped", "SKIPPED: fabric 'sim' does not offer REAL_VERBS", "Not offered by this fabric"),
        ("passed", "MARGINAL (SIMULATED): near\nthe limit", "Near the limit"),
        ("passed", "PASS", None),
        ("skipped", "SKIPPED: not today", None),
    ],
)
def test_each_message_has_at_most_one_category(status: str, message: str, category: str | None) -> None:
    found = [
        rule["name"]
        for rule in CATEGORIES
        if status in rule["matchedStatuses"] and re.fullmatch(rule["messageRegex"], message)
    ]
    assert found == ([category] if category else [])


def test_properties_hold_any_text_in_ascii() -> None:
    assert properties({"a b": "c:\\d", "x=y": "über\n\U0001f600", "none": ""}) == (
        "a\\ b=c:\\\\d\nx\\=y=\\u00fcber \\ud83d\\ude00\n"
    )


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("-2+cmd|' /C calc'!A0", "'-2+cmd|' /C calc'!A0"),
        ("= 0", "= 0"), ("+4.9 %", "+4.9 %"), ("-171", "-171"), ("goodput", "goodput"), ("≥ 95 Gb/s", "≥ 95 Gb/s"),
    ],
)  # fmt: skip
def test_no_cell_is_a_formula(cell: str, safe: str) -> None:
    assert safe_cell(cell) == safe


@pytest.mark.parametrize("text", [hostile.HARM, hostile.MEGABYTE], ids=["harm", "megabyte"])
def test_hostile_text_is_data(text: str, tmp_path: Path) -> None:
    outcomes = tuple(Outcome) if text is hostile.HARM else (Outcome.FAIL,)
    place = folder(hostile.record(text, outcomes), tmp_path)
    files = list(place.iterdir())
    assert len(list(place.glob("*-result.json"))) >= len(outcomes)
    for file in files:
        assert file.parent == place
        whole = file.read_text(encoding="utf-8")
        for forbidden in ("\x1b", "\x00", "\u202e", "\ufeff"):
            assert forbidden not in whole, file.name
        if file.name.endswith("-result.json"):
            result = json.loads(whole)
            assert len(whole) < 1_000_000
            assert not any(link["url"].startswith("javascript") for link in result.get("links", ()))
            assert "<" not in result.get("description", "").replace("\\<", "")


# --- with the program itself --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def allure() -> str:
    """Allure 3; `npm install --prefix build/allure allure@3` brings it."""
    local = ROOT / "build/allure/node_modules/.bin/allure"
    program = str(local) if local.exists() else shutil.which("allure")
    if program is None or shutil.which("node") is None:
        pytest.skip("Allure is not installed: npm install --prefix build/allure allure@3")
    return program


@pytest.fixture(scope="module")
def chromium() -> str:
    pytest.importorskip("playwright")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    return program


@pytest.fixture(scope="module")
def site(allure: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that Allure made of the sample, a session cut short, and hostile text."""
    place = tmp_path_factory.mktemp("allure")
    tests = (*sample.record().tests, hostile.one_test(hostile.HARM, Outcome.FAIL, 1))
    folder(sample.record(tests=tests, finished=None), place)
    command = [allure, "generate", "--config", "results/allurerc.json", "--output", "site", "results"]
    finished = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return place / "site"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def browser(site: Path, chromium: str) -> Iterator[tuple[Any, str]]:
    """Headless Chromium, and the address of the site."""
    from playwright.sync_api import sync_playwright

    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as play:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser, address
        browser.close()
        server.shutdown()


@pytest.fixture
def page(browser: tuple[Any, str]) -> Iterator[Any]:
    """The start of the site; requests to anywhere else are cut off, dialogs are noted and fail the test."""
    program, address = browser
    page = program.new_page(viewport={"width": 1280, "height": 1000})
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.route(lambda url: not url.startswith(address), lambda route: route.abort())
    page.set_default_timeout(20_000)
    page.goto(address)
    yield page
    page.close()
    assert dialogs == []


@pytest.mark.browser
def test_the_real_allure_shows_tests_and_categories(page: Any) -> None:
    page.get_by_text("incast stays full [8]").first.wait_for()
    start = page.inner_text("body")
    assert "RoCE fabric validation" in start
    assert "no frame of this run crossed real hardware" in start
    page.get_by_text("Categories", exact=True).first.click()
    shown = {rule["name"] for rule in CATEGORIES}
    for name in ("Limit exceeded", "Invalid evidence", "Lab fault", "Error of a test", "Incomplete session"):
        assert name in shown
        page.get_by_text(name, exact=True).first.wait_for()


@pytest.mark.browser
def test_the_real_allure_shows_a_test_with_steps_and_a_table(page: Any) -> None:
    page.get_by_text("incast stays full [8]").first.click()
    page.get_by_text("FAIL: goodput 88.12 Gb/s (≥ 95 Gb/s, -7.2 %)").first.wait_for()
    page.frame_locator("iframe").get_by_text("Overload one receiver; the link stays full.").wait_for()
    assert "Category: Limit exceeded" in page.inner_text("body")
    page.get_by_text("run 1: incast (SIMULATED)").first.click()
    page.get_by_text("goodput_bps (SIMULATED)").first.wait_for()
    page.get_by_text("measurements (SIMULATED)").last.click()
    page.get_by_text("max-min share at line rate").last.wait_for()


@pytest.mark.browser
def test_hostile_text_runs_nothing_in_the_real_allure(page: Any) -> None:
    page.get_by_text("set-output a =1+1]", exact=True).first.click()
    page.get_by_text("Parameters").first.wait_for()
    page.wait_for_timeout(500)
    assert hostile.MARKER in page.inner_text("body")
    assert page.locator("img[src='x']").count() == 0
