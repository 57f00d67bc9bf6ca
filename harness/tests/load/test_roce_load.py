"""The generator itself, on null devices: what it sends arrives, what it measures is so, what breaks is named."""

import json
import os
import resource
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from harness.tests.load.generator import LIMIT_S, PROGRAM, Served, finish, flow, job_of, result_of, start
from harness.tests.load.quiet import soon

MESH = 8


def run(*flows, options=("--null",), code=0, **keys):
    return result_of(job_of(*flows, **keys), *options, code=code)


def one(options=("--null",), code=0, **keys):
    return run(flow(**keys), options=options, code=code)["flows"][0]


# --- what is sent arrives -----------------------------------------------------------------------------------

VERBS = {
    "rc": ("write", "write_imm", "read", "send", "send_imm", "fetch_add", "compare_swap", "atomic"),
    "uc": ("write", "write_imm", "send", "send_imm"),
    "ud": ("send", "send_imm"),
}
PAIRS = [(transport, verb) for transport, verbs in VERBS.items() for verb in verbs]


@pytest.mark.parametrize("qps", [1, 3])
@pytest.mark.parametrize(("transport", "verb"), PAIRS)
def test_every_verb_delivers_what_it_sends(transport, verb, qps):
    size = 8 if verb in {"fetch_add", "compare_swap", "atomic"} else 700
    # as many messages as receives: a datagram that finds none is lost
    done = one(transport=transport, verb=verb, qps=qps, message_bytes=size, messages=200, max_outstanding=16)
    source, target = done["source"], done["target"]
    checker = source if source["payload_verified_bytes"] is not None else target
    assert done["status"] == "done"
    assert source["messages_completed"] == 200 * qps
    assert source["latencies"]["count"] == 200 * qps
    assert checker["payload_mismatched_bytes"] == 0
    assert checker["payload_verified_bytes"] > 0
    if target["recv_completions"] and verb != "write":
        assert target["recv_completions"] == 200 * qps
        assert target["bytes_delivered"] == 200 * qps * size
        assert target["immediates_wrong"] == (0 if verb.endswith("_imm") else None)


@pytest.mark.parametrize("verb", ["write", "send", "read", "fetch_add"])
def test_a_ping_pong_counts_half_round_trips(verb):
    size = 8 if verb == "fetch_add" else 64
    done = one(verb=verb, message_bytes=size, messages=500, verbs={"ping_pong": True})
    assert done["status"] == "done"
    assert done["latency"]["count"] == 500
    assert done["source"]["payload_mismatched_bytes"] == 0


@pytest.mark.parametrize("signal", [None, 1, 32, 100])
@pytest.mark.parametrize("batch", [1, 7, 32])
def test_batches_and_signals_lose_nothing(batch, signal):
    load = {"batch": batch, "signal_every": signal}
    for checked in (True, False):
        done = one(messages=1001, max_outstanding=100, verbs={"check_payload": checked}, load=load)
        assert done["messages_completed"] == 1001
        assert done["source"]["posted"] == [1001]


@pytest.mark.parametrize(
    "load", [{"sges": 16}, {"inline_bytes": 256}, {"post": "legacy"}, {"poll": "busy"}, {"poll": "event"},
             {"cq_moderation": {"count": 8, "period_us": 5}}, {"device_time": True}],
)  # fmt: skip
def test_options_change_how_and_not_what(load):
    done = one(verb="send", load=load)
    assert done["target"]["payload_verified_bytes"] == 300 * 256
    assert done["target"]["payload_mismatched_bytes"] == 0


def test_sizes_are_mixed_as_their_weights_say():
    done = one(verb="send", messages=4000, message_bytes=1024, load={"sizes": [[64, 3], [1024, 1]]})
    sent = done["source"]["bytes_acked"]
    large = (sent - 4000 * 64) / 960
    assert done["target"]["payload_verified_bytes"] == sent
    assert 850 < large < 1150  # 1000 expected; five standard deviations of 27


def test_a_shared_queue_serves_all_queue_pairs():
    done = one(verb="send", qps=5, verbs={"srq": True})
    assert done["target"]["recv_completions"] == 1500
    assert done["target"]["payload_mismatched_bytes"] == 0


