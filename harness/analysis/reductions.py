"""What became of the sums of a collective: what each rank found in its memory at the end of the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.core.evidence import Missing, total
from harness.core.flow_results import Known
from harness.core.result import RunResult


def checked_ranks(result: RunResult) -> int:
    """Return how many buffers were compared with the sum over all ranks: one a rank and channel."""
    return len(_checks(result))


def right_sum_bytes(result: RunResult) -> Known:
    """Return the bytes of all buffers that hold right sums; Missing where nobody looked."""
    return _total(result, ("bytes", 1), ("wrong", -ELEMENT_BYTES))


def wrong_sums(result: RunResult) -> Known:
    """Return how many elements of all buffers are not the sum over all ranks; Missing where nobody looked."""
    return _total(result, ("wrong", 1))


ELEMENT_BYTES = 4
"""Both element types, int32 and float32, have so many."""


def _total(result: RunResult, *parts: tuple[str, int]) -> Known:
    checks = _checks(result)
    if not checks:
        return Missing("no rank looked at its sums")
    return total(value for name, check in checks.items() for value in _values(name, check, parts))


def _values(name: str, check: Any, parts: tuple[tuple[str, int], ...]) -> Iterator[Known]:
    for key, factor in parts:
        value = check.get(key) if isinstance(check, dict) else None
        yield value * factor if type(value) is int else Missing(f"{key} of {name} is not in the result")


def _checks(result: RunResult) -> dict[str, Any]:
    hosts = result.raw.get("hosts")
    found = hosts.get("reductions") if isinstance(hosts, dict) else None
    return found if isinstance(found, dict) else {}
