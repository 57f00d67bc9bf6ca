"""What ``roce run`` prints of a result. Works on the result as the format documents it.

A key that the result does not have is shown as "no data", never as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from harness.analysis.traces import node_of
from harness.core.units import S, format_bytes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Result = Mapping[str, Any]

NO_DATA = "no data"
MAX_FLOW_ROWS = 32
"""Flows listed one by one; beyond, the table shows the slowest and says how many are left out."""


def print_summary(result: Result, sizes: Mapping[str, int], console: Console) -> None:
    """Print flows, totals, how it ended, and that it is simulated when it is."""
    console.print(_flow_table(result, sizes))
    left_out = len(result["flows"]) - MAX_FLOW_ROWS
    if left_out > 0:
        console.print(f"… and {left_out} faster flows; all are in flows.csv", style="dim")
    console.print(_totals(result), markup=False)
    clock = "simulated time" if result.get("simulated") else "the run"
    console.print(f"ended: {result['ended']} at {_time(result['end_ps'])} of {clock}", markup=False)
    if result.get("simulated"):
        name = result.get("simulator", {})
        console.print(
            f"[bold reverse] SIMULATED [/] by {name.get('name')} {name.get('version')}: no hardware"
        )


def _flow_table(result: Result, sizes: Mapping[str, int]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table("flow", "from", "to", "status", box=None, padding=(0, 2), pad_edge=False)
    for heading in ("size", "FCT", "goodput", "marked", "CNPs", "retransmitted"):
        table.add_column(heading, justify="right")
    for flow in _slowest(result["flows"]):
        status = flow["status"] if not flow.get("error") else f"{flow['status']} {flow['error']}"
        colour = "green" if flow["status"] == "done" else "red"
        counts = (_count(flow, key) for key in ("ecn_marked", "cnp_received", "packets_retransmitted"))
        cells = (
            _wanted(sizes[flow["name"]]),
            _time(flow["fct_ps"]),
            _goodput(flow, result["end_ps"]),
            *counts,
        )
        names = (escape(flow["name"]), escape(node_of(flow["src"])), escape(node_of(flow["dst"])))
        table.add_row(*names, f"[{colour}]{status}[/]", *cells)
    return table


def _slowest(flows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All flows while they are few, else the slowest: unfinished first, then by completion time."""
    if len(flows) <= MAX_FLOW_ROWS:
        return flows
    return sorted(flows, key=lambda flow: 2**63 if flow["fct_ps"] is None else flow["fct_ps"])[
        : -MAX_FLOW_ROWS - 1 : -1
    ]


def _totals(result: Result) -> str:
    ports = list(result["ports"].values())
    hosts = [port["nic"] for port in ports if "nic" in port]
    reasons = _reasons(ports)
    parts = (
        f"drops {_sum(port.get('drops') for port in ports)}{reasons}",
        f"pauses {_sum(port.get('tx_pause') for port in ports)}",
        f"marks {_sum(port.get('ecn_marked') for port in ports)}",
        f"CNPs {_sum(nic.get('cnp_sent') for nic in hosts)}",
    )
    return "total: " + "   ".join(parts)


def _sum(values: Iterable[object]) -> str:
    """Add numbers, lists of numbers and objects of numbers; one that is absent makes the sum unknown."""
    total, seen = 0, False
    for value in values:
        if value is None:
            return NO_DATA
        seen = True
        if isinstance(value, Mapping):
            total += sum(value.values())
        else:
            total += sum(value) if isinstance(value, list) else int(str(value))
    return str(total) if seen else NO_DATA


def _reasons(ports: list[dict[str, Any]]) -> str:
    """The reasons of drops that occurred, with their counts, in brackets."""
    counts: dict[str, int] = {}
    for port in ports:
        for reason, number in (port.get("drops") or {}).items():
            counts[reason] = counts.get(reason, 0) + number
    named = [f"{reason} {number}" for reason, number in counts.items() if number]
    return f" ({', '.join(named)})" if named else ""


def _goodput(flow: Mapping[str, Any], end_ps: int) -> str:
    """Payload delivered over the time the flow ran, in Gb/s."""
    if flow["start_ps"] is None:
        return "–"
    span = flow["fct_ps"] if flow["fct_ps"] is not None else end_ps - flow["start_ps"]
    return f"{flow['bytes_delivered'] * 8 * S / span / 1e9:.2f} Gb/s" if span > 0 else "–"


def _wanted(size: int) -> str:
    return format_bytes(size) if size else "until the end"


def _count(flow: Mapping[str, Any], key: str) -> str:
    return str(flow[key]) if flow.get(key) is not None else NO_DATA


def _time(picoseconds: int | None) -> str:
    """Three decimals in a readable unit; a dash for a time that is not there."""
    if picoseconds is None:
        return "–"
    for size, unit in ((10**12, "s"), (10**9, "ms"), (10**6, "µs"), (10**3, "ns")):
        if picoseconds >= size:
            return f"{picoseconds / size:,.3f} {unit}"
    return f"{picoseconds} ps"
