"""The near side of one agent."""

from __future__ import annotations

import json
import sys
import threading
import time

import pytest

from harness.core.errors import AgentFailed, AgentLost
from harness.hosts.client import AgentClient
from harness.tests.hosts.conftest import FAKE
from harness.transport.local import LocalRemote


@pytest.fixture
def client_of():
    made = []

    def make(sink=lambda event: None, **behaviour):
        process = LocalRemote("h1").start(
            [sys.executable, str(FAKE), json.dumps({"host": "h1", **behaviour})]
        )
        made.append(AgentClient("h1", process, sink))
        return made[-1]

    yield make
    for client in made:
        client.close()


def test_answers_find_their_requests(client_of):
    client = client_of(late_s={"devices": 0.3})
    replies = [client.submit("devices"), client.submit("clock"), client.submit("stop")]
    assert "mono_ns" in replies[1].wait(5)
    assert "devices" in replies[0].wait(5)
    assert replies[2].wait(5)["ok"] is True


def test_a_pause_between_requests_is_no_silence(client_of, impatient):
    client = client_of()
    client.request("clock", timeout_s=5)
    threading.Event().wait(0.9)
    client.submit("stop")
    client.check_pulse()
    assert client.request("stop", timeout_s=5)["ok"] is True


def test_an_answer_that_never_comes_loses_the_agent(client_of):
    client = client_of(late_s={"clock": 60})
    with pytest.raises(AgentLost, match="h1: the agent did not answer 'clock' within 0.3 s"):
        client.request("clock", timeout_s=0.3)
    with pytest.raises(AgentLost, match="did not answer 'clock'"):
        client.request("stop", timeout_s=5)


def test_all_who_wait_are_woken_when_the_agent_dies(client_of):
    events = []
    client = client_of(events.append, late_s={"prepare": 0.3}, die_on="connect")
    replies = [
        client.submit("prepare", run="x", ends=[]),
        client.submit("connect", ends={}),
        client.submit("stop"),
    ]
    began = time.monotonic()
    assert replies[0].wait(5)["ok"] is True
    for reply in replies[1:]:
        with pytest.raises(AgentLost, match="h1: the agent was killed by SIGKILL"):
            reply.wait(30)
    assert time.monotonic() - began < 5
    assert [event.kind for event in events] == ["lost"]


def test_an_agent_that_rejects_a_line_it_cannot_place_is_given_up(client_of):
    client = client_of()
    client._hear(b'{"id": null, "ok": false, "error": {"kind": "bad_request", "message": "no JSON"}}\n')
    with pytest.raises(AgentLost, match="rejected a line: .*no JSON"):
        client.request("clock", timeout_s=5)


def test_errors_carry_kind_and_place(client_of):
    detail = {"end": "f/src", "errno": 12}
    client = client_of(errors={"stop": {"kind": "no_resources", "message": "two\nlines", "detail": detail}})
    with pytest.raises(
        AgentFailed, match=r"^h1: stop of f/src: two lines \(no_resources\); fewer QPs"
    ) as found:
        client.request("stop", timeout_s=5)
    assert (found.value.kind, found.value.detail["errno"]) == ("no_resources", 12)
