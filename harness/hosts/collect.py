"""From what a run on hosts showed to a result of docs/job-format.md.

What nobody knows is null or absent, never 0. Instants of hosts are mapped to the controller's clock; durations
are those of the one host that measured both ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from harness.core.job import FORMAT
from harness.core.site import Site
from harness.hosts.clock import ClockMap, start_skew_ns
from harness.hosts.observed import Observed
from harness.hosts.plan import is_reliable
from harness.hosts.series import Known, write_series

Json = dict[str, Any]

UNKNOWN_OF_FLOWS = (
    "packets_sent", "packets_delivered", "packets_dropped", "packets_retransmitted", "packets_duplicate",
    "packets_out_of_order", "packets_in_flight", "ecn_marked", "cnp_sent", "cnp_received", "rate_cuts",
    "rate_increases", "naks_sent", "naks_received", "timeouts", "rnr_naks_sent", "rnr_naks_received",
)  # fmt: skip
"""Keys of a flow that devices count by port and not by flow."""

INTEGRITY = ("checked", "lost", "duplicated", "corrupted", "reordered")
"""What the checksums and numbers of messages tell of them."""

ELEMENT_BYTES = 4
"""Size of the elements of a reduction: int32 and float32."""

NOT_KNOWN: Mapping[str, Any] = {}
"""The result of an end that nobody could ask."""


def result_of_hosts(
    job: Mapping[str, Any], seen: Observed, site: Site, version: str, folder: Path | None
) -> Json:
    """Return the result of a run; series are written into `folder` when the job samples."""
    clocks = seen.clocks
    flows = [_flow(flow, seen, clocks) for flow in job["flows"]]
    ended = _ended(job, flows, seen.dark)
    end_ps = _end_of_run(job, flows, ended)
    return {
        "format": FORMAT,
        "simulated": False,
        "executor": {"name": "hosts", "version": version},
        "job": {"name": job["name"], "seed": job["seed"]},
        "ended": ended,
        "error": None,
        "end_ps": end_ps,
        "flows": flows,
        "ports": _ports(job, seen),
        "switches": {},
        "not_offered": {kind: list(keys) for kind, keys in seen.not_offered.items()},
        "not_reached": sorted({*seen.dark, *seen.unnamed}),
        "series": _series(job, seen, end_ps, folder),
        "hosts": _hosts(seen, clocks, site),
    }


def _flow(flow: Mapping[str, Any], seen: Observed, clocks: Mapping[str, ClockMap]) -> Json:
    name, host = flow["name"], flow["src"].partition(":")[0]
    src = seen.ends.get(f"{name}/src", NOT_KNOWN)
    dst = seen.ends.get(f"{name}/dst", NOT_KNOWN)
    again_src = seen.recovered.get(f"{name}/src")
    again_dst = seen.recovered.get(f"{name}/dst", NOT_KNOWN)
    # after a recovery the messages went once more: data and its checks are those of that go
    data_src, data_dst = (src, dst) if again_src is None else (again_src, again_dst)
    return {
        "name": name, "src": flow["src"], "dst": flow["dst"],
        **_fate(src, dst),
        **_times(src, host, seen.t0_ns, clocks),
        "message_bytes": None if (flow.get("load") or {}).get("sizes") else flow["message_bytes"],
        **dict.fromkeys(UNKNOWN_OF_FLOWS),
        **_payload(flow, data_src, data_dst),
        **_reduced(flow, seen.reductions),
        **_recovery(again_src),
        "rate_reached": data_src.get("rate_reached"),
        "latency": data_src.get("latencies"),
        **_native_figures(src, dst, data_src, data_dst),
        "qps": _qps(src, host, seen, clocks),
        "perftest": src.get("perftest"),
    }  # fmt: skip


def _fate(src: Mapping[str, Any], dst: Mapping[str, Any]) -> Json:
    """Return how a flow ended, as its requester saw it; one whose requester is gone is unfinished."""
    told_ns = src.get("told_ns")
    return {
        "status": src.get("status", "unfinished"),
        "error": src.get("error"),
        "vendor_err": src.get("vendor_err"),
        "target_error": dst.get("error"),
        "error_after_ps": None if told_ns is None else told_ns * 1000,
    }


def _times(src: Mapping[str, Any], host: str, t0_ns: int, clocks: Mapping[str, ClockMap]) -> Json:
    start, end = src.get("start_mono_ns"), src.get("end_mono_ns")
    start_ps = None if start is None else _since_start_ps(clocks[host], start, t0_ns)
    fct_ps = None
    if src.get("status") == "done" and start is not None and end is not None:
        fct_ps = (end - start) * 1000
    end_ps = None if fct_ps is None or start_ps is None else start_ps + fct_ps
    return {"start_ps": start_ps, "end_ps": end_ps, "fct_ps": fct_ps}


def _since_start_ps(clock: ClockMap, host_ns: int, t0_ns: int) -> int:
    """Return ps since the start of the run; the error of the clocks must not put anything before it."""
    return max(0, clock.to_controller(host_ns) - t0_ns) * 1000


def _payload(flow: Mapping[str, Any], src: Mapping[str, Any], dst: Mapping[str, Any]) -> Json:
    checker = src if src.get("payload_verified_bytes") is not None else dst
    return {
        "messages_completed": src.get("messages_completed"),
        "bytes_sent": src.get("bytes_sent"),
        "bytes_acked": src.get("bytes_acked"),
        "bytes_delivered": _delivered(flow, src, dst),
        "payload_verified_bytes": checker.get("payload_verified_bytes"),
        "payload_mismatched_bytes": checker.get("payload_mismatched_bytes"),
        "first_mismatch": checker.get("first_mismatch"),
        "immediates_wrong": dst.get("immediates_wrong"),
    }


def _native_figures(
    src: Mapping[str, Any], dst: Mapping[str, Any], data_src: Mapping[str, Any], data_dst: Mapping[str, Any]
) -> Json:
    """Return what only native generators know of a flow; nothing when neither end was one."""
    if "idle_gaps" not in src and "integrity" not in dst:
        return {}
    checked = data_dst.get("integrity") or data_src.get("integrity") or NOT_KNOWN
    gaps, rates = src.get("idle_gaps") or NOT_KNOWN, src.get("interval_rate_bps") or NOT_KNOWN
    return {
        **{f"messages_{key}": checked.get(key) for key in INTEGRITY},
        "idle_gaps": gaps.get("count"),
        "idle_longest_ps": _in_ps(gaps.get("longest_ns")),
        "idle_total_ps": _in_ps(gaps.get("total_ns")),
        **{f"interval_rate_{key}_bps": _whole(rates.get(key)) for key in ("min", "mean", "max")},
        "histogram": src.get("histogram"),
    }


def _in_ps(value_ns: Any) -> int | None:
    return None if value_ns is None else int(value_ns) * 1000


def _whole(value: Any) -> int | None:
    return None if value is None else round(value)


def _reduced(flow: Mapping[str, Any], checked: Mapping[str, Any]) -> Json:
    """Return what the end of a reduction says of one of its transfers; nothing for other flows.

    Only the whole buffer of a rank can be checked. When it is right, so was all that came in; when it is not,
    the transfer into the first wrong element is charged with all of them, and of the others nothing is known.
    """
    part = flow.get("reduce")
    found = None if part is None else checked.get(f"{part['group']}/{part['dst_rank']}")
    if part is None or found is None:
        return {}
    if found["expected_ok"] is True:
        return {"payload_verified_bytes": flow["message_bytes"], "payload_mismatched_bytes": 0}
    first = (found.get("first_wrong") or 0) * ELEMENT_BYTES - part["offset"]
    guilty = 0 <= first < flow["message_bytes"]
    wrong = max(1, found["wrong"] or 0) * ELEMENT_BYTES
    return {"payload_verified_bytes": None, "payload_mismatched_bytes": wrong if guilty else None}


def _delivered(flow: Mapping[str, Any], src: Mapping[str, Any], dst: Mapping[str, Any]) -> int | None:
    """Return the payload that arrived: as counted where it did, else as acknowledged on a reliable transport."""
    for said in (dst.get("bytes_delivered"), src.get("bytes_delivered")):
        if isinstance(said, int):
            return said
    acked = src.get("bytes_acked")
    return acked if is_reliable(flow) and isinstance(acked, int) else None


def _recovery(again: Mapping[str, Any] | None) -> Json:
    """Return how a failed flow came back; a flow whose second go failed has not recovered."""
    if again is None:
        return {"recovery_ps": None, "recovery_local_ps": None, "recovered": None}
    is_back = again.get("status") == "done"
    figures = {
        key: None if not is_back or again.get(source) is None else again[source] * 1000
        for key, source in (("recovery_ps", "recovery_ns"), ("recovery_local_ps", "recovery_local_ns"))
    }
    return {**figures, "recovered": {key: again.get(key) for key in ("status", "error", "vendor_err")}}


def _qps(src: Mapping[str, Any], host: str, seen: Observed, clocks: Mapping[str, ClockMap]) -> list[Json]:
    def instant(value: int | None) -> int | None:
        return None if value is None else _since_start_ps(clocks[host], value, seen.t0_ns)

    return [
        {
            "index": qp.get("index"), "qpn": qp.get("qpn"), "remote_qpn": qp.get("remote_qpn"),
            "udp_sport": qp.get("udp_sport"), "start_ps": instant(qp.get("start_mono_ns")),
            "end_ps": instant(qp.get("end_mono_ns")) if qp.get("status") == "done" else None,
            "bytes_delivered": None, "status": qp.get("status"), "error": qp.get("error"),
            "vendor_err": qp.get("vendor_err"), "messages_completed": qp.get("messages_completed"),
        }
        for qp in src.get("qps") or ()
    ]  # fmt: skip


def _ended(job: Mapping[str, Any], flows: list[Json], dark: Collection[str]) -> str:
    """A failed flow has ended, too, and so has one whose sender lost power on purpose.

    One that was cut off or never began means that the limit came first.
    """
    if job["until"] == "duration":
        return "duration"
    alive = [flow for flow in flows if flow["src"].partition(":")[0] not in dark]
    return "done" if all(flow["status"] in ("done", "failed") for flow in alive) else "limit"


def _end_of_run(job: Mapping[str, Any], flows: list[Json], ended: str) -> int | None:
    """Return when the run ended: with its duration, or with the last flow; null when no flow's end is known."""
    if ended != "done":
        return int(job["duration_ps"])
    ends = [flow["end_ps"] if flow["status"] == "done" else _failed_at(flow) for flow in flows]
    return max((end for end in ends if end is not None), default=None)


