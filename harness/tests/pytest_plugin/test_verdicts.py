from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from harness.core.record import Outcome
from harness.tests.pytest_plugin.one_of_each import EXPECTED, ONE_OF_EACH

if TYPE_CHECKING:
    from harness.tests.pytest_plugin.conftest import Lab

pytest_plugins = ("pytester",)


def test_each_way_a_test_can_end(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH)
    assert session.outcomes() == EXPECTED
    assert session.code == 1
    assert "PASS 1 · MARGINAL 1 · FAIL 1 · INVALID 2 · LAB FAULT 1 · ERROR 1 · SKIPPED 1" in session.stdout
    # pytest's own words agree: the lab fault is an error, the broken test a failure as ever
    assert "4 failed, 2 passed, 1 skipped, 1 error" in session.stdout


def test_a_failure_shows_every_measurement(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH, "-k", "test_bad")
    for part in (
        "FAIL (SIMULATED): outside the limit: goodput 50",
        "frames dropped",
        "= 0",
        "≥ 90 Gb/s",
        "-44.4",
    ):
        assert part in session.stdout
    assert "conclusion.py" not in session.stdout  # no traceback into the harness
    assert "verdict.py" not in session.stdout


def test_missing_evidence_says_what_is_missing(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH, "-k", "test_gone", "-v")
    assert "no data: no such counter" in session.stdout
    assert "test_gone INVALID" in session.stdout


def test_the_words_of_verbose_mode(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH, "-v")
    for words in ("test_near MARGINAL", "test_gone INVALID", "test_lab LAB FAULT", "test_bad FAILED"):
        assert words in session.stdout


def test_skipped_by_capability_names_what_is_missing_and_the_test(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH, "-k", "test_unable", "-rs")
    assert "fabric 'fake' does not offer CAPTURE, LINK_FLAP" in session.stdout
    assert "SKIPPED [1] test_suite.py:" in session.stdout
    assert session.test("test_unable").skipped == "fabric 'fake' does not offer CAPTURE, LINK_FLAP"
    assert session.code == 0


def test_a_shape_that_the_lab_does_not_have_skips_every_test_of_it(lab: Lab) -> None:
    body = """
@pytest.mark.topology("chain-3")
@pytest.mark.parametrize("turn", [1, 2])
def test_it(fabric, expect, turn):
    expect("x", 1, equals(1))


@pytest.mark.topology("chain-3")
@pytest.mark.needs(Capability.LINK_FLAP, Capability.PFC)
def test_needy(fabric, expect):
    expect("x", 1, equals(1))
"""
    session = lab.run(body)
    assert set(session.outcomes().values()) == {"SKIPPED"}
    assert session.test("test_it[2]").skipped == "fabric 'fake' does not offer TOPOLOGY chain-3"
    assert session.test("test_needy").skipped == "fabric 'fake' does not offer LINK_FLAP, TOPOLOGY chain-3"


def test_the_engine_of_hosts_reaches_the_fabric(lab: Lab) -> None:
    session = lab.run("def test_it(fabric, expect):\n    expect('x', 1, equals(1))\n", "--engine", "native")
    assert session.outcomes() == {"test_it": "PASS"}
    assert (lab.pytester.path / "reservations.txt").read_text() == "leaf-spine-16 1 native\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--fabric", "sim", "--engine", "native"), "--engine: fabric 'sim' has no engines to choose from"),
        (("--engine", "fast"), "--engine: no such engine (value 'fast'); there are: auto, pyverbs, native"),
    ],
)
def test_an_engine_that_the_fabric_lacks_is_a_usage_error(
    lab: Lab, options: tuple[str, ...], words: str
) -> None:
    session = lab.run("def test_it(fabric):\n    pass\n", *options)
    assert session.code == pytest.ExitCode.USAGE_ERROR
    assert words in session.stdout


