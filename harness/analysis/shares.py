"""The ends of what flows got: the least and the most, Missing when that of any flow is not known."""

from __future__ import annotations

from harness.core.evidence import Missing, highest, lowest
from harness.core.flow_results import FlowSet


def slowest_gbps(flows: FlowSet) -> float | Missing:
    """Return the goodput of the flow that got least, in Gb/s."""
    return lowest(flows.goodputs_gbps)


def fastest_gbps(flows: FlowSet) -> float | Missing:
    """Return the goodput of the flow that got most, in Gb/s."""
    return highest(flows.goodputs_gbps)
