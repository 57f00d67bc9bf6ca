"""Shape, load and pauses of the fabric of a run, taken from its job and its counters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.core.evidence import Missing
from harness.core.network import FlowEnds, LinkUse, NetworkRecord

if TYPE_CHECKING:
    from harness.core.result import RunResult

# A drawing of more links is a grey area on a page, and the record of every run would carry them.
MAX_LINKS = 600
MAX_FLOWS = 64


def network_of(result: RunResult) -> NetworkRecord | None:
    """Return what a drawing needs; None for a result without a shape."""
    nodes = result.job.get("nodes") or ()
    if not nodes:
        return None
    names = {
        kind: tuple(str(node["name"]) for node in nodes if node.get("kind") == kind)
        for kind in ("host", "switch")
    }
    links, flows = result.job.get("links") or (), result.job.get("flows") or ()
    if len(links) > MAX_LINKS:
        told = f"{len(names['host'])} hosts and {len(links)} links are too many to draw"
        return NetworkRecord((), (), left_out=told)
    more = len(flows) - MAX_FLOWS
    return NetworkRecord(
        hosts=names["host"],
        switches=names["switch"],
        links=tuple(_link(link, result) for link in links),
        flows=tuple(_flows(flows[:MAX_FLOWS], result)),
        left_out=f"{more} more flows" if more > 0 else "",
    )


def _link(link: Mapping[str, Any], result: RunResult) -> LinkUse:
    ports, ends = result.raw.get("ports") or {}, (str(link["a"]), str(link["b"]))
    found = [ports.get(end) or {} for end in ends]
    end_ps, rate = result.end_ps, int(link["rate_bps"])
    seconds = 0.0 if isinstance(end_ps, Missing) else end_ps / 1e12
    load = [_part(_number(port.get("tx_bytes")), seconds * rate / 8) for port in found]
    paused = [_part(_most(port.get("rx_pause_duration_ps")), seconds * 1e12) for port in found]
    dropped = [_sum(port.get("drops")) for port in found]
    delay = int(link.get("delay_ps") or 0)
    return LinkUse(*ends, rate, delay, (load[0], load[1]), (paused[0], paused[1]), (dropped[0], dropped[1]))


def _flows(flows: Sequence[Mapping[str, Any]], result: RunResult) -> Iterator[FlowEnds]:
    ended = {each.get("name"): str(each.get("status") or "") for each in result.raw.get("flows") or ()}
    for flow in flows:
        yield FlowEnds(
            str(flow.get("name")), str(flow.get("src")), str(flow.get("dst")), ended.get(flow.get("name"), "")
        )


def _part(amount: float | None, whole: float) -> float | None:
    """To five digits, so that a record stays small; None where nothing is known."""
    return None if amount is None or whole <= 0 else float(f"{amount / whole:.5g}")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _most(values: object) -> float | None:
    """The highest of a counter by priority; None when any of them is missing."""
    if (
        not isinstance(values, list)
        or not values
        or not all(isinstance(value, int | float) for value in values)
    ):
        return None
    return float(max(values))


def _sum(drops: object) -> int | None:
    """All reasons together; None when any of them is missing."""
    if not isinstance(drops, dict) or not all(isinstance(value, int) for value in drops.values()):
        return None
    return sum(drops.values())
