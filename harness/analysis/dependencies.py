"""Whether transfers that wait for others did wait."""

from __future__ import annotations

from collections.abc import Mapping

from harness.analysis.uplinks import PS_BITS_PER_BYTE, link_rates_bps
from harness.core.evidence import Missing, total
from harness.core.flow_results import FlowResult, Known
from harness.core.result import RunResult


def impatient_flows(result: RunResult) -> Known:
    """Return how many flows began before what they waited for can have arrived.

    A transfer cannot be there before its first bit has left its source and all its payload has passed the link of
    its source; a flow that waits for it and begins sooner did not wait. Missing when no flow waits for any.
    """
    asked = {flow["name"]: flow for flow in result.job.get("flows") or ()}
    waiting = [flow for flow in result.flows if asked.get(flow.name, {}).get("after")]
    if not waiting:
        return Missing("no flow waits for another")
    found = {flow.name: flow for flow in result.flows}
    rates = link_rates_bps(result.job)
    return total(
        _began_too_soon(flow, [found[name] for name in asked[flow.name]["after"] if name in found], rates)
        for flow in waiting
    )


def _began_too_soon(flow: FlowResult, before: list[FlowResult], rates: Mapping[str, int]) -> Known:
    for other in before:
        ready = _earliest_end_ps(other, rates)
        if isinstance(ready, Missing):
            return ready
        if isinstance(flow.start_ps, Missing):
            return flow.start_ps
        if flow.start_ps < ready:
            return 1
    return 0


def _earliest_end_ps(flow: FlowResult, rates: Mapping[str, int]) -> Known:
    rate = rates.get(flow.src)
    if rate is None:
        return Missing(f"the rate of {flow.src} is not known")
    ready: Known = flow.start_ps + flow.bytes_sent * PS_BITS_PER_BYTE // rate
    return ready
