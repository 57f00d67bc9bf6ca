"""What was done to packets on the scenario's order, as the devices that did it count it."""

from __future__ import annotations

from harness.core.counters import Counter
from harness.core.evidence import Missing, total
from harness.core.flow_results import Known
from harness.core.result import RunResult


def injected_drops(result: RunResult) -> Known:
    """Return the packets that were dropped on the scenario's order.

    A kind of device that does not offer the counter cannot drop on order, so its ports are left out; one that
    offers it and lacks it makes the figure Missing.
    """
    tables = {"host": result.counters.hosts, "switch": result.counters.switches}
    said = result.raw.get("not_offered") or {}
    able = [table for kind, table in tables.items() if Counter.DROPS_INJECTED.key not in said.get(kind, ())]
    if not able:
        return Missing("no device of this fabric drops packets on order")
    return total(table[Counter.DROPS_INJECTED] for table in able)
