from __future__ import annotations

import csv
import io
from typing import Any

from rich.console import Console

from harness.analysis.traces import flows_csv, sizes_of
from harness.cli.summary import print_summary

MB = 10**6
MS = 10**9


def flow(name: str, *, fct_ps: int | None = 2 * MS, **changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": name,
        "src": "h1:p0",
        "dst": "h9:p0",
        "status": "done" if fct_ps is not None else "unfinished",
        "error": None,
        "start_ps": 1 * MS,
        "end_ps": None if fct_ps is None else 1 * MS + fct_ps,
        "fct_ps": fct_ps,
        "message_bytes": 20 * MB,
        "bytes_delivered": 20 * MB,
        "ecn_marked": 3,
        "cnp_received": 2,
        "packets_retransmitted": 0,
        "qps": [{"index": 0, "udp_sport": 10000}],
    }
    return base | changes


def result(*flows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    port = {"drops": {"wred": 0, "headroom": 0}, "tx_pause": [0] * 8, "ecn_marked": [0] * 8}
    base: dict[str, Any] = {
        "simulated": True,
        "simulator": {"name": "roce-sim", "version": "0.1.0"},
        "ended": "done",
        "error": None,
        "end_ps": 4 * MS,
        "flows": list(flows),
        "ports": {"sw1:e1": port, "h1:p0": port | {"nic": {"cnp_sent": 0}}},
    }
    return base | changes


def printed(given: dict[str, Any]) -> str:
    out = io.StringIO()
    sizes = {flow["name"]: 20 * MB for flow in given["flows"]}
    print_summary(given, sizes, Console(file=out, width=160))
    return out.getvalue()


def test_flows_are_listed_in_order_of_completion() -> None:
    given = result(
        flow("slow", fct_ps=3_000_999_999), flow("stuck", fct_ps=None), flow("fast", fct_ps=2 * MS)
    )

    rows = list(csv.reader(io.StringIO(flows_csv(given, {"slow": 1, "stuck": 2, "fast": 3}))))

    assert rows == [
        ["flow", "src", "dst", "sport", "size_bytes", "start_ns", "fct_ns", "status", "name"],
        ["2", "h1", "h9", "10000", "3", "1000000", "2000000", "done", "fast"],
        ["0", "h1", "h9", "10000", "1", "1000000", "3000999", "done", "slow"],
        ["1", "h1", "h9", "10000", "2", "1000000", "", "unfinished", "stuck"],
    ]


def test_the_size_of_a_flow_counts_messages_and_qps() -> None:
    job = {
        "flows": [
            {"name": "a", "message_bytes": 10, "messages": 3, "qps": 4},
            {"name": "b", "message_bytes": 7},
        ]
    }

    assert sizes_of(job) == {"a": 120, "b": 7}


def test_goodput_is_payload_over_the_time_of_the_flow() -> None:
    assert "80.00 Gb/s" in printed(result(flow("a", fct_ps=2 * MS)))  # 20 MB in 2 ms


def test_totals_add_ports_and_name_the_reasons_of_drops() -> None:
    given = result(flow("a"))
    given["ports"]["sw1:e1"] = {"drops": {"wred": 2, "headroom": 5}, "tx_pause": [0, 0, 0, 7, 0, 0, 0, 0]}
    given["ports"]["sw1:e1"]["ecn_marked"] = [0, 0, 0, 9, 0, 0, 0, 0]
    given["ports"]["h1:p0"]["nic"]["cnp_sent"] = 4

    assert "total: drops 7 (wred 2, headroom 5)   pauses 7   marks 9   CNPs 4" in printed(given)


def test_a_counter_that_is_not_there_is_not_zero() -> None:
    given = result(flow("a"))
    del given["ports"]["sw1:e1"]["drops"]
    given["ports"]["sw1:e1"]["tx_pause"] = None
    given["ports"]["h1:p0"]["nic"] = {}

    assert "drops no data   pauses no data   marks 0   CNPs no data" in printed(given)


def test_a_simulated_result_says_so() -> None:
    assert "SIMULATED" in printed(result(flow("a")))
    assert "SIMULATED" not in printed(result(flow("a"), simulated=False))
    assert "of simulated time" in printed(result(flow("a")))
    assert "of the run" in printed(result(flow("a"), simulated=False))


def test_of_many_flows_the_slowest_are_shown() -> None:
    flows = [flow(f"f{number}", fct_ps=number * MS) for number in range(1, 101)]
    text = printed(result(*flows, flow("stuck", fct_ps=None)))

    assert "stuck" in text
    assert "f100 " in text
    assert "f69 " not in text
    assert "… and 69 faster flows" in text
