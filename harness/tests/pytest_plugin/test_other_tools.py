"""What Allure's plugin and pytest's own JUnit writer say of a session, while it runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from harness.tests.pytest_plugin.one_of_each import EXPECTED, ONE_OF_EACH

if TYPE_CHECKING:
    from harness.tests.pytest_plugin.conftest import Lab

pytest_plugins = ("pytester",)

ONE_FAIL = '''
@pytest.mark.plan("PFC-07")
def test_it(fabric, expect):
    """The criterion."""
    fabric.run(scenario('{"drops": 0}'))
    expect("goodput", 50.0, at_least(90), "Gb/s", source="https://example.org/rates, table 2")
'''


def results(lab: Lab) -> dict[str, dict[str, Any]]:
    """The results in Allure's folder by the name that people see."""
    pytest.importorskip("allure_pytest")
    found = [json.loads(path.read_text()) for path in (lab.pytester.path / "allure").glob("*-result.json")]
    by_name = {result["name"]: result for result in found}
    assert len(by_name) == len(found)
    return by_name


def told(result: dict[str, Any]) -> tuple[str, str]:
    return result["status"], result["statusDetails"]["message"]


def test_allure_gets_verdict_criterion_plan_steps_and_measurements(lab: Lab) -> None:
    lab.run(ONE_FAIL, "--alluredir", "allure", own_process=True)
    result = results(lab)["it"]
    assert told(result)[0] == "failed"
    assert told(result)[1].startswith("FAIL (SIMULATED): outside the limit: goodput 50 Gb/s")
    assert result["description"] == "The criterion."
    labels = {(label["name"], label["value"]) for label in result["labels"]}
    assert {("plan", "PFC-07"), ("tag", "PFC-07"), ("epic", "PFC"), ("tag", "SIMULATED")} <= labels
    assert {("suite", "test_suite"), ("verdict", "FAIL")} <= labels
    once = [label["name"] for label in result["labels"] if label["name"] != "tag"]
    assert len(once) == len(set(once))
    assert [link["url"] for link in result["links"]] == ["https://example.org/rates"]
    set_up, run, measurement, tear_down = result["steps"]
    assert set_up["name"].startswith("set up")
    assert tear_down["name"].startswith("tear down")
    assert run["name"] == 'run 1: {"drops": 0} (SIMULATED)'
    assert run["attachments"][0]["name"] == "scenario"
    assert (measurement["status"], measurement["name"]) == (
        "failed",
        "FAIL: goodput 50 Gb/s (≥ 90 Gb/s, -44.4 %)",
    )
    assert 0 <= run["start"] - set_up["start"] < 60_000
    (table,) = [each for each in result["attachments"] if each["name"] == "measurements (SIMULATED)"]
    text = (lab.pytester.path / "allure" / table["source"]).read_text()
    assert text.splitlines()[1].startswith("FAIL,goodput,50 Gb/s,≥ 90 Gb/s,-44.4 %")


def test_allure_tells_every_way_a_test_can_end_apart(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH, "--alluredir", "allure", own_process=True)
    found = results(lab)
    assert session.outcomes() == EXPECTED
    assert len(found) == len(EXPECTED)
    for name, outcome in EXPECTED.items():
        status, message = told(found[name.removeprefix("test_")])
        assert message.startswith(outcome), name
        expected = {"FAIL": "failed", "INVALID": "failed", "LAB FAULT": "broken", "ERROR": "broken",
                    "SKIPPED": "skipped"}  # fmt: skip
        assert status == expected.get(outcome, "passed"), name
    folder = lab.pytester.path / "allure"
    assert "Invalid evidence" in (folder / "categories.json").read_text()
    assert "seed=1" in (folder / "environment.properties").read_text()


def test_allure_hears_of_a_worker_that_died(lab: Lab) -> None:
    lab.run(
        """
import os

@pytest.mark.parametrize("n", range(4))
def test_it(fabric, expect, n):
    if n == 1:
        os._exit(1)
    expect("n", n, at_least(0))
""",
        "-n", "2", "--alluredir", "allure",
        own_process=True,
    )  # fmt: skip
    found = results(lab).values()
    messages = sorted(told(result) for result in found)
    assert [status for status, _ in messages] == ["broken", "passed", "passed", "passed"]
    assert "the process that ran the test died" in messages[0][1]


def test_allure_hears_of_ctrl_c(lab: Lab) -> None:
    lab.run(
        """
def test_first(fabric, expect):
    expect("x", 1, equals(1))

def test_second(fabric, expect):
    raise KeyboardInterrupt

def test_third(fabric, expect):
    expect("x", 1, equals(1))
""",
        "--alluredir", "allure",
        own_process=True,
    )  # fmt: skip
    found = results(lab)
    assert told(found["first"])[0] == "passed"
    assert told(found["second"]) == (
        "failed",
        "INVALID (SIMULATED): interrupted before it came to a verdict",
    )
    assert "third" not in found
    assert told(found["the session is complete"])[0] == "broken"
    assert told(found["the session is complete"])[1].startswith(
        "INCOMPLETE: the session did not come to its end"
    )


def junit(lab: Lab) -> ET.Element:
    (suite,) = ET.parse(lab.pytester.path / "junit.xml").getroot()
    return suite


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_junit_of_pytest_has_the_verdicts_as_properties(lab: Lab, workers: tuple[str, ...]) -> None:
    lab.run(ONE_OF_EACH, "--junitxml", "junit.xml", *workers, own_process=True)
    found = {
        case.attrib["name"]: {each.attrib["name"]: each.attrib["value"] for each in case.iter("property")}
        for case in junit(lab)
    }
    assert {name: facts["verdict"] for name, facts in found.items()} == EXPECTED
    assert found["test_near"]["margin"] == "+1.1 % (goodput)"
    assert found["test_lab"]["simulated"] == "true"


def test_a_lab_fault_is_an_error_for_junit(lab: Lab) -> None:
    lab.run(ONE_OF_EACH, "-k", "test_lab or test_bad or test_gone", "--junitxml", "junit.xml")
    suite = junit(lab)
    assert (suite.attrib["errors"], suite.attrib["failures"]) == ("1", "2")
    assert "LAB FAULT: HarnessError: cable is out" in ET.tostring(suite, encoding="unicode")
