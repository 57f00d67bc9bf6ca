"""UDP source ports of RoCEv2 queue pairs: what a flow label makes of them.

Source: `rdma_flow_label_to_udp_sport` of the Linux kernel, which follows annex A17 of the InfiniBand
Architecture: the upper six bits of the label folded into its lower fourteen, in the range from 0xC000.
"""

from __future__ import annotations

from harness.core.evidence import Missing, total
from harness.core.flow_results import Known
from harness.core.result import RunResult


def udp_source_port(flow_label: int) -> int:
    """Return the source port of a queue pair with this flow label."""
    return ((flow_label & 0x3FFF) ^ (flow_label >> 14)) | 0xC000


def ports_by_label(result: RunResult) -> Known:
    """Return how many queue pairs of flows with a flow label have the source port that it makes."""
    labels = {flow["name"]: flow.get("flow_label") for flow in result.job.get("flows") or ()}
    return total(
        _has_port(qp.get("udp_sport"), flow.name, label)
        for flow in result.flows
        if (label := labels.get(flow.name)) is not None
        for qp in flow.qps
    )


def _has_port(port: object, flow: str, label: int) -> Known:
    if not isinstance(port, int):
        return Missing(f"nobody tells the UDP source ports of flow {flow}")
    return int(port == udp_source_port(label))