def test_a_flow_waits_for_those_it_names_also_across_threads():
    flows = [flow("a", load={"threads": "flow"}), flow("b", after=["a"], load={"threads": "flow"}),
             flow("c", src="h1:p0", after=["a", "b"], after_delay_ps=5 * 10**9)]  # fmt: skip
    a, b, c = run(*flows)["flows"]
    assert b["start_ps"] >= a["end_ps"]
    assert c["start_ps"] >= b["end_ps"] + 5 * 10**9


def test_a_full_mesh_and_an_incast_in_one_process():
    hosts = [f"h{i}:p0" for i in range(MESH)]
    mesh = [flow(f"{a}-{b}", a, b, verb="send", messages=50) for a in hosts for b in hosts if a != b]
    incast = [flow(f"in-{a}", a, hosts[0], qps=4, messages=50) for a in hosts[1:]]
    result = run(*mesh, *incast)
    assert {each["status"] for each in result["flows"]} == {"done"}
    assert sum(each["target"]["payload_mismatched_bytes"] for each in result["flows"]) == 0


@pytest.mark.parametrize("qps", [1024, 16384])
def test_thousands_of_queue_pairs(qps):
    done = one(qps=qps, messages=3, message_bytes=64, max_outstanding=2, verbs={"check_payload": False})
    assert done["messages_completed"] == 3 * qps
    assert {qp["status"] for qp in done["source"]["qps"]} == {"done"}


# --- rate ---------------------------------------------------------------------------------------------------

WIRE = 1024 + 82 + 16
"""Bytes of a packet with 1024 of payload on the wire: Ethernet to FCS, gap, IPv4, UDP, BTH, ICRC, and RETH."""


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
def test_a_rate_is_kept_within_one_per_cent(share):
    rate = int(share * 2e9)
    messages = max(200, int(0.3 * rate / 8 / WIRE))

    def measure():
        done = one(message_bytes=1024, messages=messages, rate_bps=rate, verbs={"check_payload": False})
        return (messages - 1) * WIRE * 8 / (done["fct_ps"] / 1e12) / rate - 1, done["rate_reached"]

    soon(measure, lambda seen: abs(seen[0]) <= 0.01 and seen[1] is True)


def test_a_rate_that_cannot_be_is_said_so():
    slow = ("--device", "null0:rate=50Mbps")
    done = one(message_bytes=1024, messages=300, rate_bps=10**9, options=slow)
    assert done["rate_reached"] is False


def test_a_burst_sends_in_its_share_of_the_time(tmp_path):
    load = {"burst": {"on_ps": 20 * 10**9, "off_ps": 60 * 10**9}}
    run(
        flow(message_bytes=1024, messages=0, rate_bps=10**8, load=load, verbs={"check_payload": False}),
        options=("--null", "--series", str(tmp_path)),
        until="duration", duration_ps=800 * 10**9, sample_every_ps=10**9,
    )  # fmt: skip
    sent = np.diff(np.load(tmp_path / "end-0.bytes.npy")[:, 0])
    assert 0.15 < np.mean(sent > 0) < 0.4  # a quarter


# --- what is measured ---------------------------------------------------------------------------------------


def test_series_tell_of_each_queue_pair(tmp_path):
    result = run(
        flow(message_bytes=1024, messages=400, qps=16, rate_bps=10**7),
        options=("--null", "--series", str(tmp_path)), sample_every_ps=10**9,
    )  # fmt: skip
    series = result["flows"][0]["source"]["series"]
    table, times = np.load(tmp_path / series["file"]), np.load(tmp_path / series["time_file"])
    assert table.shape == (len(times), 16)
    assert (np.diff(table, axis=0) >= 0).all()
    assert (np.diff(times) > 0).all()
    assert list(table[-1]) == [400 * 1024] * 16
    assert np.median(np.diff(times)) < 2e6
    rates = result["flows"][0]["source"]["interval_rate_bps"]
    assert rates["min"] <= rates["mean"] <= rates["max"]
    assert 0.8 * 16 * 10**7 * 1024 / WIRE < rates["mean"] < 1.2 * 16 * 10**7 * 1024 / WIRE


