"""The agent as a real process over pipes: its protocol, and that it never outlives its controller."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"


def has_pyverbs():
    if not os.access(SYSTEM_PYTHON, os.X_OK):
        return False
    return (
        subprocess.run(
            [SYSTEM_PYTHON, "-c", "import pyverbs.qp"], capture_output=True, check=False
        ).returncode
        == 0
    )


def gone_within(agent, seconds):
    began = time.monotonic()
    agent.process.wait(seconds + 5)
    return time.monotonic() - began <= seconds


def test_hello_says_what_is_there(agent, archive):
    import hashlib
    import platform

    hello = agent.hello
    assert (hello["event"], hello["protocol"]) == ("hello", 1)
    assert hello["version"] == hashlib.sha256(archive.read_bytes()).hexdigest()[:16]
    assert hello["python"] == platform.python_version()
    assert hello["pid"] == agent.process.pid
    assert (hello["pyverbs"] is None) == (hello["pyverbs_error"] is not None)
    assert hello["perftest"] == (shutil.which("ib_write_bw") is not None)


@pytest.mark.skipif(not has_pyverbs(), reason="no system pyverbs")
def test_hello_of_a_python_with_pyverbs_tells_its_version(start_agent):
    hello = start_agent(SYSTEM_PYTHON).hello
    assert hello["pyverbs_error"] is None
    assert hello["pyverbs"][0].isdigit()


def test_clock_is_this_machines_monotonic_clock(agent):
    before = time.monotonic_ns()
    answer = agent.ask("clock")
    assert before <= answer["mono_ns"] <= time.monotonic_ns()
    assert abs(answer["real_ns"] - time.time_ns()) < 10**9


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b'"x"', b'{"op": "clock"}', b'{"id": -1, "op": "clock"}', b"\xff\xfe", b"{}" * 100_000],
)
def test_a_bad_line_is_answered_and_survived(agent, line):
    agent.say(line + b"\n")
    answer = agent.line()
    assert (answer["id"], answer["ok"], answer["error"]["kind"]) == (None, False, "bad_request")
    assert agent.ask("clock")["ok"]


def test_blank_lines_are_nothing(agent):
    agent.say(b"\n  \n")
    assert agent.ask("clock")["ok"]


@pytest.mark.parametrize(
    ("op", "keys", "key"),
    [
        ("fly", {}, "op"),
        ("clock", {"speed": 3}, "speed"),
        ("prepare", {"run": "r", "ends": []}, "ends"),
        ("prepare", {"run": "r", "ends": 5}, "ends"),
        ("prepare", {"run": "r", "ends": [{"id": "x"}]}, "ends[0].flow"),
        ("prepare", {"run": "r", "qos": {"mtu_bytes": 1500}, "ends": []}, "qos.mtu_bytes"),
        ("connect", {"ends": {"f/src": []}}, "ends.f/src"),
        ("start", {"at_mono_ns": 1}, "op"),
        ("recover", {"ends": ["x"]}, "ends"),
        ("counters", {"ports": [{"device": "rxe0"}]}, "ports[0].port"),
    ],
)
def test_bad_requests_name_the_key(agent, op, keys, key):
    error = agent.ask(op, **keys)["error"]
    assert error["kind"] == "bad_request"
    assert error["detail"]["key"] == key
    assert "\n" not in error["message"]


def test_a_device_that_is_not_there_is_told_with_what_is(agent):
    flow = {"name": "f", "message_bytes": 1}
    end = {"id": "f/src", "role": "src", "device": "no_such_device", "port": 1, "flow": flow}
    error = agent.ask("prepare", run="r", ends=[end])["error"]
    assert error["kind"] in {"no_pyverbs", "no_device"}
    assert error["detail"] is not None
    assert agent.ask("prepare", run="r", ends=[end])["error"]["kind"] == error["kind"]


def test_teardown_is_always_possible(agent):
    assert agent.ask("teardown") == {"id": 1, "ok": True, "closed": 0, "errors": []}
    assert agent.ask("teardown")["ok"]
    assert agent.ask("stop")["ok"]
    assert agent.ask("reduce_check")["groups"] == {}


def test_counters_of_a_port_that_is_not_there_say_why(agent):
    port = agent.ask("counters", ports=[{"device": "rxe9", "port": 1, "netdev": "lo"}])["ports"][0]
    assert port["hw_counters"] is None
    assert port["errors"]["hw_counters"]
    assert port["netdev"]["rx_bytes"] >= 0  # those of the loopback device are real


def test_a_slow_program_delays_no_clock(archive, tmp_path, monkeypatch, start_agent):
    slow = tmp_path / "bin/rdma"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nsleep 3\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(slow.parent), prepend=os.pathsep)
    agent = start_agent(sys.executable)
    agent.say(b'{"id": 90, "op": "counters", "ports": [{"device": "rxe0", "port": 1}]}\n')
    began = time.monotonic()
    assert agent.ask("clock")["ok"]
    assert time.monotonic() - began < 1.5
    counted = agent.line()
    assert counted["id"] == 90
    assert counted["ports"][0]["errors"]["rdma_statistic"]


def test_quit_ends_it(agent):
    assert agent.ask("quit")["ok"]
    assert gone_within(agent, 2)
    assert agent.process.returncode == 0


def test_it_ends_with_its_input(agent):
    agent.process.stdin.close()
    assert gone_within(agent, 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it(agent, number):
    agent.process.send_signal(number)
    assert gone_within(agent, 2)


def test_an_interrupt_is_for_the_controller(agent):
    agent.process.send_signal(signal.SIGINT)
    assert agent.ask("clock")["ok"]


def test_it_ends_when_nobody_reads(agent):
    agent.process.stdout.close()
    agent.say(b'{"id": 1, "op": "clock"}\n')
    assert gone_within(agent, 3)


def test_many_requests_at_once_are_answered_in_order(agent):
    agent.say(b"".join(json.dumps({"id": n, "op": "clock"}).encode() + b"\n" for n in range(200)))
    assert [agent.line()["id"] for _ in range(200)] == list(range(200))
