from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema

from harness.core.record import Outcome, RunRecord
from harness.tests.reports import hostile, sample
from reports import reporter
from reports.joined import join

SCHEMA = xmlschema.XMLSchema(str(Path(__file__).with_name("junit.xsd")))


def document(record: RunRecord) -> ET.Element:
    out = io.StringIO()
    reporter.load("junit").write(record, out)
    SCHEMA.validate(out.getvalue())
    return ET.fromstring(out.getvalue())


def cases(record: RunRecord) -> dict[str, ET.Element]:
    return {case.attrib["name"]: case for case in document(record).iter("testcase")}


def result(case: ET.Element) -> tuple[str, str] | None:
    """Tag and type of what is not a pass."""
    found = [(each.tag, each.attrib["type"]) for each in case if each.tag != "system-out"]
    assert len(found) <= 1
    return found[0] if found else None


def test_every_outcome_is_told_apart() -> None:
    found = cases(sample.record())
    assert {name: result(case) for name, case in found.items()} == {
        "test_incast_stays_full[8]": ("failure", "FAIL"),
        "test_good": None,
        "test_near": None,
        "test_gone": ("failure", "INVALID"),
        "test_control": None,
        "test_fault": ("error", "LAB FAULT"),
        "test_error": ("error", "ERROR"),
        "test_skip": ("skipped", "SKIPPED"),
    }
    for name, verdict in (("test_good", "PASS"), ("test_near", "MARGINAL"), ("test_gone", "INVALID")):
        assert f"[[PROPERTY|verdict={verdict}]]" in (found[name].findtext("system-out") or "")


def test_messages_begin_with_the_verdict_because_not_every_system_shows_the_type() -> None:
    found = cases(sample.record())
    failure = found["test_incast_stays_full[8]"].find("failure")
    assert failure.attrib["message"] == "FAIL: outside the limit: goodput 88.12 Gb/s (limit ≥ 95 Gb/s)"
    assert failure.text.startswith("FAIL (SIMULATED): outside the limit")
    assert found["test_gone"].find("failure").attrib["message"].startswith("INVALID: CNPs handled: no data")
    assert "traceback line" in found["test_error"].find("error").text


def test_a_case_has_plan_margin_control_criterion_and_measurements() -> None:
    found = cases(sample.record())
    text = found["test_incast_stays_full[8]"].findtext("system-out")
    for part in (
        "[[PROPERTY|plan=PFC-07, INC-01]]", "[[PROPERTY|margin=-7.2 % (goodput)]]", "[[PROPERTY|simulated=true]]",
        "Overload one receiver; the link stays full.", "expected from max-min share at line rate",
    ):  # fmt: skip
        assert part in text
    assert "[[PROPERTY|negative_control=PFC switched off]]" in found["test_control"].findtext("system-out")
    assert "FAIL, intended" in found["test_control"].findtext("system-out")


def test_sums_are_those_of_the_cases() -> None:
    root = document(sample.record())
    suites = list(root)
    for name, tags in (("failures", "failure"), ("errors", "error"), ("tests", "testcase")):
        amounts = [int(suite.attrib[name]) for suite in suites]
        assert amounts == [len(list(suite.iter(tags))) for suite in suites]
        assert int(root.attrib[name]) == sum(amounts)
    assert [suite.attrib["name"] for suite in suites] == ["suites/pfc/test_incast.py", "a.py"]
    assert suites[0][0].find("property[@name='stamp']").attrib["value"] == "SIMULATED"


def test_a_known_deviation_is_a_skip_of_its_own_kind() -> None:
    reason = "expected to fail: known deviation: pauses late"
    test = replace(sample.record().tests[-1], skipped=reason, message=reason)
    (case,) = cases(sample.record(tests=(test,))).values()
    assert result(case) == ("skipped", "KNOWN DEVIATION")


@pytest.mark.parametrize(
    "changes", [{"finished": None}, {"problems": ("the last line is cut",)}, {"tests": ()}]
)
def test_what_is_missing_is_an_error_so_that_half_a_session_is_never_green(changes: dict) -> None:
    good = sample.record().tests[1]
    root = document(sample.record(**{"tests": (good,), **changes}))
    assert int(root.attrib["errors"]) == 1
    (error,) = root.iter("error")
    assert error.attrib["type"] == "INCOMPLETE"


def test_the_same_test_in_two_sessions_has_two_names() -> None:
    record = join([("fw-28.39", sample.record()), ("fw-28.42", sample.record(seed=2))])
    root = document(record)
    names = [(case.attrib["classname"], case.attrib["name"]) for case in root.iter("testcase")]
    assert len(set(names)) == len(names) == 2 * len(sample.record().tests)
    assert ("fw-28_39.suites.pfc.test_incast", "test_incast_stays_full[8]") in names
    seeds = {suite.find(".//property[@name='seed']").attrib["value"] for suite in root}
    assert seeds == {"1", "2"}


@pytest.mark.parametrize("text", [hostile.HARM, hostile.MEGABYTE], ids=["harm", "megabyte"])
def test_hostile_text_is_valid_and_bounded(text: str) -> None:
    outcomes = tuple(Outcome) if text is hostile.HARM else (Outcome.FAIL,)
    root = document(hostile.record(text, outcomes))
    whole = ET.tostring(root, encoding="unicode")
    assert hostile.MARKER in whole
    assert len(whole) < 1_500_000
    for forbidden in ("\x1b", "\x00", "\u202e", "\ud800", "\ufeff"):
        assert forbidden not in whole
    assert not [each for each in root.iter() if each.tag in ("script", "img", "b")]
