"""Flow completion records in the columns that researchers' scripts read: `flows.csv`.

Works on a result as docs/job-format.md describes it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

PS_PER_NS = 1000
FLOWS_FILE = "flows.csv"
COLUMNS = ("flow", "src", "dst", "sport", "size_bytes", "start_ns", "fct_ns", "status", "name")


def sizes_of(job: Mapping[str, Any]) -> dict[str, int]:
    """Payload bytes that each flow of a job has to carry; 0 for one that sends until the end."""
    flows = job["flows"]
    return {
        flow["name"]: flow["message_bytes"] * flow.get("messages", 1) * flow.get("qps", 1) for flow in flows
    }


def flows_csv(result: Mapping[str, Any], sizes: Mapping[str, int]) -> str:
    """One line a flow, in the order in which they completed; the others follow, without completion times.

    ``flow`` is the place of the flow in the job, from 0, ``src`` and ``dst`` are node names, ``sport`` is the
    UDP source port of the first QP, ``size_bytes`` the payload that the flow had to carry; times are in whole
    nanoseconds, the fraction cut off as the ns-3 model does.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for index, flow in sorted(enumerate(result["flows"]), key=lambda numbered: _end(numbered[1])):
        qps = flow.get("qps") or []
        sport = qps[0].get("udp_sport", "") if qps else ""
        ends = (node_of(flow["src"]), node_of(flow["dst"]))
        times = (_whole_ns(flow["start_ps"]), _whole_ns(flow["fct_ps"]))
        writer.writerow((index, *ends, sport, sizes[flow["name"]], *times, flow["status"], flow["name"]))
    return out.getvalue()


def node_of(port: str) -> str:
    """Return the node of a port: `h1` of `h1:p0`."""
    return port.partition(":")[0]


def _end(flow: Mapping[str, Any]) -> int:
    """When a flow completed; never, for one that did not."""
    return flow["end_ps"] if flow["end_ps"] is not None else 2**63


def _whole_ns(picoseconds: int | None) -> int | str:
    return "" if picoseconds is None else picoseconds // PS_PER_NS
