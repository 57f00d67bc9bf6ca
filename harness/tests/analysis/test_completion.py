from __future__ import annotations

from typing import Any

import pytest

from harness.analysis.completion import STATUS_CODES, failed_after_ps, start_skew_ps, status_code
from harness.core.evidence import is_missing
from harness.core.flow_results import FlowResult, FlowSet, flow_result


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


def test_time_to_failure_is_that_of_the_first_queue_pair_that_failed() -> None:
    qps = [
        {"status": "done", "end_ps": 150},
        {"status": "failed", "end_ps": 700},
        {"status": "failed", "end_ps": 400},
    ]
    assert failed_after_ps(flow(status="failed", qps=qps)) == 300


def test_time_to_failure_is_that_of_the_run_where_nobody_tells() -> None:
    assert failed_after_ps(flow(status="failed", qps=[{"status": "failed", "end_ps": None}])) == 800


def test_a_flow_that_did_not_fail_has_no_time_to_failure() -> None:
    assert is_missing(failed_after_ps(flow()))


def test_start_skew_is_between_the_first_and_the_last_start() -> None:
    assert start_skew_ps(FlowSet((flow(start_ps=100), flow(start_ps=350), flow(start_ps=200)))) == 250
    assert is_missing(start_skew_ps(FlowSet((flow(start_ps=100), flow(start_ps=None)))))