def test_a_minute_of_256_queue_pairs_each_millisecond_fits(tmp_path):
    """Bytes of a row times 60,000 of them, and all else that the process has: under 300 MB."""
    many = flow(message_bytes=64, messages=0, qps=256, max_outstanding=4, verbs={"check_payload": False})
    job = job_of(many, until="duration", duration_ps=2 * 10**12, sample_every_ps=10**9)
    status, out, _ = finish(start(job, "--null", "--series", str(tmp_path)))
    assert status == 0
    result = json.loads(out)
    rows = result["flows"][0]["source"]["series"]["rows"]
    row_bytes = result["usage"]["series_bytes"] / rows
    assert rows > 500
    assert row_bytes * 60_000 + result["usage"]["memory_peak_bytes"] < 300e6


def test_latency_is_what_the_device_takes():
    done = one(messages=300, max_outstanding=1, options=("--device", "null0:latency=500us"))
    latency = done["latency"]
    assert latency["min_ps"] >= 500e6 * 0.99
    assert latency["p50_ps"] < 700e6
    assert latency["min_ps"] <= latency["p50_ps"] <= latency["p99_ps"] <= latency["max_ps"]


def test_what_is_lost_doubled_changed_or_late_is_told_apart():
    def integrity(fault):
        device = f"null0:{fault},seed=3,unreliable=on" if fault else "null0"
        keys = {"transport": "uc", "verb": "send", "messages": 3000, "recv_depth": 0, "max_outstanding": 8}
        return one(**keys, load={"integrity": True}, options=("--device", device))["target"]["integrity"]

    assert integrity("") == {"checked": 3000, "lost": 0, "duplicated": 0, "corrupted": 0, "reordered": 0}
    for fault, key in (("loss=0.05", "lost"), ("dup=0.05", "duplicated"), ("corrupt=0.05", "corrupted"),
                       ("reorder=0.05", "reordered")):  # fmt: skip
        found = integrity(fault)
        assert 75 < found[key] < 230, (fault, found)  # 150 expected
        others = {name: count for name, count in found.items() if name not in {key, "checked"}}
        assert set(others.values()) == {0}, (fault, found)


# --- what breaks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "verb", "error"),
    [
        ("bad_rkey", "write", "REM_ACCESS_ERR"), ("bad_address", "read", "REM_ACCESS_ERR"),
        ("no_remote_write", "write", "REM_ACCESS_ERR"), ("no_remote_read", "read", "REM_ACCESS_ERR"),
        ("no_remote_atomic", "fetch_add", "REM_ACCESS_ERR"), ("long_send", "send", "REM_INV_REQ_ERR"),
        ("bad_lkey", "write", "LOC_PROT_ERR"), ("no_receiver", "write", "RETRY_EXC_ERR"),
    ],
)  # fmt: skip
def test_a_fault_has_its_status(fault, verb, error):
    size = 8 if verb == "fetch_add" else 256
    keys = {"verb": verb, "message_bytes": size, "verbs": {"fault": fault}}
    done = one(**keys, code=1) if verb != "send" else run(
        flow(**keys), code=1, duration_ps=10**12
    )["flows"][0]  # fmt: skip
    assert (done["status"], done["error"]) == ("failed", error)
    assert done["source"]["told_ns"] is not None


def test_a_receiver_that_is_never_ready_is_told():
    result = run(
        flow(verb="send", messages=20, recv_depth=2), code=1, nic={"mtu_bytes": 1024, "rnr_retry": 0},
        duration_ps=10**12,
    )  # fmt: skip
    assert result["flows"][0]["error"] == "RNR_RETRY_EXC_ERR"
    assert result["flows"][0]["messages_completed"] == 2


def test_a_target_whose_source_failed_does_not_wait_for_it():
    began = time.monotonic()
    result = run(flow(verb="send", verbs={"fault": "long_send"}), code=1)
    assert result["flows"][0]["target_error"] == "LOC_LEN_ERR"
    assert time.monotonic() - began < 5


def test_a_device_that_is_removed_ends_the_run():
    result = run(flow(messages=100000), code=1, options=("--device", "null0:die_after=500"))
    assert "device" in result["error"]
    assert 0 < result["flows"][0]["messages_completed"] <= 500


