from __future__ import annotations

from pathlib import Path

import pytest

from suites import plan_index

PLAN = {"PFC-07": {"case": "An incast", "source": "A plan"}}
SUITE = '''
import pytest
from harness import Capability

pytestmark = [pytest.mark.topology("star-9"), pytest.mark.needs(Capability.PFC)]


@pytest.mark.plan("PFC-07")
@pytest.mark.needs(Capability.ECN)
@pytest.mark.parametrize("senders", [2, 4, 8])
@pytest.mark.parametrize(("size", "qps"), [(1, 2), (3, 4)])
def test_claim(fabric, expect, senders, size, qps):
    """Nothing is lost."""
'''
CONTROL = '''

@pytest.mark.plan("PFC-07")
@pytest.mark.topology("dumbbell")
@pytest.mark.negative_control("PFC switched off")
def test_control(fabric, expect):
    """Without PFC something is."""
'''


def suites(folder: Path, text: str) -> list[plan_index.Claim]:
    (folder / "pfc").mkdir()
    (folder / "pfc" / "test_incast.py").write_text(text, encoding="utf-8")
    return plan_index.read_suites(folder)


def test_the_index_in_the_repository_is_current() -> None:
    assert plan_index.main(["--check"]) == 0, "run python -m suites.plan_index"


def test_reads_markers_of_test_and_module(tmp_path: Path) -> None:
    claim, control = suites(tmp_path, SUITE + CONTROL)
    assert claim == plan_index.Claim(
        "pfc/test_incast.py", "test_claim", "Nothing is lost.", ("PFC-07",), ("ECN", "PFC"), "star-9", None, 6
    )
    assert (control.control, control.topology, control.cases) == ("PFC switched off", "dumbbell", 1)


def test_renders_claims_beside_their_controls(tmp_path: Path) -> None:
    text = plan_index.render(suites(tmp_path, SUITE + CONTROL), PLAN)
    assert "| [PFC-07](#pfc-07) | An incast | 6 | 1 |" in text
    assert "- Nothing is lost. (`pfc/test_incast.py`, `test_claim`, 6 cases)" in text
    assert "- *PFC switched off*: Without PFC something is. (`test_control`)" in text
    assert "Topology: dumbbell, star-9. Needs: ECN, PFC." in text


def test_says_any_for_a_test_that_names_no_shape(tmp_path: Path) -> None:
    anywhere = CONTROL.replace('@pytest.mark.topology("dumbbell")\n', "")
    (tmp_path / "ecn").mkdir()
    (tmp_path / "ecn" / "test_any.py").write_text(anywhere, encoding="utf-8")
    text = plan_index.render([*suites(tmp_path, SUITE), *plan_index.read_suites(tmp_path / "ecn")], PLAN)
    assert "Topology: any, star-9. Needs: ECN, PFC." in text


@pytest.mark.parametrize(
    ("text", "plan", "message"),
    [
        (SUITE, PLAN, "PFC-07 has no negative control"),
        (SUITE.replace("def test_claim", "def helper") + CONTROL, PLAN, "PFC-07 is claimed by no test"),
        (SUITE + CONTROL, {}, "test_claim names PFC-07, which is not in plan.yaml"),
        (SUITE + CONTROL + CONTROL, PLAN, "test_control is there twice"),
        (SUITE + CONTROL.replace('"PFC-07"', '"PFC-07", "PFC-07"'), PLAN, "test_control names PFC-07 twice"),
        (SUITE.replace('@pytest.mark.plan("PFC-07")\n', "") + CONTROL, PLAN, "test_claim has no plan ID"),
        (
            SUITE.replace('    """Nothing is lost."""', "    pass") + CONTROL,
            PLAN,
            "test_claim has no docstring",
        ),
    ],
    ids=["no control", "no claim", "unknown ID", "a test twice", "an ID twice", "no ID", "no criterion"],
)
def test_refuses_a_plan_that_is_not_whole(
    tmp_path: Path, text: str, plan: dict[str, dict[str, str]], message: str
) -> None:
    with pytest.raises(plan_index.PlanError, match=message):
        plan_index.render(suites(tmp_path, text), plan)


def test_shows_the_defects_that_a_test_names(tmp_path: Path) -> None:
    catching = SUITE.replace("def test_claim", '@pytest.mark.catches("pfc_ignored", "drops")\ndef test_claim')
    text = plan_index.render(suites(tmp_path, catching + CONTROL), PLAN)
    assert "`test_claim`, 6 cases) Catches `pfc_ignored`." in text


def test_refuses_an_id_that_is_twice_in_the_plan(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "PFC-07: {case: a, source: b}\nPFC-08: {case: a, source: b}\nPFC-07: {case: c, source: d}\n"
    )
    with pytest.raises(plan_index.PlanError, match=r"plan\.yaml has PFC-07 twice"):
        plan_index.read_plan(plan)


def test_says_when_the_index_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suites(tmp_path, SUITE + CONTROL)
    (tmp_path / "plan.yaml").write_text("PFC-07: {case: An incast, source: A plan}\n", encoding="utf-8")
    monkeypatch.setattr(plan_index, "HERE", tmp_path)
    assert plan_index.main(["--check"]) == 1
    assert "README.md is not current" in capsys.readouterr().err
    assert plan_index.main([]) == 0
    assert plan_index.main(["--check"]) == 0
