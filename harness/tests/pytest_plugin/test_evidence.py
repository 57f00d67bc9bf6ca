"""`--prove-evidence`: a test that passes without its evidence is a FAIL, one that becomes INVALID stays a pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.pytest_plugin.evidence_counts import summary_lines, summed

if TYPE_CHECKING:
    from harness.tests.pytest_plugin.conftest import Lab

pytest_plugins = ("pytester",)

HONEST = """
def test_honest(fabric, expect):
    result = fabric.run(scenario('{"drops": 0}'))
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source="nothing is overloaded"))
"""

BLIND = """
def test_blind(fabric, expect):
    result = fabric.run(scenario('{"drops": 0, "peak": 7}'))
    expect("deepest queue", result.counters[Counter.QUEUE_MAX], at_most(10), "B")
"""

WITNESSED = """
def test_witnessed(fabric, expect):
    expect("frames dropped", fabric.run(scenario('{"drops": 7}')).counters[Counter.DROPS], at_most(10))
"""

NEEDY = """
def test_needy(fabric, expect):
    dropped = fabric.run(scenario('{"drops": 0}')).counters[Counter.DROPS]
    expect("frames dropped", max(dropped, 0), equals(0))
"""


def test_a_test_that_lives_by_its_evidence_passes_and_is_counted(lab: Lab) -> None:
    session = lab.run(HONEST, "--prove-evidence")
    assert session.outcomes() == {"test_honest": "PASS"}
    evidence = session.test("test_honest").evidence
    assert evidence["replays"] == {"removed": 1, "absent": 1, "negative": 1}
    assert evidence["still"] == ["drops"]
    assert "1 tests with 1 measurements were judged again 3 times" in session.stdout
    assert "never moved, so not shown to be noticed when frozen: drops" in session.stdout


def test_a_test_that_passes_without_its_evidence_fails(lab: Lab) -> None:
    session = lab.run(BLIND, "--prove-evidence")
    assert session.outcomes() == {"test_blind": "FAIL"}
    assert "passes although queue_max of sw1:e1 stood still (run 1)" in session.test("test_blind").message
    assert session.code == 1


def test_what_nothing_else_can_tell_is_counted_and_no_failure(lab: Lab) -> None:
    known = (
        "from harness.core.laws import NO_WITNESS\n\nNO_WITNESS['queue_max_bytes'] = 'nothing is sampled'\n"
    )
    session = lab.run(known + BLIND, "--prove-evidence", own_process=True)
    assert session.outcomes() == {"test_blind": "PASS"}
    evidence = session.test("test_blind").evidence
    assert (evidence["blind"], evidence["unwitnessed"]) == ([], {"queue_max_bytes": 1})
    assert "nothing else tells it (NO_WITNESS of harness/core/laws.py): queue_max_bytes 1" in session.stdout


def test_a_counter_that_another_contradicts_is_noticed_when_frozen(lab: Lab) -> None:
    session = lab.run(WITNESSED, "--prove-evidence")
    assert session.outcomes() == {"test_witnessed": "PASS"}
    evidence = session.test("test_witnessed").evidence
    assert evidence["replays"]["frozen"] == 1
    assert evidence["noticed"] == ["drops"]


def test_a_body_that_cannot_go_on_without_data_is_invalid(lab: Lab) -> None:
    session = lab.run(NEEDY, "--prove-evidence")
    assert session.outcomes() == {"test_needy": "PASS"}


def test_without_the_option_nothing_is_tried(lab: Lab) -> None:
    session = lab.run(BLIND)
    assert session.outcomes() == {"test_blind": "PASS"}
    assert session.test("test_blind").evidence == {}


def test_tests_of_workers_are_added_up() -> None:
    one = {
        "measurements": 2,
        "readings": 1,
        "replays": {"removed": 3},
        "noticed": ["a"],
        "still": ["b"],
        "blind": [],
    }
    two = {
        **one,
        "replays": {"removed": 1, "frozen": 2},
        "noticed": ["b"],
        "still": ["c"],
        "blind": ["x"],
        "unwitnessed": {"d": 2},
    }
    together = summed([one, {}, two])
    assert together["tests"] == 2
    assert together["replays"] == {"removed": 4, "frozen": 2}
    assert (together["blind"], together["never_moved"], together["unwitnessed"]) == (1, ["c"], {"d": 2})
    assert any("6 times without it (4 removed, 2 frozen)" in line for line in summary_lines(together))
    assert summed([{}]) == {}


def test_the_record_keeps_the_sum(lab: Lab) -> None:
    session = lab.run(HONEST, "--prove-evidence")
    assert '"never_moved":["drops"]' in (session.folder / "record.json").read_text()
