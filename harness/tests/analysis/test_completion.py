from __future__ import annotations

from typing import Any

import pytest

from harness.analysis.completion import (
    STATUS_CODES,
    failed_after_ps,
    start_skew_limit_ps,
    start_skew_ps,
    status_code,
)
from harness.core.evidence import is_missing
from harness.core.flow_results import FlowResult, FlowSet, flow_result
from harness.core.result import RunResult
from harness.core.units import MS


def flow(run_end_ps: int = 900, **keys: Any) -> FlowResult:
    return flow_result({"name": "f", "status": "done", "start_ps": 100, **keys}, run_end_ps)


def test_numbers_are_those_of_libibverbs() -> None:
    """Spot checks of enum ibv_wc_status."""
    known = {"SUCCESS": 0, "LOC_PROT_ERR": 4, "WR_FLUSH_ERR": 5, "REM_INV_REQ_ERR": 9, "REM_ACCESS_ERR": 10}
    known |= {"RETRY_EXC_ERR": 12, "RNR_RETRY_EXC_ERR": 13, "FATAL_ERR": 19, "GENERAL_ERR": 21}
    assert {name: STATUS_CODES[name] for name in known} == known


def test_a_flow_that_is_done_has_status_zero() -> None:
    assert status_code(flow()) == 0


def test_a_flow_that_failed_has_its_number() -> None:
    assert status_code(flow(status="failed", error="RETRY_EXC_ERR")) == 12


@pytest.mark.parametrize(
    ("status", "error"),
    [("unfinished", None), ("not_started", None), ("failed", None), ("failed", "NO_SUCH_ERR")],
)
def test_no_status_is_no_number(status: str, error: str | None) -> None:
    assert is_missing(status_code(flow(status=status, error=error)))


def failed(*, simulated: bool, **keys: Any) -> RunResult:
    data = {"name": "f", "status": "failed", "start_ps": 100, **keys}
    return RunResult({}, {"format": 1, "simulated": simulated, "end_ps": 900, "flows": [data]})


def test_time_to_failure_is_what_hosts_tell() -> None:
    assert failed_after_ps(failed(simulated=False, error_after_ps=300), "f") == 300


def test_time_to_failure_is_that_of_the_run_on_the_simulator() -> None:
    assert failed_after_ps(failed(simulated=True), "f") == 800


def test_time_to_failure_that_no_host_tells_is_not_guessed() -> None:
    assert is_missing(failed_after_ps(failed(simulated=False, error_after_ps=None), "f"))


def test_a_flow_that_did_not_fail_has_no_time_to_failure() -> None:
    assert is_missing(failed_after_ps(failed(simulated=True, status="done"), "f"))


def test_start_skew_is_between_the_first_and_the_last_start() -> None:
    assert start_skew_ps(FlowSet((flow(start_ps=100), flow(start_ps=350), flow(start_ps=200)))) == 250
    assert is_missing(start_skew_ps(FlowSet((flow(start_ps=100), flow(start_ps=None)))))


@pytest.mark.parametrize(
    ("hosts", "limit"),
    [({"max_start_skew_ps": 7}, 7), ({}, 5 * MS), (None, 5 * MS), ({"max_start_skew_ps": None}, 5 * MS)],
)
def test_hosts_may_start_as_far_apart_as_their_site_says(hosts, limit):
    assert start_skew_limit_ps(RunResult({}, {"format": 1, "hosts": hosts})) == limit
