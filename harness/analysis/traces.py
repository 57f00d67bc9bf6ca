"""Flow completion records in the columns that researchers' scripts read: `flows.csv`.

One line a completed flow, in completion order: `flow` is the index in the job, `src` and `dst` are node
names, `sport` the UDP source port of the first QP, sizes are payload bytes, times whole nanoseconds
(picoseconds with the fraction dropped, as the ns-3 model prints them). Flows that did not complete have no
line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

PS_PER_NS = 1000
FLOWS_FILE = "flows.csv"


@dataclass(frozen=True, slots=True)
class FlowRow:
    """A completed flow; the field names are the header of the file."""

    flow: int
    src: str
    dst: str
    sport: int
    size_bytes: int
    start_ns: int
    fct_ns: int


def flow_rows(result: Mapping[str, Any]) -> list[FlowRow]:
    """Rows for the flows of a result (format 1 of docs/job-format.md) whose status is `done`."""
    done = [(index, flow) for index, flow in enumerate(result["flows"]) if flow["status"] == "done"]
    done.sort(key=lambda item: (item[1]["end_ps"], item[0]))
    return [_row(index, flow) for index, flow in done]


def flows_csv(result: Mapping[str, Any]) -> str:
    """Text of `flows.csv` for a result, with its header line."""
    header = ",".join(field.name for field in fields(FlowRow))
    lines = [",".join(map(str, astuple(row))) for row in flow_rows(result)]
    return "\n".join([header, *lines]) + "\n"


def write_flows_csv(result: Mapping[str, Any], folder: Path) -> Path:
    """Write `flows.csv` into an existing folder and return its path."""
    path = folder / FLOWS_FILE
    path.write_text(flows_csv(result), encoding="utf-8")
    return path


def _row(index: int, flow: Mapping[str, Any]) -> FlowRow:
    first_qp = flow["qps"][0]
    return FlowRow(
        flow=index,
        src=flow["src"].partition(":")[0],
        dst=flow["dst"].partition(":")[0],
        sport=first_qp["udp_sport"],
        size_bytes=flow["bytes_delivered"],
        start_ns=flow["start_ps"] // PS_PER_NS,
        fct_ns=flow["fct_ps"] // PS_PER_NS,
    )
