"""How work requests and flows came to their end, as numbers that limits can judge."""

from __future__ import annotations

from typing import Final

from harness.core.evidence import Missing, highest, lowest
from harness.core.flow_results import FlowResult, FlowSet, FlowStatus, Known
from harness.core.result import RunResult
from harness.core.units import MS

STATUS_CODES: Final = {
    name: code
    for code, name in enumerate((
        "SUCCESS", "LOC_LEN_ERR", "LOC_QP_OP_ERR", "LOC_EEC_OP_ERR", "LOC_PROT_ERR", "WR_FLUSH_ERR",
        "MW_BIND_ERR", "BAD_RESP_ERR", "LOC_ACCESS_ERR", "REM_INV_REQ_ERR", "REM_ACCESS_ERR", "REM_OP_ERR",
        "RETRY_EXC_ERR", "RNR_RETRY_EXC_ERR", "LOC_RDD_VIOL_ERR", "REM_INV_RD_REQ_ERR", "REM_ABORT_ERR",
        "INV_EECN_ERR", "INV_EEC_STATE_ERR", "FATAL_ERR", "RESP_TIMEOUT_ERR", "GENERAL_ERR",
    ))
}  # fmt: skip
"""Completion status by name without IBV_WC_: `enum ibv_wc_status` of libibverbs."""


def status_code(flow: FlowResult) -> Known:
    """Return the number of the completion status that a flow ended with: 0 when it is done.

    Missing when it neither completed nor failed, or when its status has no number.
    """
    if flow.status is FlowStatus.DONE:
        return STATUS_CODES["SUCCESS"]
    if flow.status is not FlowStatus.FAILED or flow.error is None:
        return Missing(
            f"flow {flow.name} is {flow.status.value.replace('_', ' ')}: it has no completion status"
        )
    return STATUS_CODES.get(
        flow.error, Missing(f"flow {flow.name} ended with {flow.error}, which has no number")
    )


def failed_after_ps(result: RunResult, name: str) -> Known:
    """Return the time in ps from the posting of the message that failed to its error completion.

    Hosts tell it. Where nobody does, the run ended with the flow if it was the last one, and the time is that
    since the flow's start.
    """
    flow = result.flow(name)
    if flow.status is not FlowStatus.FAILED:
        return Missing(f"flow {name} did not fail")
    told = next((data.get("error_after_ps") for data in result.raw["flows"] if data["name"] == name), None)
    if isinstance(told, int):
        return told
    return flow.busy_ps if result.simulated else Missing(f"nobody tells when flow {name} failed")


def goodput_ratio(flow: FlowResult, other: FlowResult) -> float | Missing:
    """Return the goodput of a flow over that of another; Missing when the other has none."""
    ours, theirs = flow.goodput_gbps, other.goodput_gbps
    if isinstance(ours, Missing) or isinstance(theirs, Missing):
        return ours / theirs
    return ours / theirs if theirs > 0 else Missing(f"flow {other.name} delivered nothing to compare with")


def right_payload_bytes(flow: FlowResult) -> Known:
    """Return the payload that was compared and found right; Missing unless all that was delivered was compared."""
    compared = flow.payload_verified_bytes + flow.payload_mismatched_bytes
    if isinstance(compared, Missing) or isinstance(flow.bytes_delivered, Missing):
        return compared + flow.bytes_delivered
    if compared != flow.bytes_delivered:
        return Missing(f"{compared} of {flow.bytes_delivered} bytes of flow {flow.name} were compared")
    return flow.payload_verified_bytes


def longest_message_ps(flows: FlowSet) -> Known:
    """Return the longest time in ps that a message of some flows took; Missing when one of them has no figure."""
    longest: Known = highest(
        flow.latency if isinstance(flow.latency, Missing) else flow.latency.max_ps for flow in flows
    )
    return longest


def start_skew_ps(flows: FlowSet) -> Known:
    """Return the time in ps between the first and the last start of some flows."""
    starts = [flow.start_ps for flow in flows]
    skew: Known = highest(starts) - lowest(starts)
    return skew


def start_skew_limit_ps(result: RunResult) -> int:
    """Return how far apart hosts may start, in ps: what their site says, else 5 ms (as `Site.max_start_skew`)."""
    hosts = result.raw.get("hosts")
    said = hosts.get("max_start_skew_ps") if isinstance(hosts, dict) else None
    return said if isinstance(said, int) else 5 * MS
