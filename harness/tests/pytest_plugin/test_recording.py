from __future__ import annotations

import base64
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from harness.core import record_files
from harness.tests.pytest_plugin.conftest import PRELUDE
from harness.tests.pytest_plugin.one_of_each import EXPECTED, ONE_OF_EACH
from reports.digest import what_is_missing
from reports.terminal import TerminalReporter

if TYPE_CHECKING:
    from harness.tests.pytest_plugin.conftest import Lab

pytest_plugins = ("pytester",)


ONE_GOOD = """
from harness import equals

def test_it(fabric, expect):
    expect("x", 1, equals(1))
"""


def test_the_record_says_what_was_tested_with_what(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH, "--seed", "42", "-k", "good or lab")
    record = session.record
    assert (record.fabric, record.topology, record.seed, record.simulated) == (
        "fake",
        "leaf-spine-16",
        42,
        True,
    )
    assert record.complete
    assert {"harness", "python", "pytest"} <= set(record.versions)
    good = session.test("test_good")
    assert good.docstring == "All is well."
    assert good.simulated
    assert set(good.durations_s) == {"setup", "call", "teardown"}
    assert record.started <= good.started <= record.finished
    assert record_files.load(session.folder / "record.json") == record


def test_a_run_is_kept_with_scenario_seed_and_figures(lab: Lab) -> None:
    session = lab.run("""
@pytest.mark.parametrize("drops", [5])
def test_it(fabric, expect, drops):
    fabric.run(scenario('{"drops": 1}'))
    result = fabric.run(scenario('{"drops": %d}' % drops))
    expect("frames dropped", result.counters[Counter.DROPS], equals(5))
""")
    test = session.test("test_it[5]")
    assert test.parameters == {"drops": "5"}
    assert [run.number for run in test.runs] == [1, 2]
    assert test.measurements[0].evidence == "run 2"
    figures = {figure.name: figure.value for figure in test.runs[1].figures}
    assert figures["frames dropped"] == 5
    assert "pair" in test.runs[1].scenario
    assert session.record.versions["fake-sim"] == "9.9"
    assert (
        "pytest 'test_suite.py::test_it[5]' --fabric fake --topology leaf-spine-16 --seed 1"
        in session.page.replace("&#39;", "'")
    )


def test_tools_that_show_up_late_are_in_the_record(lab: Lab) -> None:
    session = lab.run("""
def test_first(fabric, expect):
    pytest.skip("nothing of the fabric was seen yet")

def test_later(fabric, expect):
    fabric.run(scenario())
    expect("x", 1, equals(1))
""")
    document = record_files.load(session.folder / "record.json")
    assert document.versions["fake-sim"] == "9.9"


def test_the_header_names_fabric_topology_seed_and_versions(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH, "--seed", "7", "--topology", "dumbbell", "-k", "good")
    assert "fabric: fake, topology dumbbell, seed 7" in session.stdout
    assert f"pytest {pytest.__version__}" in session.stdout


def test_simulated_stands_in_every_place(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH, "-k", "bad")
    assert "FAIL (SIMULATED)" in session.stdout
    assert "SIMULATED: no frame of this run crossed real hardware" in session.stdout
    assert '<strong class="stamp">SIMULATED</strong>' in session.page
    assert "Measurements (SIMULATED)" in session.page
    assert json.loads((session.folder / "record.json").read_text())["simulated"] is True


def test_a_topology_that_is_not_there_stops_the_session_even_when_tests_name_their_own(lab: Lab) -> None:
    session = lab.run(
        """
@pytest.mark.topology("dumbbell")
def test_own(fabric, expect):
    expect("hosts", len(fabric.topology.hosts), equals(2))
""",
        "--topology",
        "dumbel",
    )
    assert session.code == pytest.ExitCode.USAGE_ERROR
    assert "there is no topology named 'dumbel'; did you mean 'dumbbell'?" in session.stdout


def test_a_fabric_is_reserved_once_a_topology_and_closed(lab: Lab) -> None:
    lab.run(
        """
@pytest.mark.parametrize("n", range(3))
def test_default(fabric, expect, n):
    expect("hosts", len(fabric.topology.hosts), at_least(1))

@pytest.mark.topology("dumbbell")
def test_other(fabric, expect):
    expect("hosts", len(fabric.topology.hosts), equals(2))

def test_default_again(fabric, expect):
    expect("hosts", len(fabric.topology.hosts), at_least(1))
""",
        "--seed",
        "3",
    )
    assert (lab.pytester.path / "reservations.txt").read_text() == "leaf-spine-16 3\ndumbbell 3\n"
    assert (lab.pytester.path / "closed.txt").read_text() == "closed\nclosed\n"