def test_nothing_hangs_when_nothing_completes():
    began = time.monotonic()
    options = ("--watchdog", "1", "--device", "null0:hang_after=100")
    result = run(flow(messages=100000), code=1, options=options)
    assert result["flows"][0]["error"] == "NO_PROGRESS"
    assert "completed" in result["error"]
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_result_so_far(number):
    process = start(job_of(flow(messages=0), until="duration", duration_ps=30 * 10**12), "--null")
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(number)
    status, out, _ = finish(process)
    result = json.loads(out)
    assert status == 1
    assert time.monotonic() - began < 3
    assert result["error"] == f"interrupted by {number.name}"
    assert result["flows"][0]["messages_completed"] > 0


def test_served_it_ends_with_its_input():
    with Served() as served:
        assert served.hello["program"] == "roce-load"
        served.prepare(flow(messages=0))
        served.good("start", until="duration", duration_ns=60 * 10**9)
        time.sleep(0.3)
        began = time.monotonic()
        served.close()
        assert served.wait(5) == 0
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{", "column"),
        (b"[]", "flows"),
        (b'{"flows": []}', "flows"),
        (json.dumps(job_of(flow(message_bytes=0))).encode(), "message_bytes"),
        (json.dumps(job_of(flow(verb="shout"))).encode(), "shout"),
        (json.dumps(job_of(flow(transport="xrc"))).encode(), "xrc"),
        (json.dumps(job_of(flow(load={"batch": 5000}))).encode(), "batch"),
        (json.dumps(job_of(flow(load={"bach": 5}))).encode(), "bach"),
        (json.dumps(job_of(flow(qps=16385))).encode(), "16384"),
        (json.dumps(job_of(flow(), flow())).encode(), "different"),
        (json.dumps(job_of(flow(after=["g"]))).encode(), "after"),
    ],
)
def test_a_bad_job_is_one_line_that_says_what(text, says):
    status, out, err = finish(start(text, "--null"))
    assert (status, out) == (2, b"")
    assert err.count(b"\n") == 1
    assert says in err.decode(), err


def test_a_device_that_does_not_exist_is_named():
    status, _, err = finish(start(job_of(flow()), "--device", "null0:speed=9"))
    assert status in (1, 2)
    assert "speed" in err.decode()
    assert finish(start(job_of(flow()), "--device", "none_0"))[0] in (1, 2)


def test_a_full_disk_is_said_and_the_result_is_kept(tmp_path):
    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    job = job_of(flow(rate_bps=10**7), sample_every_ps=10**9)
    status, out, _ = finish(start(job, "--null", "--series", str(tmp_path), preexec_fn=small))
    result = json.loads(out)
    assert status == 1
    assert result["error"].startswith("series")
    assert result["flows"][0]["messages_completed"] == 300
    assert not list(tmp_path.glob("*.npy"))


# --- the host as the bottleneck -----------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("taskset") is None, reason="no taskset")
def test_a_thread_without_a_processor_is_said_to_limit():
    cpu = str(min(os.sched_getaffinity(0)))
    spinners = [subprocess.Popen(["taskset", "-c", cpu, "sh", "-c", "while :; do :; done"]) for _ in range(3)]
    try:
        job = job_of(flow(messages=0, load={"poll": "busy"}), until="duration", duration_ps=10**12)
        process = subprocess.Popen(
            ["taskset", "-c", cpu, str(PROGRAM), "--device", "null0:latency=20us,rate=100Gbps"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        out, _ = process.communicate(json.dumps(job).encode(), LIMIT_S)
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
    usage = json.loads(out)["usage"]
    assert usage["host_limited"] is True
    assert usage["why"]


def test_a_reliable_flow_whose_messages_vanish_ends():
    """A device that acknowledges what it loses: the target is short, and nobody waits for ever."""
    began = time.monotonic()
    done = one(verb="send", messages=2000, options=("--device", "null0:loss=0.01,seed=1,unreliable=on"))
    assert done["source"]["messages_completed"] == 2000
    assert done["target"]["status"] == "unfinished"
    assert done["target"]["recv_completions"] < 2000
    assert time.monotonic() - began < 10