def _failed_at(flow: Json) -> int | None:
    """Return the last that is known of a flow that is not done: its error, or the end of one of its QPs."""
    if flow["start_ps"] is None:
        return None
    instants: list[int] = [qp["end_ps"] for qp in flow["qps"] if qp["end_ps"] is not None]
    failed_ps: int = flow["start_ps"] + (flow["error_after_ps"] or 0)
    return max([*instants, failed_ps])


def _ports(job: Mapping[str, Any], seen: Observed) -> Json:
    rates = {end: link["rate_bps"] for link in job["links"] for end in (link["a"], link["b"])}
    return {name: {"rate_bps": rates.get(name), **counters} for name, counters in seen.ports.items()}


def _series(job: Mapping[str, Any], seen: Observed, end_ps: int | None, folder: Path | None) -> Json | None:
    if folder is None or not job["sample_every_ps"] or end_ps is None:
        return None
    flows = {}
    for flow in job["flows"]:
        host = flow["src"].partition(":")[0]
        samples = seen.ends.get(f"{flow['name']}/src", NOT_KNOWN).get("samples") or ()
        by_qp = seen.by_qp.get(flow["name"])
        known = samples or by_qp is not None
        flows[flow["name"]] = Known(seen.clocks[host], samples, by_qp) if known else None
    return write_series(folder, job["sample_every_ps"], end_ps, flows, seen.t0_ns)