def test_a_failing_reservation_is_tried_and_told_once(lab: Lab) -> None:
    session = lab.run("""
pytestmark = pytest.mark.topology("ring-4")

@pytest.mark.parametrize("n", range(3))
def test_it(fabric, expect, n):
    expect("n", n, at_least(0))

@pytest.mark.needs(Capability.PFC)
def test_needy(fabric, expect):
    expect("n", 1, at_least(0))
""")
    assert (lab.pytester.path / "reservations.txt").read_text() == "ring-4 1\n"
    assert set(session.outcomes().values()) == {"LAB FAULT"}
    assert session.code == 11
    reasons = [test.lab_fault or "" for test in session.record.tests]
    assert "the lab is closed" in reasons[0]
    assert all("could not be reserved, see test_suite.py::test_it[0]" in reason for reason in reasons[1:])
    assert "4 errors" in session.stdout


def test_an_unknown_fabric_is_a_usage_error_that_names_those_there_are(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH, "--fabric", "fke")
    assert session.code == 4
    assert "unknown fabric (value 'fke')" in session.stdout
    assert "fake" in session.stdout


@pytest.mark.parametrize("seed", ["-1", "x", "1.5", "9223372036854775808"])
def test_a_wrong_seed_is_a_usage_error(lab: Lab, seed: str) -> None:
    session = lab.run(ONE_OF_EACH, f"--seed={seed}")
    assert session.code == 4
    assert "is not a seed" in session.stdout


def test_verdicts_are_the_same_with_and_without_xdist(lab: Lab) -> None:
    alone = lab.run(ONE_OF_EACH, own_process=True)
    spread = lab.again("-n", "2", own_process=True)
    assert alone.outcomes() == spread.outcomes() == EXPECTED
    assert alone.code == spread.code == 1
    assert spread.stdout.count("fabric: fake, topology leaf-spine-16") == 1
    assert spread.record.complete
    measured = {test.nodeid: test.measurements for test in alone.record.tests}
    assert {test.nodeid: test.measurements for test in spread.record.tests}.keys() == measured.keys()
    for test in spread.record.tests:
        assert [m.verdict for m in test.measurements] == [m.verdict for m in measured[test.nodeid]]


def test_a_dying_worker_keeps_the_records_of_the_others(lab: Lab) -> None:
    session = lab.run(
        """
import os

@pytest.mark.parametrize("n", range(6))
def test_it(fabric, expect, n):
    if n == 2:
        os._exit(1)
    expect("n", n, at_least(0))
""",
        "-n",
        "2",
        own_process=True,
    )
    outcomes = session.outcomes()
    assert outcomes.pop("test_it[2]") == "LAB FAULT"
    assert outcomes == {f"test_it[{n}]": "PASS" for n in (0, 1, 3, 4, 5)}
    assert "died" in (session.test("test_it[2]").lab_fault or "")


INTERRUPTED = """
def test_first(fabric, expect):
    expect("x", 1, equals(1))

def test_second(fabric, expect):
    expect("x", 2, equals(1))
    raise KeyboardInterrupt

def test_third(fabric, expect):
    expect("x", 1, equals(1))
"""


def test_ctrl_c_keeps_what_finished_and_still_writes_the_report(lab: Lab) -> None:
    session = lab.run(INTERRUPTED, own_process=True)
    assert session.code == 2
    assert session.outcomes() == {"test_first": "PASS", "test_second": "INVALID"}
    assert "interrupted before it came to a verdict" in session.test("test_second").message
    assert not session.record.complete
    assert "fabric validation" in session.stdout
    assert "The session was cut short" in session.page
    assert (lab.pytester.path / "closed.txt").exists()


def test_a_kill_leaves_a_readable_record(lab: Lab) -> None:
    lab.pytester.makepyfile(
        test_suite="""
import time
from harness import equals

def test_first(fabric, expect):
    expect("x", 1, equals(1))

def test_second(fabric, expect):
    time.sleep(60)
"""
    )
    command = [sys.executable, "-m", "pytest", "--fabric", "fake", "--record", "out"]
    child = subprocess.Popen(command, cwd=lab.pytester.path, stdout=subprocess.DEVNULL)
    journal = lab.pytester.path / "out" / "record.jsonl"
    deadline = time.monotonic() + 30
    while not (journal.exists() and journal.read_text().count("\n") >= 2) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    record = record_files.load(journal)
    assert [test.nodeid for test in record.tests] == ["test_suite.py::test_first"]
    assert not record.complete


