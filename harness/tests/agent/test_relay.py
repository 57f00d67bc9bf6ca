"""The agent with the native generator as its child: requests, events, series, and every way to lose it."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import sys
import time
import zlib
from pathlib import Path

import pytest

from harness.hosts.agent import npy
from harness.hosts.agent.errors import AgentError

GENERATOR = Path(__file__).with_name("fake_generator.py")
ENDS = ("f/src", "f/dst")


@pytest.fixture
def program(tmp_path):
    """A program that plays the generator; call it with a behaviour."""
    path = tmp_path / "roce-load"

    def make(**behaviour):
        # exec: the process that the agent starts is the one that plays
        path.write_text(
            f"#!/bin/sh\nBEHAVIOUR='{json.dumps(behaviour)}' exec {sys.executable} {GENERATOR} \"$@\"\n"
        )
        path.chmod(0o755)
        return str(path)

    return make


def ends(make_flow, **keys):
    base = make_flow("f", **keys)
    return [
        {"id": f"f/{role}", "role": role, "device": "null0", "port": 1, "flow": base}
        for role in ("src", "dst")
    ]


def prepare(agent, flow, path, series=None, **keys):
    native = {"path": path, "series": series, "sample_ns": 1_000_000}
    return agent.ask("prepare", run="r", qos={}, ends=ends(flow, **keys), native=native)


def started(agent, flow, path, **keys):
    assert prepare(agent, flow, path, **keys)["ok"]
    answer = agent.ask(
        "start", at_mono_ns=time.monotonic_ns(), duration_ns=10**9, until="done", progress_ms=50
    )
    assert answer["ok"], answer
    return answer


def children_of(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def gone(pid, seconds=3):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_a_whole_run_goes_through_it(agent, flow, program, tmp_path):
    log = tmp_path / "log"
    answer = prepare(agent, flow, program(log=str(log)))
    assert (answer["engine"], sorted(answer["ends"])) == ("native", sorted(ENDS))
    assert agent.ask("connect", ends={name: [] for name in ENDS})["routes"] == {"f/src": [], "f/dst": []}
    assert agent.ask(
        "start", at_mono_ns=time.monotonic_ns(), duration_ns=10**9, until="done", progress_ms=50
    )["ok"]
    done = agent.wait_for("finished", 5)
    assert done["usage"]["engine"] == "native"
    assert "gil" not in done["usage"]
    assert agent.events[0]["event"] == "started"
    assert any(event["event"] == "progress" for event in agent.events)
    verified = agent.ask("verify", ends={"f/dst": {"posted": [4], "completed": [4]}})
    assert verified["ends"]["f/dst"]["payload_verified_bytes"] == 9
    assert agent.ask("reduce_check")["groups"] == {}
    assert agent.ask("teardown")["closed"] == 2
    said = [json.loads(line) for line in log.read_text().splitlines()]
    assert [each["op"] for each in said] == ["prepare", "connect", "start", "verify", "teardown"]
    assert said[0]["ends"] == ends(flow)
    assert (said[0]["run"], said[0]["series"], said[0]["sample_ns"]) == ("r", None, 1_000_000)
    assert children_of(agent.process.pid) == []


def test_after_it_the_agent_is_as_before(agent, flow, program):
    started(agent, flow, program())
    agent.wait_for("finished", 5)
    agent.ask("teardown")
    agent.events.clear()
    started(agent, flow, program())
    agent.wait_for("finished", 5)
    agent.ask("teardown")
    error = agent.ask("prepare", run="r", ends=ends(flow))["error"]
    assert error["kind"] in {"no_pyverbs", "no_device"}  # its own engine again


def test_clocks_and_devices_stay_with_the_agent(agent, flow, program, tmp_path):
    log = tmp_path / "log"
    started(agent, flow, program(log=str(log), seconds=30))
    before = time.monotonic_ns()
    assert before <= agent.ask("clock")["mono_ns"] <= time.monotonic_ns()
    assert agent.ask("devices")["ok"]
    assert agent.ask("counters", ports=[])["ok"]
    assert not {"clock", "devices", "counters"} & {
        json.loads(line)["op"] for line in log.read_text().splitlines()
    }


def test_stop_ends_a_run(agent, flow, program):
    started(agent, flow, program(seconds=60))
    assert agent.ask("stop", drain_ns=0)["ok"]
    assert agent.wait_for("finished", 5)["why"] == "done"


def test_recovery_runs_again(agent, flow, program):
    started(agent, flow, program())
    agent.wait_for("finished", 5)
    agent.events.clear()
    assert set(agent.ask("recover", ends=list(ENDS))["ends"]) == set(ENDS)
    now = time.monotonic_ns()
    assert agent.ask("resume", ends=list(ENDS), at_mono_ns=now, duration_ns=10**9, until="done")["ok"]
    assert set(agent.wait_for("finished", 5)["ends"]) == set(ENDS)


def test_what_it_refuses_is_said_in_its_words(agent, flow, program):
    refused = {"kind": "unsupported", "message": "flow f: no xrc", "detail": {"feature": "xrc"}}
    error = prepare(agent, flow, program(refuse={"prepare": refused}))["error"]
    assert error == refused
    assert children_of(agent.process.pid) == []
    assert prepare(agent, flow, program(refuse={"prepare": {"kind": "odd"}}))["error"]["kind"] == "internal"
    assert prepare(agent, flow, program())["ok"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/nowhere/roce-load", "os"), ("/etc", "os"), ("", "bad_request")],
)
def test_a_program_that_is_none_is_refused(agent, flow, path, kind):
    assert prepare(agent, flow, path)["error"]["kind"] == kind


def test_a_program_that_does_not_start_says_why(agent, flow, tmp_path):
    path = tmp_path / "roce-load"
    path.write_bytes(b"\x7fELF broken")
    path.chmod(0o755)
    error = prepare(agent, flow, str(path))["error"]
    assert error["kind"] == "os"
    assert "cannot start" in error["message"]
    path.write_text("#!/bin/sh\necho 'GLIBC_2.99 not found' >&2\nexit 127\n")
    error = prepare(agent, flow, str(path))["error"]
    assert error["message"] == "the native generator ended with exit code 127: GLIBC_2.99 not found"


def test_another_version_of_the_protocol_is_refused(agent, flow, program):
    error = prepare(agent, flow, program(hello={"protocol": 2}))["error"]
    assert error["message"] == "the native generator speaks version 2 of the protocol, not 1"


# --- losing it ------------------------------------------------------------------------------------------------

LOSSES = [
    ({"die_on": "prepare", "words": "no memory\n"}, "was killed by SIGKILL: no memory"),
    ({"exit_on": "prepare"}, "ended with exit code 3"),
    ({"garbage_on": "prepare"}, "said 'Segmentation fault', which is no JSON object"),
]


@pytest.mark.parametrize(("behaviour", "words"), LOSSES)
def test_a_child_that_ends_while_it_is_asked_is_an_error_that_says_how(
    agent, flow, program, behaviour, words
):
    error = prepare(agent, flow, program(**behaviour))["error"]
    assert (error["kind"], error["message"]) == ("os", f"the native generator {words}")
    assert children_of(agent.process.pid) == []
    assert prepare(agent, flow, program())["ok"]


def test_a_child_that_is_killed_in_a_run_ends_it(agent, flow, program):
    began = time.monotonic()
    started(agent, flow, program(die_after_s=0.2, seconds=60, words="QP 7 is gone\n"))
    error = agent.wait_for("failed", 5)["error"]
    assert error["message"] == "the native generator was killed by SIGKILL: QP 7 is gone"
    assert time.monotonic() - began < 4
    assert agent.ask("verify", ends={})["error"]["message"] == error["message"]
    assert agent.ask("teardown")["ok"]
    assert prepare(agent, flow, program())["ok"]


def test_a_child_that_dies_between_two_requests_is_noticed_by_the_next(agent, flow, program):
    assert prepare(agent, flow, program())["ok"]
    (child,) = children_of(agent.process.pid)
    os.kill(int(child), signal.SIGKILL)
    assert "was killed by SIGKILL" in agent.ask("connect", ends={})["error"]["message"]


def test_a_child_that_falls_silent_is_given_up(flow, program, silent_agent):
    started(silent_agent, flow, program(stop_after_s=0.2, seconds=60))
    error = silent_agent.wait_for("failed", 10)["error"]
    assert re.fullmatch(r"the native generator said nothing for [12] s", error["message"])
    assert children_of(silent_agent.process.pid) == []


def test_a_child_that_does_not_answer_is_given_up(flow, program, silent_agent):
    error = prepare(silent_agent, flow, program(hang_on="prepare"))["error"]
    assert error["message"] == "the native generator did not answer 'prepare' within 1 s"
    assert children_of(silent_agent.process.pid) == []


def test_a_silent_child_that_still_answers_is_not_given_up(flow, program, silent_agent, tmp_path):
    """A target has nothing to tell for long; it is asked for its clock."""
    quiet = program(seconds=3).replace("roce-load", "quiet")
    Path(quiet).write_text(Path(program(seconds=3)).read_text().replace(" exec ", " QUIET=1 exec "))
    Path(quiet).chmod(0o755)
    started(silent_agent, flow, quiet)
    assert silent_agent.wait_for("finished", 8)["why"] == "done"


def test_a_child_that_hangs_at_teardown_is_killed_in_time(agent, flow, program):
    assert prepare(agent, flow, program(hang_on="teardown"))["ok"]
    (child,) = children_of(agent.process.pid)
    began = time.monotonic()
    assert "did not answer 'teardown'" in agent.ask("teardown")["errors"][0]
    assert time.monotonic() - began < 2.5
    assert gone(child)


@pytest.mark.parametrize("how", ["input", "SIGTERM", "SIGKILL", "quit"])
@pytest.mark.parametrize("busy", [False, True])
def test_it_never_outlives_the_agent(agent, flow, program, how, busy):
    if busy:
        started(agent, flow, program(seconds=60))
    else:
        assert prepare(agent, flow, program())["ok"]
    (child,) = children_of(agent.process.pid)
    if how == "input":
        agent.process.stdin.close()
    elif how == "quit":
        agent.say(b'{"id": 99, "op": "quit"}\n')
    else:
        agent.process.send_signal(signal.Signals[how])
    assert gone(child)
    agent.process.wait(4)


def test_it_never_outlives_the_agent_while_it_is_asked(agent, flow, program):
    native = {"path": program(hang_on="prepare"), "series": None, "sample_ns": None}
    request = {"id": 1, "op": "prepare", "run": "r", "ends": ends(flow), "native": native}
    agent.say(json.dumps(request).encode() + b"\n")
    until = time.monotonic() + 5
    while not children_of(agent.process.pid) and time.monotonic() < until:
        time.sleep(0.02)
    (child,) = children_of(agent.process.pid)
    agent.process.stdin.close()
    agent.process.wait(4)
    assert gone(child)


# --- series ---------------------------------------------------------------------------------------------------


def numbers(text):
    data = zlib.decompress(base64.b64decode(text))
    return [int.from_bytes(data[at : at + 8], "little", signed=True) for at in range(0, len(data), 8)]


def test_series_are_handed_over_and_removed(agent, flow, program, tmp_path):
    folder = tmp_path / "series"
    started(agent, flow, program(), series=str(folder), qps=2, messages=4, message_bytes=1000)
    series = agent.wait_for("finished", 5)["ends"]["f/src"]["series"]
    assert (series["rows"], series["qps"]) == (5, 2)
    names = {key: series[key] for key in ("file", "time_file")}
    whole = agent.ask("series", **names, first=0, rows=100, every=1)
    assert whole["rows"] == 5
    assert numbers(whole["bytes"]) == [0, 0, 1000, 1000, 2000, 2000, 3000, 3000, 4000, 4000]
    times = numbers(whole["time"])
    assert [later - times[0] for later in times] == [0, 10**6, 2 * 10**6, 3 * 10**6, 4 * 10**6]
    thin = agent.ask("series", **names, first=1, rows=2, every=2)
    assert (thin["rows"], numbers(thin["bytes"])) == (2, [1000, 1000, 3000, 3000])
    assert numbers(thin["time"]) == [times[1], times[3]]
    assert agent.ask("series", **names, first=5, rows=9, every=1)["rows"] == 0
    agent.ask("teardown")
    assert not folder.exists()


@pytest.mark.parametrize("name", ["../f.npy", "/etc/hostname", "..", "nothing.npy", "", 7])
def test_only_series_of_the_run_are_handed_over(agent, flow, program, tmp_path, name):
    started(agent, flow, program(), series=str(tmp_path / "series"))
    agent.wait_for("finished", 5)
    keys = {"time_file": "f.time.npy", "first": 0, "rows": 1, "every": 1}
    assert agent.ask("series", file=name, **keys)["error"]["kind"] in {"bad_request", "os"}


def test_without_the_generator_there_are_no_series(agent):
    error = agent.ask("series", file="f.npy", time_file="t.npy", first=0, rows=1, every=1)["error"]
    assert error["detail"]["key"] == "op"


@pytest.mark.parametrize("how", ["prepare", "input", "lost"])
def test_series_do_not_stay_behind(agent, flow, program, tmp_path, how):
    folder = tmp_path / "series"
    if how == "prepare":
        prepare(agent, flow, program(die_on="prepare"), series=str(folder))
    elif how == "lost":
        started(agent, flow, program(die_after_s=0.1, seconds=60), series=str(folder))
        agent.wait_for("failed", 5)
        agent.ask("teardown")
    else:
        started(agent, flow, program(seconds=60), series=str(folder))
        assert folder.exists()
        agent.process.stdin.close()
        agent.process.wait(4)
    assert not folder.exists()


def test_a_folder_that_is_there_already_is_not_touched(agent, flow, program, tmp_path):
    folder = tmp_path / "series"
    folder.mkdir()
    (folder / "mine").write_text("x")
    assert "cannot make" in prepare(agent, flow, program(), series=str(folder))["error"]["message"]
    assert (folder / "mine").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\x10\x00not a dictionary!",
        b"\x93NUMPY\x01\x00\x02\x00[]",
        b"\x93NUMPY\x01\x00\x40\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }     \n",
        b"\x93NUMPY\x01\x00\x40\x00{'descr': '<i8', 'fortran_order': False, 'shape': (9, 9), }     \n",
    ],
)
def test_what_is_no_table_is_refused(tmp_path, data):
    path = tmp_path / "t.npy"
    path.write_bytes(data)
    with pytest.raises(AgentError, match=r"t\.npy"):
        npy.Table(path)


def test_tables_of_numpy_are_read(tmp_path):
    import numpy as np

    for version in ((1, 0), (2, 0)):
        path = tmp_path / f"{version[0]}.npy"
        with path.open("wb") as file:
            np.lib.format.write_array(file, np.arange(12, dtype="<i8").reshape(4, 3), version=version)
        table = npy.Table(path)
        assert (table.rows, table.row_bytes) == (4, 24)
        assert numbers(table.packed(range(0, 4, 3))) == [0, 1, 2, 9, 10, 11]
