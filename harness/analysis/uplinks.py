"""What the links between switches carried: which of them, how evenly, and how much of it could be told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.core.counters import Counter
from harness.core.evidence import Missing, highest, lowest, total
from harness.core.flow_results import Known
from harness.core.result import RunResult


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


def busiest_link_bytes(result: RunResult) -> Known:
    """Return the bytes of frames sent by the port of the fabric that sent most."""
    return highest(result.counters.by_port(Counter.TX_BYTES).values())


def busiest_link_packets(result: RunResult) -> Known:
    """Return the frames sent by the port of the fabric that sent most."""
    return highest(result.counters.by_port(Counter.TX_PACKETS).values())


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