def test_it_runs_from_any_folder(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.pytester.makepyfile(**{"suites/pfc/test_deep": ONE_GOOD})
    monkeypatch.chdir(lab.pytester.path / "suites")
    session = lab.again("pfc/test_deep.py")
    assert session.code == 0
    record = record_files.load(lab.pytester.path / "suites/out/record.json")
    assert [test.nodeid for test in record.tests] == ["suites/pfc/test_deep.py::test_it"]


def test_the_default_folder_is_new_each_time_and_linked(lab: Lab) -> None:
    lab.pytester.makepyfile(test_suite=ONE_GOOD)
    for _ in range(2):
        lab.pytester.runpytest_inprocess("--fabric", "fake")
    runs = lab.pytester.path / "runs"
    folders = sorted(path for path in runs.iterdir() if not path.is_symlink())
    assert len(folders) == 2
    assert (runs / "latest").resolve() == folders[-1]


def test_the_page_goes_where_it_is_asked(lab: Lab) -> None:
    lab.run(ONE_OF_EACH, "--html", "deep/er/page.html", "-k", "good")
    assert (lab.pytester.path / "deep/er/page.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("option", ["--record", "--html"])
def test_a_place_that_cannot_be_written_is_told_before_anything_runs(lab: Lab, option: str) -> None:
    (lab.pytester.path / "file").write_text("in the way")
    session = lab.run(ONE_OF_EACH, option, "file/out", "-k", "good")
    assert session.code == 4
    assert f"{option}: cannot write there: " in session.stdout
    assert "test_good" not in session.stdout


def test_a_record_that_stops_being_writable_ends_the_session_as_a_lab_fault(lab: Lab) -> None:
    session = lab.run("""
def test_first(fabric, expect):
    with open("out", "w") as file:
        file.write("in the way")
    expect("x", 1, equals(1))

def test_second(fabric, expect):
    expect("x", 1, equals(1))
""")
    assert session.code == 11
    assert "LAB FAULT" in session.stdout
    assert "cannot write the record" in session.stdout
    assert "INTERNALERROR" not in session.stdout


class _Checker(HTMLParser):
    """Collects what a browser would load and what text it would show."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.scripts: list[str] = []  # those that run: text of another type is data
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script" and "type" not in dict(attrs)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


HOSTILE = '''
BAD = "<script>alert(1)</script>\\x1b[31m\\u202e\\ud800]]>&amp;{{ 7*7 }}"

@pytest.mark.parametrize("x", [1], ids=["<img src=x onerror=alert(1)>"])
def test_it(fabric, expect, x):
    """<script>alert("doc")</script>"""
    expect(BAD, 1, equals(2), BAD, evidence=BAD, source=BAD)

def test_error(fabric, expect):
    raise RuntimeError(BAD)

def test_fault(fabric, expect):
    from harness import HarnessError
    raise HarnessError(BAD)
'''


def test_hostile_text_is_harmless_everywhere(lab: Lab) -> None:
    session = lab.run(HOSTILE)
    assert sorted(session.outcomes().values()) == ["ERROR", "FAIL", "LAB FAULT"]
    checker = _Checker()
    checker.feed(session.page)
    own = files("reports").joinpath("static/page.js").read_text("utf-8")
    assert checker.scripts == [own]
    policy = next(value for name, value in checker.attributes if name == "content" and "script-src" in value)
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert not any(name.startswith("on") for name, _ in checker.attributes)
    assert "{{ 7*7 }}" in session.page
    assert "\x1b" not in session.page
    summary = session.stdout.partition("fabric validation")[2].partition("short test summary")[0]
    assert "\x1b[31m" not in summary
    assert "\u202e" not in summary


def test_the_page_asks_nothing_of_the_network(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH)
    checker = _Checker()
    checker.feed(session.page)
    links = [
        value for name, value in checker.attributes if name in ("src", "href", "srcset", "action", "data")
    ]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "http://" not in session.page
    assert "https://" not in session.page
    assert "url(" not in session.page
    assert "@import" not in session.page


def test_naming_the_plugin_twice_does_no_harm(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH, "-p", "harness.pytest_plugin", "-k", "good")
    assert session.code == 0
    assert session.outcomes() == {"test_good": "PASS"}


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_every_import_mode_works(lab: Lab, mode: str) -> None:
    session = lab.run(ONE_OF_EACH, f"--import-mode={mode}", "-k", "good or lab", own_process=True)
    assert session.outcomes() == {"test_good": "PASS", "test_lab": "LAB FAULT"}


def test_a_lab_fault_in_a_run_keeps_what_was_asked(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH, "-k", "test_lab")
    (run,) = session.test("test_lab").runs
    assert (run.ended, run.invalid_reasons) == ("error", ("cable is out",))
    assert session.test("test_lab").lab_fault == "HarnessError: cable is out"


def test_ctrl_c_while_the_report_is_written_ends_in_words(lab: Lab) -> None:
    conftest = lab.pytester.path / "conftest.py"
    conftest.write_text(
        conftest.read_text()
        + """
import reports.html

def interrupted(self, record, out):
    out.write("half")
    raise KeyboardInterrupt

reports.html.HtmlReporter.write = interrupted
"""
    )
    session = lab.run(ONE_OF_EACH, "-k", "good", own_process=True)
    assert session.code == 2
    assert "interrupted while the report was written" in session.stdout
    assert "Traceback" not in session.stdout
    assert sorted(path.name for path in session.folder.iterdir()) == ["record.json", "record.jsonl"]
    assert session.record.complete


MANY = """
@pytest.mark.parametrize("n", range(200))
def test_it(fabric, expect, n):
    expect("n", n, at_least(0), evidence="x" * 500)
"""


def test_a_full_disk_ends_the_session_and_leaves_what_was_written(lab: Lab) -> None:
    """A limit on the size of files stands for the disk: the system refuses the same call in the same way."""
    lab.pytester.makepyfile(test_suite=PRELUDE + MANY)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--fabric",
        "fake",
        "--record",
        "out",
        "-p",
        "no:cacheprovider",
    ]

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    child = subprocess.run(
        command, cwd=lab.pytester.path, capture_output=True, text=True, check=False, preexec_fn=small_disk
    )
    said = child.stdout + child.stderr
    assert child.returncode == 11
    assert "LAB FAULT: " in said
    assert "cannot write the record: File too large" in said
    assert "INTERNALERROR" not in said
    assert "Traceback" not in said
    record = record_files.load(lab.pytester.path / "out/record.jsonl")
    assert 5 < len(record.tests) < 200
    assert not record.complete
    assert "the session did not come to its end" in " ".join(what_is_missing(record))
    # the page would be larger than the disk: nothing half-written is left, and what there is can be made into one
    assert sorted(path.name for path in (lab.pytester.path / "out").iterdir()) == ["record.jsonl"]
    assert f"PASS {len(record.tests)}" in "\n".join(TerminalReporter().lines(record))


def test_a_disk_that_is_full_before_the_report_is_written_is_no_success(lab: Lab) -> None:
    lab.pytester.makepyfile(test_suite=PRELUDE + MANY.replace("200", "30"))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--fabric",
        "fake",
        "--record",
        "out",
        "-p",
        "no:cacheprovider",
    ]

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    child = subprocess.run(
        command, cwd=lab.pytester.path, capture_output=True, text=True, check=False, preexec_fn=small_disk
    )
    assert "30 passed" in child.stdout
    assert "problem: cannot write the HTML report: File too large" in child.stdout
    assert "record: " in child.stdout
    assert child.returncode == 11
    assert sorted(path.name for path in (lab.pytester.path / "out").iterdir()) == [
        "record.json",
        "record.jsonl",
    ]
    assert record_files.load(lab.pytester.path / "out/record.json").complete


def test_ctrl_c_with_workers_keeps_what_finished(lab: Lab) -> None:
    lab.pytester.makepyfile(
        test_suite=PRELUDE
        + """
import time

@pytest.mark.parametrize("n", range(40))
def test_it(fabric, expect, n):
    time.sleep(0.3)
    expect("n", n, at_least(0))
"""
    )
    command = [sys.executable, "-m", "pytest", "--fabric", "fake", "--record", "out", "-n", "2"]
    child = subprocess.Popen(
        command, cwd=lab.pytester.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    journal = lab.pytester.path / "out/record.jsonl"
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_text().count("\n") >= 4) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: controller and workers
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 2
    record = record_files.load(journal)
    assert 3 <= len(record.tests) < 40
    assert not record.complete
    assert "The session was cut short" in said
    assert "report: " in said
    assert "cut short" in (lab.pytester.path / "out/report.html").read_text()