def _hosts(seen: Observed, clocks: Mapping[str, ClockMap], site: Site) -> Json:
    skew_ns = start_skew_ns(seen.started, clocks)
    return {
        "start_skew_ps": None if skew_ns is None else skew_ns * 1000,
        "max_start_skew_ps": site.max_start_skew,
        "clock": {host: clock.as_result() for host, clock in clocks.items()},
        "agents": {host: _agent(host, seen) for host in site.hosts},
        "events": [played.as_result(seen.t0_ns) for played in seen.played],
        "reductions": seen.reductions,
        "deviations": {name: dict(known) for name, known in seen.deviations.items()},
        "steps_s": dict(seen.steps),
        "evidence": seen.raw_counters,
    }


def _agent(host: str, seen: Observed) -> Json:
    hello, usage = seen.hello.get(host, NOT_KNOWN), seen.usage.get(host, NOT_KNOWN)
    ports = {name: end.as_result() for name, end in seen.endpoints.items() if end.host == host}
    one = next(iter(ports.values()), NOT_KNOWN)
    said = ("version", "python", "pyverbs", "numpy", "kernel", "hostname", "cpus", "perftest", "gil")
    choice = seen.engines.get(host)
    native = None if choice is None else choice.native
    return {
        **{key: hello.get(key) for key in said},
        "engine": None if choice is None else choice.name,
        "engine_why": None if choice is None else choice.why,
        "generator": None if native is None else {"version": native.hello.get("version"), "how": native.why},
        "threads": usage.get("threads"), "host_limited": usage.get("host_limited"),
        "limited_why": usage.get("why"), "note": usage.get("note"),
        "cpu_s": usage.get("cpu_s"), "wall_s": usage.get("wall_s"), "usage": dict(usage),
        "device": one.get("device"), "firmware": one.get("firmware"), "gid": one.get("gid"),
        "ports": ports, "ended": seen.why.get(host), "late_ns": _late_ns(host, seen),
    }  # fmt: skip


def _late_ns(host: str, seen: Observed) -> int | None:
    """Return by how much a host missed the agreed start, on its own clock."""
    if host not in seen.started:
        return None
    return seen.started[host] - seen.asked[host]
