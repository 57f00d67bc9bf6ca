"""What the links between switches carried: which of them, how evenly, and how much of it could be told apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.core.counters import Counter
from harness.core.evidence import Missing, highest, lowest, total
from harness.core.flow_results import Known
from harness.core.result import RunResult

PS_BITS_PER_BYTE = 8 * 10**12


def uplinks(result: RunResult, switch: str) -> tuple[str, ...]:
    """Return the ports of a switch whose links lead to other switches, in the order of the job's links."""
    switches = {node["name"] for node in result.job.get("nodes") or () if node.get("kind") == "switch"}
    found = []
    for link in result.job.get("links") or ():
        for near, far in ((link["a"], link["b"]), (link["b"], link["a"])):
            if _node(near) == switch and {_node(near), _node(far)} <= switches:
                found.append(near)
    return tuple(found)


def used_uplinks(result: RunResult, switch: str) -> Known:
    """Return how many uplinks of a switch sent a frame at all."""
    return _over_uplinks(result, switch, lambda sent: total(_one_if_any(each) for each in sent))


def busiest_uplink_packets(result: RunResult, switch: str) -> Known:
    """Return the frames sent by the uplink of a switch that sent most."""
    return _over_uplinks(result, switch, highest)


def idlest_uplink_packets(result: RunResult, switch: str) -> Known:
    """Return the frames sent by the uplink of a switch that sent least."""
    return _over_uplinks(result, switch, lowest)


def uplink_packets(result: RunResult, switch: str) -> Known:
    """Return the frames sent by all uplinks of a switch."""
    return _over_uplinks(result, switch, total)


def part_of_packets(result: RunResult, other: RunResult, port: str) -> float | Missing:
    """Return the frames that a port sent in a run over those in another; Missing when it sent none there."""
    ours, theirs = (run.counters.at(port)[Counter.TX_PACKETS] for run in (result, other))
    if isinstance(ours, Missing) or isinstance(theirs, Missing):
        return ours / theirs
    return ours / theirs if theirs > 0 else Missing(f"{port} sent nothing to compare with")


def time_over_busiest_link(result: RunResult, gap_bytes: int) -> float | Missing:
    """Return the time of all flows over that which the busiest link needs, at its nominal rate, for what it carried.

    `gap_bytes` follow each frame on a link. Links of which no counters are kept are left out.
    """
    carried = result.counters.by_port(Counter.TX_BYTES)
    frames = result.counters.by_port(Counter.TX_PACKETS)
    rates = link_rates_bps(result.job)
    needed: float | Missing = highest(
        (size + gap_bytes * frames[port]) * PS_BITS_PER_BYTE / rates[port]
        for port, size in carried.items()
        if port in rates
    )
    if isinstance(needed, Missing) or isinstance(result.flows.busy_ps, Missing):
        return result.flows.busy_ps / needed
    return result.flows.busy_ps / needed if needed > 0 else Missing("no link carried anything")


def link_rates_bps(job: Mapping[str, Any]) -> dict[str, int]:
    """Return the nominal rate of the link of each port."""
    return {end: link["rate_bps"] for link in job.get("links") or () for end in (link["a"], link["b"])}


def source_ports(result: RunResult, flow: str) -> Known:
    """Return how many different UDP source ports the QPs of a flow have; Missing where nobody tells."""
    ports = [qp.get("udp_sport") for qp in result.flow(flow).qps]
    if not ports or not all(isinstance(port, int) for port in ports):
        return Missing(f"nobody tells the UDP source ports of flow {flow}")
    return len(set(ports))


def _over_uplinks(result: RunResult, switch: str, reduce: Callable[[list[Known]], Any]) -> Known:
    sent = [result.counters.at(port)[Counter.TX_PACKETS] for port in uplinks(result, switch)]
    figure: Known = reduce(sent) if sent else Missing(f"switch {switch} has no link to another switch")
    return figure


def _one_if_any(count: Known) -> Known:
    return count if isinstance(count, Missing) else int(count > 0)


def _node(port: str) -> str:
    return port.partition(":")[0]
