from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.tests.cli.conftest import Roce

CONFTEST = 'pytest_plugins = ("harness.pytest_plugin",)\n'
SUITE = '''
import pytest
from harness import KB, MB, Counter, Ecn, Pfc, Qos, Scenario, at_least, equals
from harness.patterns.incast import Incast

pytestmark = pytest.mark.topology("star-9")


@pytest.mark.plan("ECN-03")
@pytest.mark.catches("marking_off", "packets marked")
@pytest.mark.parametrize("senders", [2, 4])
def test_a_long_queue_is_marked(fabric, expect, senders):
    """A queue above Kmax is marked."""
    qos = Qos(pfc=Pfc({3}), ecn=Ecn(kmin=10 * KB, kmax=20 * KB))
    result = fabric.run(Scenario(Incast(senders, 100 * KB), qos=qos))
    expect("packets marked", result.counters[Counter.ECN_MARKED], at_least(1))


@pytest.mark.plan("ECN-03")
@pytest.mark.negative_control("no marking")
def test_a_control(fabric, expect):
    """Without marking nothing is marked."""
    result = fabric.run(Scenario(Incast(2, 100 * KB), qos=Qos(pfc=Pfc({3}))))
    expect("packets marked", result.counters[Counter.ECN_MARKED], at_least(1))
'''
BLIND = '''

@pytest.mark.plan("ECN-03")
@pytest.mark.catches("marking_off", "flows")
def test_blind(fabric, expect):
    """Two flows are two flows."""
    result = fabric.run(Scenario(Incast(2, 100 * KB)))
    expect("flows", len(result.flows), equals(2))
'''


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one family of suites, in which the command runs."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "suites" / "ecn").mkdir(parents=True)
    (tmp_path / "suites" / "ecn" / "test_marks.py").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_lists_what_can_be_wrong(roce: Roce) -> None:
    said = roce("defects", "--list")

    assert said.code == 0
    assert {"marking_off", "pfc_ignored", "counter_stuck"} <= set(said.out.split())


def test_a_defect_is_caught_by_the_test_that_names_it(roce: Roce, suites: Path) -> None:
    said = roce("defects", "--defect", "marking_off", "--jobs", "2", "--out", "found")

    assert said.code == 0
    assert "test_marks.py::test_a_long_queue_is_marked (packets marked)" in said.out
    assert "1 of 1 defect caught and named, 1 test (2 cases), 1 failing pair" in said.out
    assert "[2/2]" in said.err
    matrix = json.loads((suites / "found" / "matrix.json").read_text())
    assert (
        matrix["defects"][0]["cells"]["suites/ecn/test_marks.py::test_a_long_queue_is_marked"]["failed"] == 2
    )
    assert {file.suffix for file in (suites / "found").glob("matrix.*")} == {".json", ".html", ".txt", ".md"}
    assert roce("report", "found/marking_off", "-o", "one.html").code == 0
    assert (
        "Defective on purpose: the devices of this fabric have marking_off"
        in (suites / "one.html").read_text()
    )


def test_a_marker_that_says_what_is_not_so_fails_the_command(roce: Roce, suites: Path) -> None:
    (suites / "suites" / "ecn" / "test_marks.py").write_text(SUITE + BLIND)

    said = roce("defects", "--defect", "marking_off", "--quick")

    assert said.code == 1
    assert (
        "not as declared: suites/ecn/test_marks.py::test_blind says to catch marking_off by 'flows'"
        in said.out
    )


def test_what_is_whole_is_kept_when_asked(roce: Roce, suites: Path) -> None:
    arguments = ("defects", "--defect", "marking_off", "--out", "found")
    roce(*arguments)
    first = (suites / "found" / "marking_off" / "record.json").stat().st_mtime_ns

    assert roce(*arguments, "--continue").code == 0
    assert (suites / "found" / "marking_off" / "record.json").stat().st_mtime_ns == first
    assert roce(*arguments).code == 0
    assert (suites / "found" / "marking_off" / "record.json").stat().st_mtime_ns != first


def test_a_suite_that_cannot_be_read_is_an_error_with_its_last_words(roce: Roce, suites: Path) -> None:
    (suites / "suites" / "ecn" / "test_marks.py").write_text("import nothing_of_that_name\n")

    said = roce("defects", "--defect", "marking_off")

    assert said.code == 2
    assert "did not run its tests" in said.err
    assert "nothing_of_that_name" in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--defect", "marking_of"],
            "did you mean 'marking_off'",
        ),
        (["--suite", "ecm"], "no such family of suites"),
        (["--suites", "elsewhere"], "no such folder"),
    ],
)
def test_wrong_words_are_explained(roce: Roce, suites: Path, arguments: list[str], message: str) -> None:
    said = roce("defects", *arguments)

    assert said.code == 2
    assert message in said.err