def test_the_owner_of_a_fabric_says_so_in_the_environment(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROCE_I_OWN_THIS_FABRIC", "")
    lab.run("def test_it(fabric):\n    pass\n")
    assert os.environ["ROCE_I_OWN_THIS_FABRIC"] == ""
    lab.again("--i-own-this-fabric")
    assert os.environ["ROCE_I_OWN_THIS_FABRIC"] == "1"


@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        ("test_good or test_near or test_unable", 0),
        ("test_bad or test_gone or test_lab", 1),
        ("test_broken", 1),
        ("test_good or test_gone", 10),
        ("test_vacuous", 10),
        ("test_lab or test_good", 11),
        ("test_lab or test_gone", 11),
        ("nothing_of_this_name", 5),
    ],
)
def test_exit_codes(lab: Lab, chosen: str, code: int) -> None:
    assert lab.run(ONE_OF_EACH, "-k", chosen).code == code


def test_an_ordinary_failure_is_not_hidden_by_an_invalid_one(lab: Lab) -> None:
    session = lab.run(ONE_OF_EACH + "\ndef test_unit():\n    assert 1 == 2\n", "-k", "test_gone or test_unit")
    assert session.code == 1
    assert "test_unit" not in session.outcomes()


def test_a_plain_assertion_is_the_verdict_of_its_author(lab: Lab) -> None:
    session = lab.run(
        "def test_it(fabric, expect):\n    expect('x', 1, equals(1))\n    assert 1 == 2, 'not equal'\n"
    )
    assert session.outcomes() == {"test_it": "FAIL"}
    assert "not equal" in session.test("test_it").message
    assert session.code == 1


CONTROL = """
@pytest.mark.plan("PFC-07")
@pytest.mark.negative_control("PFC switched off")
def test_control(fabric, expect):
    result = fabric.run(scenario('{"drops": %s}'))
    expect("frames dropped", result.counters[Counter.DROPS], equals(0))
"""


def test_a_control_that_sees_the_fault_passes_and_is_shown_as_a_control(lab: Lab) -> None:
    session = lab.run(CONTROL % "7")
    assert session.outcomes() == {"test_control": "PASS"}
    assert session.test("test_control").control == "PFC switched off"
    assert "negative control: the fault was seen by frames dropped 7" in session.stdout
    assert "FAIL, intended" in session.page
    assert session.code == 0


def test_a_control_that_sees_nothing_fails(lab: Lab) -> None:
    session = lab.run(CONTROL % "0")
    assert session.outcomes() == {"test_control": "FAIL"}
    assert "the check is blind: nothing failed with PFC switched off" in session.stdout
    assert session.code == 1


def test_a_control_without_evidence_is_invalid(lab: Lab) -> None:
    session = lab.run((CONTROL % "0").replace('{"drops": 0}', "{}"))
    assert session.outcomes() == {"test_control": "INVALID"}
    assert session.code == 10


HELD = """
def test_slow(fabric, expect):
    fabric.run(scenario('{"held": "its thread was always busy"}'))
    expect("goodput", 80.0, at_least(90), "Gb/s")


def test_good(fabric, expect):
    fabric.run(scenario('{"held": "its thread was always busy"}'))
    expect("goodput", 99.0, at_least(90), "Gb/s")


def test_drops(fabric, expect):
    result = fabric.run(scenario('{"held": "its thread was always busy", "drops": 7}'))
    expect("frames dropped", result.counters[Counter.DROPS], equals(0))


@pytest.mark.negative_control("PFC switched off")
def test_control(fabric, expect):
    result = fabric.run(scenario('{"held": "its thread was always busy", "drops": 7}'))
    expect("frames dropped", result.counters[Counter.DROPS], equals(0))
"""


def test_a_host_that_held_its_generator_back_makes_a_fail_invalid(lab: Lab) -> None:
    session = lab.run(HELD)
    assert session.outcomes() == {
        "test_slow": "INVALID", "test_good": "PASS", "test_drops": "FAIL", "test_control": "PASS",
    }  # fmt: skip
    (slow,) = session.test("test_slow").measurements
    assert slow.reason == (
        "run 1: the generator of h1 was the bottleneck: its thread was always busy; 80 is not ≥ 90"
    )
    (run,) = session.test("test_slow").runs
    assert run.notes[-1] == "The generator of h1 was the bottleneck: its thread was always busy."
    assert "The generator of h1 was the bottleneck: its thread was always busy." in session.page


