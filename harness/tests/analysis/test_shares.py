from __future__ import annotations

from typing import Any

import pytest

from harness.analysis.shares import fastest_gbps, slowest_gbps
from harness.core.evidence import is_missing
from harness.core.flow_results import FlowSet, flow_result

MS = 10**9


def flows(*delivered: Any) -> FlowSet:
    return FlowSet(
        tuple(
            flow_result(
                {"name": f"f{i}", "src": "a:p0", "dst": "b:p0", "status": "done", "start_ps": 0, "end_ps": MS}
                | {"bytes_delivered": size},
                MS,
            )
            for i, size in enumerate(delivered)
        )
    )


def test_the_ends_are_the_least_and_the_most() -> None:
    found = flows(2_000_000, 1_000_000, 3_000_000)

    assert slowest_gbps(found) == pytest.approx(8)
    assert fastest_gbps(found) == pytest.approx(24)


def test_one_flow_that_is_not_known_leaves_no_ends() -> None:
    found = flows(2_000_000, None)

    assert is_missing(slowest_gbps(found))
    assert is_missing(fastest_gbps(found))
