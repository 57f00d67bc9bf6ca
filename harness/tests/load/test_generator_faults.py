"""What breaks is told apart, named and counted; nothing hangs, whoever dies; nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.tests.load.generator import (
    PROGRAM,
    Served,
    endless,
    finish,
    flow,
    job_of,
    one,
    result_of,
    start,
    strict,
)

# --- integrity ----------------------------------------------------------------------------------------------

MASK = (1 << 64) - 1
MESSAGES = 4000


def mixed(state: int) -> int:
    """The finalizer of splitmix64."""
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & MASK
    return state ^ (state >> 31)


def chances(seed: int, stream: int) -> Iterator[float]:
    """Draw as the null device does: xoshiro256**, seeded by splitmix64 (native/common/rng.h)."""
    golden = 0x9E3779B97F4A7C15
    key = mixed((mixed(seed + golden & MASK) ^ (stream << 32 & MASK)) + golden & MASK)
    s = [mixed(key + golden * (i + 1) & MASK) for i in range(4)]
    while True:
        times5 = s[1] * 5 & MASK
        drawn = ((times5 << 7 | times5 >> 57) & MASK) * 9 & MASK
        shifted = s[1] << 17 & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= shifted
        s[3] = (s[3] << 45 | s[3] >> 19) & MASK
        yield (drawn >> 11) * 2.0**-53


def of_each(share: float, seed: int) -> int:
    """Of how many messages it is true when each is asked once."""
    draws = chances(seed, 0)
    return sum(next(draws) < share for _ in range(MESSAGES))


def overtaken(share: float, seed: int) -> int:
    """How many are held until the next one has passed; that one is not asked."""
    draws, held, count = chances(seed, 0), False, 0
    for _ in range(MESSAGES):
        if held:
            held, count = False, count + 1
        else:
            held = next(draws) < share
    return count


def sealed(fault: str, transport: str, verb: str, **keys: object) -> dict[str, int]:
    options = ",".join(filter(None, [fault, "unreliable=on" if transport == "rc" else ""]))
    done = one("--device", f"null0:{options}" if options else "null0", transport=transport, verb=verb,
               messages=MESSAGES, max_outstanding=8, load={"integrity": True}, **keys)  # fmt: skip
    assert done["messages_completed"] == MESSAGES
    return done["target"]["integrity"]


WAYS = [("uc", "send"), ("uc", "write_imm"), ("ud", "send"), ("rc", "send"), ("rc", "write_imm")]
HEALTHY = {"checked": MESSAGES, "lost": 0, "duplicated": 0, "corrupted": 0, "reordered": 0}


@pytest.mark.parametrize(("transport", "verb"), WAYS)
def test_what_was_lost_is_what_the_device_lost(transport, verb):
    for seed, share in ((1, 0.03), (7, 0.2)):
        lost = of_each(share, seed)
        found = sealed(f"loss={share},seed={seed}", transport, verb)
        assert found == {**HEALTHY, "checked": MESSAGES - lost, "lost": lost}


@pytest.mark.parametrize(("transport", "verb"), WAYS)
def test_what_came_twice_and_what_was_changed_is_counted_exactly(transport, verb):
    twice = of_each(0.1, 5)
    found = sealed("dup=0.1,seed=5", transport, verb)
    assert found == {**HEALTHY, "checked": MESSAGES + twice, "duplicated": twice}
    # which byte is changed is drawn, too: how often is known but for chance (five standard deviations)
    found = sealed("corrupt=0.1,seed=5", transport, verb)
    assert abs(found["corrupted"] - 0.1 * MESSAGES) < 5 * (0.09 * MESSAGES) ** 0.5
    assert {**found, "corrupted": 0} == HEALTHY


@pytest.mark.parametrize(("transport", "verb"), WAYS)
def test_what_was_overtaken_is_what_the_device_held_back(transport, verb):
    """One is let go after a while without another: a process that had no processor then overtakes fewer."""
    held = overtaken(0.1, 9)
    found = sealed("reorder=0.1,seed=9", transport, verb)
    assert {**found, "reordered": 0} == HEALTHY
    assert 0.9 * held <= found["reordered"] <= held


@pytest.mark.parametrize(("transport", "verb"), [*WAYS, ("rc", "write"), ("uc", "write")])
def test_a_healthy_device_spoils_nothing(transport, verb):
    done = one(transport=transport, verb=verb, messages=100, load={"integrity": True})
    found = done["target"]["integrity"]
    known = {key: value for key, value in found.items() if value is not None}
    assert known == {key: HEALTHY[key] for key in known} | {"checked": 100}


def test_each_queue_pair_is_told_apart():
    """Messages of the one are no messages of the other."""
    found = one("--device", "null0:loss=0.05,seed=2", transport="uc", verb="send", messages=500, qps=8,
                max_outstanding=4, load={"integrity": True})["target"]["integrity"]  # fmt: skip
    assert found["checked"] + found["lost"] == 4000
    assert (found["duplicated"], found["corrupted"], found["reordered"]) == (0, 0, 0)


# --- ends that wait for nothing -----------------------------------------------------------------------------

HANG = ("--watchdog", "1", "--device", "null0:hang_after=50")


def ended_soon(job, *options, limit_s=5.0, **keys):
    began = time.monotonic()
    result = result_of(job, *options, limit_s=20, **keys)
    assert time.monotonic() - began < limit_s
    return result


@pytest.mark.parametrize(
    "verbs", [{"fault": "bad_lkey"}, {"fault": "no_receiver"}, {"fault": "no_receiver", "ping_pong": True}]
)
def test_targets_do_not_wait_for_sources_that_failed(verbs):
    result = ended_soon(job_of(flow(verb="send", verbs=verbs)), code=1)
    assert result["flows"][0]["status"] == "failed"


def test_flows_do_not_wait_for_flows_that_failed():
    """Nor do those that wait for these."""
    flows = [
        flow("a", verbs={"fault": "bad_rkey"}),
        flow("b", verb="send", after=["a"]),
        flow("c", after=["b"]),
    ]
    result = ended_soon(job_of(*flows), code=1)
    assert [each["status"] for each in result["flows"]] == ["failed", "not_started", "not_started"]


def test_flows_that_lose_messages_hold_up_none_for_ever():
    lossy = flow("a", transport="ud", verb="send")
    result = ended_soon(job_of(lossy, flow("b", after=["a"])), "--device", "null0:loss=0.2")
    assert [each["status"] for each in result["flows"]] == ["done", "not_started"]


@pytest.mark.parametrize(
    "other",
    [
        {"after": ["f"]},
        {"start_ps": 10**12},
        {"rate_bps": 10**5, "messages": 10},
        {"message_interval_ps": 10**11},
    ],
)
def test_the_watchdog_barks_beside_flows_that_are_right_to_be_silent(other):
    result = ended_soon(job_of(flow(messages=10**6), flow("g", **other)), *HANG, code=1, limit_s=8)
    assert result["ended"] == "no_progress"
    assert result["flows"][0]["error"] == "NO_PROGRESS"


@pytest.mark.parametrize(
    "keys",
    [
        {"start_ps": 2 * 10**12, "messages": 5},
        {"message_interval_ps": 15 * 10**11, "messages": 3},
        {"rate_bps": 2000, "messages": 3},
        {
            "load": {"burst": {"on_ps": 2 * 10**10, "off_ps": 15 * 10**11}},
            "rate_bps": 2 * 10**5,
            "messages": 3,
        },
        {"verb": "send", "recv_depth": 1, "recv_repost_ps": 15 * 10**11, "messages": 2},
    ],
)
def test_the_watchdog_lets_flows_be_silent_that_are_right_to_be(keys):
    result = result_of(job_of(flow(**keys)), "--watchdog", "0.5", "--null")
    assert result["flows"][0]["status"] == "done"


def test_a_delay_after_another_flow_is_no_hang():
    flows = [flow("a"), flow("b", after=["a"], after_delay_ps=2 * 10**12)]
    assert {each["status"] for each in result_of(job_of(*flows), "--watchdog", "0.5", "--null")["flows"]} == {
        "done"
    }


def test_one_queue_pair_that_fails_leaves_the_others():
    done = one("--device", "null0:qp_error_after=400", code=1, qps=4, messages=500)
    statuses = [qp["status"] for qp in done["source"]["qps"]]
    assert sorted(statuses) == ["done", "done", "done", "failed"]
    failed = done["source"]["qps"][statuses.index("failed")]
    assert failed["error"] == "REM_OP_ERR"
    assert 0 < failed["messages_completed"] < 500


# --- signals and streams ------------------------------------------------------------------------------------


PING_PONG = {"verb": "send", "verbs": {"ping_pong": True}}


@pytest.mark.parametrize(
    ("number", "keys"),
    [
        (signal.SIGINT, {}), (signal.SIGTERM, {}), (signal.SIGHUP, {}), (signal.SIGINT, PING_PONG),
        (signal.SIGTERM, {"rate_bps": 10**5}), (signal.SIGINT, {"qps": 300, "verb": "send"}),
    ],
)  # fmt: skip
def test_a_signal_ends_every_kind_of_run(number, keys, tmp_path):
    """Also when the next row of the series is a long way off."""
    job = endless(flow(**keys), sample_every_ps=20 * 10**12)
    process = start(job, "--null", "--series", str(tmp_path))
    time.sleep(0.4)
    began = time.monotonic()
    process.send_signal(number)
    status, out, _ = finish(process, 10)
    assert time.monotonic() - began < 1.5
    result = strict(out)
    assert (status, result["error"]) == (1, f"interrupted by {number.name}")
    assert result["flows"][0]["messages_completed"] > 0
    assert len(result["flows"][0]["source"]["samples"]) > 0


def test_a_signal_ends_one_that_hangs():
    process = start(endless(flow(load={"signal_every": 1})), "--device", "null0:hang_after=50")
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status, out, _ = finish(process, 10)
    assert time.monotonic() - began < 1.5
    assert (status, strict(out)["flows"][0]["messages_completed"]) == (1, 50)


def test_a_signal_ends_one_that_has_no_job_yet():
    process = subprocess.Popen([str(PROGRAM), "--null"], stdin=subprocess.PIPE)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(2) == -signal.SIGTERM
    process.stdin.close()


def test_nobody_has_to_read_progress():
    """Lines of many flows, which a pipe does not hold."""
    flows = [flow("x" * 100 + str(number), rate_bps=10**5) for number in range(300)]
    process = start(endless(*flows, seconds=1.5))
    began = time.monotonic()
    assert strict(process.stdout.read())["ended"] == "duration"
    assert time.monotonic() - began < 10
    finish(process)


def test_progress_is_lines_of_json():
    _, _, err = finish(start(endless(flow(), seconds=0.5)))
    lines = [strict(line) for line in err.splitlines()]
    assert {line["event"] for line in lines} == {"progress"}
    counts = [line["flows"]["f"] for line in lines]
    assert len(counts) >= 3
    assert counts == sorted(counts)
    assert counts[-1] > 0


@pytest.mark.parametrize("stream", ["1>&-", "1>/dev/full", "1>&- 2>&-"])
def test_a_result_that_cannot_be_written_is_a_failure(stream, tmp_path):
    """A closed stream must not be a file that is opened later, such as a series."""
    told = subprocess.run(
        ["sh", "-c", f'exec "$0" --null --series "$1" {stream}', str(PROGRAM), str(tmp_path)],
        input=json.dumps(job_of(flow())).encode(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=20,
        check=False,
    )  # fmt: skip
    assert told.returncode == 1
    assert "2>&-" in stream or b"standard output" in told.stderr
    for file in tmp_path.glob("*.npy"):
        assert file.read_bytes()[:6] == b"\x93NUMPY"
        assert b"roce-load" not in file.read_bytes()


def test_a_closed_stream_is_no_file_that_is_opened_later():
    """Of a real device, for one, which would then be written to."""
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$0" --null 1>&- 2>&-', str(PROGRAM)], stdin=subprocess.PIPE
    )
    process.stdin.write(json.dumps(endless(flow(), seconds=2)).encode())
    process.stdin.close()
    time.sleep(0.4)
    files = [Path(f"/proc/{process.pid}/fd/{number}").readlink() for number in (1, 2)]
    process.kill()
    process.wait()
    assert files == [Path("/dev/null")] * 2


def test_a_closed_input_is_a_bad_job():
    told = subprocess.run(["sh", "-c", 'exec "$0" --null <&-', str(PROGRAM)], capture_output=True, timeout=20,
                          check=False)  # fmt: skip
    assert told.returncode == 2


def test_nobody_reads_the_result():
    process = start(endless(flow(), seconds=0.3))
    process.stdout.close()
    process.stdout = None
    status, _, err = finish(process)
    assert status == 1
    assert b"EPIPE" in err or b"pipe" in err.lower()


def test_after_sigkill_there_is_nothing():
    process = start(endless(flow(load={"threads": "flow"})))
    time.sleep(0.3)
    assert len(list(Path(f"/proc/{process.pid}/task").iterdir())) > 1
    assert not Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8")
    process.kill()
    status, out, _ = finish(process)
    assert (status, out) == (-signal.SIGKILL, b"")
    assert not Path(f"/proc/{process.pid}").exists()


# --- series that cannot be written --------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["absent", "a file"])
def test_a_folder_that_is_none_is_refused(folder, tmp_path):
    (tmp_path / "a file").write_text("", encoding="utf-8")
    status, out, err = finish(start(job_of(flow()), "--null", "--series", str(tmp_path / folder)))
    assert (status, out) == (2, b"")
    assert folder in err.decode()


def test_a_folder_that_goes_away_is_said(tmp_path):
    folder = tmp_path / "series"
    folder.mkdir()
    process = start(endless(flow(), seconds=0.5, sample_every_ps=10**9), "--null", "--series", str(folder))
    time.sleep(0.25)
    folder.rmdir()
    status, out, _ = finish(process)
    assert status == 1
    assert "ENOENT" in strict(out)["error"]


def test_a_long_name_of_a_folder_is_no_other_name(tmp_path):
    folder = tmp_path.joinpath(*["d" * 200] * 3)
    folder.mkdir(parents=True)
    series = result_of(job_of(flow()), "--null", "--series", str(folder))["flows"][0]["source"]["series"]
    assert (folder / series["file"]).stat().st_size > 128
    assert not [path for path in folder.parent.iterdir() if path != folder]


# --- jobs that are none -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("until", "forever"),
        ("duration_ps", "long"),
        ("drain_ps", -1),
        ("sample_every_ps", 0.5),
        ("flows", {}),
    ],
)
def test_a_wrong_value_of_the_job_is_named(key, value):
    status, out, err = finish(start({**job_of(flow()), key: value}))
    assert (status, out, err.count(b"\n")) == (2, b"", 1)
    said = strict(err)["error"]
    assert key in said
    assert key == "flows" or json.dumps(value) in said


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("verb", "shout"), ("transport", "tcp"), ("message_bytes", 0), ("message_bytes", 2**31 + 1), ("messages", -1),
        ("qps", 0), ("qps", 16385), ("dscp", 64), ("priority", 8), ("rate_bps", "fast"), ("src", 7), ("dst", None),
        ("recv_depth", -1), ("flow_label", 1 << 20), ("after", "a"), ("verbs.fault", "fire"), ("verbs.recover", "no"),
        ("verbs.check_payload", 1), ("verbs.unknown", 1), ("load.batch", 0), ("load.batch", 1025), ("load.sges", 17),
        ("load.signal_every", 0), ("load.inline_bytes", 1025), ("load.post", "fast"), ("load.poll", "maybe"),
        ("load.sizes", []), ("load.sizes", [[64, 1e300]]), ("load.sizes", [[0, 1]]), ("load.sizes", [[64, 0]]),
        ("load.threads", "many"), ("load.pacing", "hope"), ("load.burst", {"on_ps": 1}), ("load.unknown", 1),
        ("load.cq_moderation", {"count": 0}), ("load.start_jitter_ps", -1),
    ],
)  # fmt: skip
def test_a_wrong_value_of_a_flow_is_named(key, value):
    outer, _, inner = key.partition(".")
    status, out, err = finish(start(job_of(flow(**{outer: {inner: value} if inner else value}))))
    assert (status, out, err.count(b"\n")) == (2, b"", 1), err
    assert key in strict(err)["error"]


@pytest.mark.parametrize(
    "key", ["mtu_bytes", "ack_timeout_exponent", "retry_count", "rnr_retry", "max_rd_atomic"]
)
def test_a_wrong_value_of_the_nic_is_named(key):
    status, out, err = finish(start(job_of(flow(), nic={key: 300})))
    assert (status, out) == (2, b"")
    assert f"{key}: 300" in strict(err)["error"]


def test_names_are_kept_whatever_they_are():
    names = ["π — “x”", 'a"b\\c', "tab\there", "n" * 200]
    result = result_of(job_of(*(flow(name) for name in names)))
    assert [each["name"] for each in result["flows"]] == names
    assert {each["status"] for each in result["flows"]} == {"done"}


# --- served -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recover", ["reset", "rebuild"])
@pytest.mark.parametrize("verb", ["write", "send", "read"])
def test_a_flow_recovers(recover, verb):
    asked = flow(verb=verb, messages=200, verbs={"fault": "bad_lkey", "recover": recover})
    with Served() as served:
        served.prepare(asked)
        served.good("start", until="done", duration_ns=10**9)
        failed = served.event("finished")["ends"]["f/src"]
        assert failed["error"] == "LOC_PROT_ERR"
        assert failed["told_ns"] > 0
        again = served.good("recover", ends=["f/dst", "f/src"])
        served.connect(again["ends"])
        served.good("resume", ends=["f/src", "f/dst"], until="done")
        ends = served.event("finished")["ends"]
        assert ends["f/src"]["status"] == "done"
        assert ends["f/src"]["messages_completed"] == 200
        assert ends["f/src"]["recovery_ns"] > ends["f/src"]["recovery_local_ns"] > 0
        told = {"posted": ends["f/src"]["posted"], "completed": ends["f/src"]["completed"]}
        checked = served.good("verify", ends={"f/dst": told})["ends"]["f/dst"]
        verified = ends["f/src"] if verb == "read" else checked
        assert verified["payload_verified_bytes"] == 200 * 256
        assert verified["payload_mismatched_bytes"] == 0
        served.good("quit")
        assert served.wait(2) == 0


def test_what_a_run_leaves_does_not_grow(tmp_path):
    """Threads, files and memory, over many runs of one process."""
    with Served() as served:
        seen = []
        for _ in range(8):
            served.prepare(
                flow(qps=50, verb="send"),
                flow("g", verb="read", message_bytes=10**6, messages=3),
                series=str(tmp_path),
                sample_ns=10**6,
            )
            served.good("start", until="done")
            assert served.event("finished")["why"] == "done"
            status = Path(f"/proc/{served.pid}/status").read_text(encoding="utf-8")
            assert "Threads:\t1\n" in status
            assert served.good("teardown")["closed"] == 5
            files = len(list(Path(f"/proc/{served.pid}/fd").iterdir()))
            pages = int(Path(f"/proc/{served.pid}/statm").read_text(encoding="utf-8").split()[1])
            seen.append((files, pages))
        assert {files for files, _ in seen} == {seen[0][0]}
        assert seen[-1][1] < seen[2][1] + 512  # pages: 2 MB


def test_results_of_a_source_may_be_asked_after_its_run(tmp_path):
    with Served() as served:
        served.prepare(flow(), series=str(tmp_path), sample_ns=10**6)
        served.good("start", until="done")
        source = served.event("finished")["ends"]["f/src"]
        assert source["series"]["rows"] > 0
        told = {"posted": source["posted"], "completed": source["completed"]}
        again = served.good("verify", ends={"f/src": told})["ends"]["f/src"]
        assert again["messages_completed"] == 300
        assert again["series"] is None  # the files are the run's


@pytest.mark.parametrize("how", ["input", "both", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("device", ["null0", "null0:hang_after=100", "null0:latency=5s"])
def test_served_it_is_gone_with_its_controller(how, device, tmp_path):
    with Served() as served:
        served.prepare(flow(messages=0, qps=4), device=device, series=str(tmp_path), sample_ns=10 * 10**9)
        served.good("start", until="duration", duration_ns=60 * 10**9, progress_ms=20)
        served.event("progress")
        began = time.monotonic()
        if how.startswith("SIG"):
            os.kill(served.pid, signal.Signals[how])
        else:
            served.close()
        if how == "both":
            served._process.stdout.close()
        assert served.wait(5) == (-signal.SIGKILL if how == "SIGKILL" else 0)
        assert time.monotonic() - began < 2


def test_served_it_stops_when_nobody_reads_its_events():
    with Served() as served:
        served.prepare(flow(messages=0))
        served.good("start", until="duration", duration_ns=60 * 10**9, progress_ms=20)
        served._process.stdout.close()
        assert served.wait(3) == 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "line"), (b"[]", "object"), (b"\xff\xfe", "line"), (b'{"id": 1}', "op"), (b'{"op": "clock"}', "id"),
        (b'{"id": 1, "op": "dance"}', "dance"), (b'{"id": 1, "op": "clock", "x": 1}', "x"),
        (b'{"id": 1, "op": "start"}', "prepare"), (b'{"id": 1, "op": "recover", "ends": ["q"]}', "q"),
        (b'{"id": 1, "op": "verify", "ends": {"q": {}}}', "q"), (b'{"id": 1, "op": "prepare", "run": "r"}', "ends"),
        (b'{"id": 1, "op": "prepare", "run": "r", "ends": []}', "ends"), (b"[" * 100_000, "line"),
        (b'"' + b"x" * 3_000_000 + b'"', "object"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_request_is_answered(line, says):
    with Served() as served:
        served.send(line + b"\n")
        answer = served.line()
        assert answer["ok"] is False
        assert answer["error"]["kind"] == "bad_request"
        assert says in json.dumps(answer["error"])
        assert served.good("clock")["mono_ns"] > 0


def test_a_line_without_an_end_ends_it():
    with Served() as served:
        try:
            for _ in range(70):
                served.send(b"x" * (1 << 20))
        except BrokenPipeError:
            pass
        assert served.wait(20) == 0


@pytest.mark.parametrize("load", [{}, {"signal_every": 64, "batch": 16}, {"signal_every": 50, "sges": 2}])
@pytest.mark.parametrize("qps", [1, 3])
def test_a_stop_ends_a_run_and_what_was_sent_is_known(load, qps):
    """Messages that went without asking for a completion are known, too."""
    with Served() as served:
        served.prepare(flow(messages=0, verb="send", qps=qps, load=load))
        served.good("start", until="duration", duration_ns=60 * 10**9)
        served.event("started")
        time.sleep(0.2)
        served.good("stop", drain_ns=200 * 10**6)
        finished = served.event("finished")
        source, target = finished["ends"]["f/src"], finished["ends"]["f/dst"]
        assert finished["why"] == "stopped"
        assert 0 < source["messages_completed"] == target["recv_completions"] == source["messages_posted"]


def test_a_stop_waits_for_nothing_where_nothing_is_under_way():
    with Served() as served:
        served.prepare(flow(messages=0, message_interval_ps=3 * 10**11))
        served.good("start", until="duration", duration_ns=60 * 10**9)
        served.event("started")
        time.sleep(0.1)
        began = time.monotonic()
        served.good("stop", drain_ns=10 * 10**9)
        assert served.event("finished")["ends"]["f/src"]["messages_completed"] == 1
        assert time.monotonic() - began < 2