def test_a_run_that_is_no_evidence_makes_the_test_invalid(lab: Lab) -> None:
    session = lab.run("""
def test_it(fabric, expect):
    fabric.run(scenario('{"ended": "limit"}'))
    expect("goodput", 99.0, at_least(90), "Gb/s")
""")
    assert session.outcomes() == {"test_it": "INVALID"}
    assert "the run was given up before all flows were complete" in session.stdout
    assert "Not valid as evidence" in session.page


def test_a_known_deviation_counts_as_skipped_and_shows_up_when_it_ends(lab: Lab) -> None:
    session = lab.run("""
@pytest.mark.xfail(reason="firmware 1.2 drops", strict=True)
@pytest.mark.parametrize("goodput", [1.0, 99.0])
def test_it(fabric, expect, goodput):
    expect("goodput", goodput, at_least(90), "Gb/s")
""")
    assert session.outcomes() == {"test_it[1.0]": "SKIPPED", "test_it[99.0]": "FAIL"}
    assert session.test("test_it[1.0]").skipped == "expected to fail: firmware 1.2 drops"
    assert session.code == 1


def test_an_error_of_tear_down_does_not_hide_a_verdict(lab: Lab) -> None:
    session = lab.run("""
@pytest.fixture
def leaky():
    yield
    raise RuntimeError("port stays down")

def test_good(fabric, expect, leaky):
    expect("x", 1, equals(1))

def test_bad(fabric, expect, leaky):
    expect("x", 1, equals(2))
""")
    assert session.outcomes() == {"test_good": "ERROR", "test_bad": "FAIL"}
    assert "port stays down" in session.test("test_good").message


def test_unit_tests_are_left_alone(lab: Lab) -> None:
    session = lab.run("def test_plain():\n    pass\n")
    assert session.code == 0
    assert not session.folder.exists()
    assert "fabric validation" not in session.stdout


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("plan()", "give IDs such as 'PFC-07'"),
        ("plan('pfc seven')", "give IDs such as 'PFC-07'"),
        ("needs('PFC')", "give members of Capability: PFC, ECN"),
        ("topology()", "give one text such as 'star-9'"),
        ("negative_control", "give one text such as 'PFC switched off'"),
    ],
)
def test_wrong_markers_stop_the_session(lab: Lab, marker: str, message: str) -> None:
    session = lab.run(f"@pytest.mark.{marker}\ndef test_it(fabric, expect):\n    pass\n")
    assert session.code == 4
    assert message in session.stdout
    assert "test_suite.py::test_it" in session.stdout


DEVIATION = """
@pytest.mark.deviation("odd_status")
def test_it(fabric, expect):
    fabric.run(scenario('{"deviations": %s}'))
    expect("status", 11, equals(9))
"""


def test_a_deviation_that_a_driver_knows_is_skipped_in_its_words(lab: Lab) -> None:
    session = lab.run(DEVIATION % '{"odd_status": "says 11 where 9 is due"}')
    test = session.test("test_it")
    assert (session.code, test.outcome) == (0, Outcome.SKIPPED)
    assert "says 11 where 9 is due" in (test.skipped or "")
    assert "status 11 (limit = 9)" in (test.skipped or "")


def test_a_deviation_that_no_driver_knows_fails(lab: Lab) -> None:
    session = lab.run(DEVIATION % '{"another": "x"}')
    assert session.test("test_it").outcome is Outcome.FAIL


def test_a_deviation_does_not_excuse_what_has_no_evidence(lab: Lab) -> None:
    body = DEVIATION.replace("11, equals", "None, equals") % '{"odd_status": "x"}'
    assert lab.run(body).test("test_it").outcome is Outcome.INVALID
