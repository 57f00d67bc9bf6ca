"""What holds of all defects: the list, its documentation, conservation, and runs that end in good time."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path
from time import monotonic

import pytest

from harness.tests.sim.defective import LOSSLESS, impair, incast, listed, marking, one_flow, storm
from harness.tests.sim.jobs import MS, US, Json, S, flow, flow_of, program, run, run_text, star
from harness.tests.sim.random_jobs import random_job

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[2] / "docs" / "simulator.md"
NAMES = [one["name"] for one in listed()]
PATIENCE_S = 10.0
"""Far above what any of these jobs takes; a run that goes on to ten simulated seconds takes longer."""


def test_the_list_says_name_part_and_deed() -> None:
    for one in listed():
        assert list(one) == ["name", "part", "what"]
        assert re.fullmatch(r"[a-z0-9_]+", one["name"])
        assert one["part"] in {"switch", "nic", "link", "counters"}
        assert one["what"]
    assert len(set(NAMES)) == len(NAMES)


def test_the_documentation_has_the_same_table() -> None:
    section = DOCUMENT.read_text().partition("\n## Defects\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", section, re.MULTILINE)
    assert rows == [(one["name"], one["part"], one["what"]) for one in listed()]


def texts(tree: ast.AST) -> set[str]:
    """Text constants of a module."""
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


def test_each_defect_has_a_test() -> None:
    modules = ("test_defects_nic.py", "test_defects_switch.py")
    named = set().union(*(texts(ast.parse((HERE / name).read_text())) for name in modules))
    assert set(NAMES) - named == set()


def test_no_defects_change_nothing() -> None:
    work = incast(switch={"ecn": marking()}, nic={"cc": {"algorithm": "dcqcn"}})
    text = run_text(work)
    assert run_text({**work, "defects": []}) == text
    assert "defects" not in json.loads(text)


def test_several_defects_are_named_in_the_order_of_the_list() -> None:
    result = run(one_flow(10_000, defects=["late_start", "mtu_halved"]))
    assert result["defects"] == ["mtu_halved", "late_start"]
    assert flow_of(result, "f")["start_ps"] == 20 * MS
    assert flow_of(result, "f")["packets_sent"] == 20


@pytest.mark.parametrize(
    ("defects", "message", "path"),
    [
        (["marking_of"], "\"marking_of\" is no defect (did you mean 'marking_off'?)", "defects[0]"),
        (
            ["marking_off", "gremlins"],
            '"gremlins" is no defect; roce-sim --list-defects prints them',
            "defects[1]",
        ),
        (["marking_off", 3], "must be a string, is 3", "defects[1]"),
        ("marking_off", 'must be a list, is "marking_off"', "defects"),
    ],
)
def test_a_bad_list_is_refused(defects: object, message: str, path: str) -> None:
    text = json.dumps(one_flow(1000, defects=defects))
    done = subprocess.run([program()], input=text, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    error = json.loads(done.stderr)
    assert message in error["error"]
    assert error["path"] == path


@pytest.mark.parametrize("name", NAMES)
def test_a_defective_fabric_conserves_packets_and_repeats(name: str) -> None:
    """Defects break devices, not the simulator."""
    for seed in range(3):
        work = {**random_job(1000 * NAMES.index(name) + seed), "defects": [name], "duration_ps": 20 * MS}
        text = run_text(work)
        assert json.loads(text)["conservation"]["ok"]
        if seed == 0:
            assert run_text(work) == text


def hopeless(name: str) -> Json:
    """A job that a defect keeps from its end."""
    pfc: Json = {"nic": {"pfc": LOSSLESS, "ack_timeout_exponent": 0}, "switch": {"pfc": LOSSLESS}}
    if name == "link_stays_down":
        flap = [
            {"at_ps": 10 * US, "kind": "link_down", "port": "h1:p0"},
            {"at_ps": 20 * US, "kind": "link_up", "port": "h1:p0"},
        ]
        return one_flow(nic={"ack_timeout_exponent": 0}, events=flap)
    if name == "nak_not_sent":
        return one_flow(nic={"ack_timeout_exponent": 0}, events=[impair("drop", packets=[5])])
    if name == "rnr_timer_ignored":
        keys = {"verb": "send", "messages": 2, "recv_depth": 1}
        return one_flow(1024, flow_keys=keys)
    return one_flow(20_000_000, events=[storm()], **pfc)


@pytest.mark.parametrize(
    "name",
    ["pause_never_released", "nic_pause_storm", "link_stays_down", "nak_not_sent", "rnr_timer_ignored"],
)
def test_a_run_that_gets_nowhere_ends(name: str, tmp_path: Path) -> None:
    """After a while without progress, sampled and watched as finely as tests do; see docs/simulator.md."""
    work = {**hopeless(name), "defects": [name], "output_dir": str(tmp_path), "sample_every_ps": 100 * US}
    if name == "pause_never_released":  # only NICs stick: the storm of h1 stops its switch, which stops h0
        work["events"] = [{**storm(duration_ps=US), "port": "h0:p0"}, {**storm(), "port": "h1:p0"}]
        work["switch"] = {**work["switch"], "buffer": {"bytes": 300_000}}
    began = monotonic()
    result = run(work)
    assert monotonic() - began < PATIENCE_S
    assert result["ended"] == "limit"
    assert result["end_ps"] < S
    assert flow_of(result, "f")["status"] == "unfinished"


def test_a_late_flow_is_waited_for() -> None:
    """Nothing happens for five seconds, then something does."""
    flows = [flow("f", "h0", "h1", 1000), flow("late", "h0", "h1", 1000, start_ps=5 * S)]
    result = run(star(2, flows, defects=["nic_pause_storm"]))
    assert result["ended"] == "done"
    assert flow_of(result, "late")["status"] == "done"


def test_a_long_timeout_is_waited_for() -> None:
    """4.096 µs · 2^15 · 16 are 2.1 s: longer than the 100 ms after which other runs are given up."""
    work = one_flow(events=[impair("drop", packets=[976])], nic={"ack_timeout_exponent": 15})
    result = run({**work, "defects": ["ack_timeout_x16"]})
    assert flow_of(result, "f")["timeouts"] == 1
    assert result["ended"] == "done"
