from __future__ import annotations

from typing import Any

from harness.analysis.outage import longest_outage_ps
from harness.core.evidence import is_missing
from harness.core.result import RunResult

DOWN, UP = {"kind": "link_down", "at_ps": 400}, {"kind": "link_up", "at_ps": 700}


def hosts(*events: dict[str, Any]) -> RunResult:
    return RunResult({"events": [DOWN, UP]}, {"format": 1, "simulated": False, "hosts": {"events": events}})


def test_the_simulator_does_both_at_their_times() -> None:
    assert longest_outage_ps(RunResult({"events": [DOWN, UP]}, {"format": 1, "simulated": True})) == 300


def test_machines_take_time_for_both() -> None:
    down = {**DOWN, "began_ps": 401, "done_ps": 600}
    up = {**UP, "began_ps": 700, "done_ps": 950}
    assert longest_outage_ps(hosts(down, up)) == 549


def test_an_event_that_was_not_carried_out_leaves_nothing_to_tell() -> None:
    down = {**DOWN, "began_ps": 401, "done_ps": 600}
    assert is_missing(longest_outage_ps(hosts(down, {**UP, "began_ps": None, "done_ps": None})))
    assert is_missing(longest_outage_ps(RunResult({}, {"format": 1, "simulated": True})))
