"""A result as docs/job-format.md describes it, made by hand for a scenario's job."""

from __future__ import annotations

import copy

PRIO_LISTS = [
    "tx_packets_prio",
    "tx_bytes_prio",
    "rx_packets_prio",
    "rx_bytes_prio",
    "tx_pause",
    "tx_resume",
    "rx_pause",
    "rx_resume",
    "rx_pause_duration_ps",
    "tx_pause_duration_ps",
    "pause_transitions",
    "ecn_marked",
    "wred_dropped",
    "queue_max_bytes",
    "ingress_max_bytes",
    "headroom_max_bytes",
    "watchdog_detected",
    "watchdog_restored",
]
REASONS = [
    "ingress_limit",
    "headroom",
    "egress_limit",
    "wred",
    "link_down",
    "bit_error",
    "injected",
    "watchdog",
    "no_route",
    "rx_buffer",
]
NIC = [
    "ecn_marked_rx",
    "cnp_sent",
    "cnp_received",
    "cnp_handled",
    "cnp_ignored",
    "out_of_sequence",
    "packet_seq_err",
    "implied_nak_seq_err",
    "local_ack_timeout",
    "duplicate_request",
    "rnr_nak_sent",
    "rnr_nak_received",
    "icrc_errors",
    "retransmitted_packets",
    "retry_exhausted",
    "rnr_retry_exhausted",
    "rx_discards",
    "acks_sent",
    "acks_received",
]
FLOW_NUMBERS = [
    "bytes_acked",
    "packets_sent",
    "packets_delivered",
    "packets_dropped",
    "packets_retransmitted",
    "packets_duplicate",
    "packets_out_of_order",
    "packets_in_flight",
    "ecn_marked",
    "cnp_sent",
    "cnp_received",
    "rate_cuts",
    "rate_increases",
    "naks_sent",
    "naks_received",
    "timeouts",
    "rnr_naks_sent",
    "rnr_naks_received",
]


PORT_PACKETS, PORT_BYTES = 10**6, 10**9
"""What each port sent and received."""


def port(*, is_host, rate_bps=10**11):
    """Return a port that took part, with the same counters as every other: both ends of a link agree."""
    made = {"rate_bps": rate_bps}
    made |= {key: [0, 0, 0, 5, 0, 0, 1, 0] for key in PRIO_LISTS}
    for key, count in (("packets", PORT_PACKETS), ("bytes", PORT_BYTES)):
        made |= {f"tx_{key}": count, f"rx_{key}": count}
        made |= {f"{way}_{key}_prio": [0, 0, 0, count - 2, 0, 0, 2, 0] for way in ("tx", "rx")}
    made |= {key: [0] * 8 for key in ("rx_pause_duration_ps", "pause_transitions", "wred_dropped")}
    made["ecn_marked"] = [0, 0, 0, 0 if is_host else 1, 0, 0, 0, 0]
    made["drops"] = dict.fromkeys(REASONS, 0)
    acknowledged = {"acks_sent": 1, "acks_received": 1}
    return made | ({"nic": {**dict.fromkeys(NIC, 0), **acknowledged}} if is_host else {})


def flow(wanted, duration_ps=10**9):
    """Return a flow that went well."""
    messages = wanted["messages"] * wanted["qps"]
    size = wanted["message_bytes"] * messages
    packets = -(-size // 1024)
    latency = dict.fromkeys(("min_ps", "p50_ps", "p90_ps", "p99_ps", "p999_ps", "max_ps"), duration_ps)
    made = dict.fromkeys(FLOW_NUMBERS, 0)
    made |= {
        "name": wanted["name"], "src": wanted["src"], "dst": wanted["dst"], "status": "done", "error": None,
        "start_ps": 0, "end_ps": duration_ps, "fct_ps": duration_ps, "message_bytes": wanted["message_bytes"],
        "messages_completed": messages, "bytes_sent": size, "bytes_delivered": size, "bytes_acked": size,
        "packets_sent": packets, "packets_delivered": packets, "qps": [],
        "latency": {"count": messages, "mean_ps": float(duration_ps), **latency},
    }  # fmt: skip
    return made


def result(job, duration_ps=10**9):
    hosts = {node["name"] for node in job["nodes"] if node["kind"] == "host"}
    ends = [end for link in job["links"] for end in (link["a"], link["b"])]
    return copy.deepcopy(
        {
            "format": 1,
            "simulated": True,
            "simulator": {"name": "roce-sim", "version": "0.1.0"},
            "job": {"name": job["name"], "seed": job["seed"]},
            "ended": "done" if job["until"] == "done" else "duration",
            "error": None,
            "end_ps": duration_ps,
            "flows": [flow(wanted, duration_ps) for wanted in job["flows"]],
            "ports": {end: port(is_host=end.split(":")[0] in hosts) for end in ends},
            "switches": {},
            "series": None,
            "conservation": {"ok": True},
            "stats": {},
        }
    )
