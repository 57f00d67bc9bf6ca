"""Everything that can go wrong with a lab of hosts: one error that names host and cause, soon, and no leftovers."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from harness.core.capability import Capability
from harness.core.engine import Engine
from harness.core.errors import (
    AgentFailed,
    AgentLost,
    CommandFailed,
    EngineError,
    HostUnreachable,
    PeerMismatch,
)
from harness.core.flow import Flow, Flows
from harness.core.scenario import Scenario
from harness.core.units import MB
from harness.patterns.pair import Pair

LONG = Scenario(Pair(src="h1", dst="h2", size=1000 * MB), sample_every=0)
SHORT = Scenario(Pair(src="h1", dst="h2", size=MB), sample_every=0)


def settle(lab):
    """Wait until the agents that were killed are gone."""
    end = time.monotonic() + 5
    while lab.running() and time.monotonic() < end:
        threading.Event().wait(0.05)
    return lab.running()


@pytest.mark.parametrize(
    ("behaviour", "error", "message"),
    [
        (
            {"hello": {"protocol": 2}},
            PeerMismatch,
            "h2: the agent speaks version 2 .* this controller version 1",
        ),
        (
            {"first_line": "Welcome to Debian!"},
            AgentLost,
            "h2: the agent said 'Welcome to Debian!' instead of hello",
        ),
        ({"first_line": '{"event": "hi"}'}, AgentLost, "instead of hello"),
        ({"die_at_start": 1}, AgentLost, "h2: the agent ended with exit code 1: cannot import name 'spam'"),
        (
            {"hello": {"pyverbs": None, "pyverbs_error": "No module named 'pyverbs'"}},
            AgentFailed,
            "h2: no pyverbs in its python3 3.11: No module named 'pyverbs'; install python3-pyverbs",
        ),
        ({"die_on": "devices"}, AgentLost, "h2: the agent was killed by SIGKILL"),
        (
            {"devices": [{"device": "rxe7", "driver": "x", "ports": []}]},
            AgentFailed,
            "h2: there is no RDMA device",
        ),
        (
            {"errors": {"devices": {"kind": "os", "message": "no sysfs"}}},
            AgentFailed,
            r"h2: devices: no sysfs \(os\)",
        ),
        (
            {"deploy_error": CommandFailed("no space left on h2:/root", host="h2", exit_code=1)},
            CommandFailed,
            "h2: no space left",
        ),
    ],
)
def test_a_host_that_cannot_serve_is_known_when_the_fabric_is_reserved(lab, behaviour, error, message):
    with pytest.raises(error, match=message) as found:
        lab.fabric(h2=behaviour)
    assert "\n" not in str(found.value)
    assert settle(lab) == []
    assert not any(remote.alive for remote in lab.remotes.values())


def test_an_agent_that_says_no_hello_is_given_up(lab, monkeypatch):
    monkeypatch.setattr("harness.hosts.client.HELLO_TIMEOUT_S", 0.3)
    monkeypatch.setattr("harness.hosts.client.AgentClient.__init__.__kwdefaults__", {"hello_timeout_s": 0.3})
    with pytest.raises(AgentLost, match=r"h2: the agent said nothing within 0.3 s of its start"):
        lab.fabric(h2={"hello": None})
    assert settle(lab) == []


def test_a_host_without_the_native_generator_is_known_when_it_is_asked_for(lab):
    with pytest.raises(EngineError, match="no native generator on h1: the host does not say what it is"):
        lab.fabric(engine=Engine.NATIVE)
    assert settle(lab) == []


def test_nobody_looks_for_the_native_generator_when_pyverbs_is_asked_for(lab, monkeypatch):
    monkeypatch.setattr("harness.hosts.rig.equip", None)
    fabric = lab.fabric(engine=Engine.PYVERBS)
    assert Capability.LOAD_OPTIONS not in fabric.capabilities
    assert fabric.run(SHORT).ended == "done"


def test_a_host_that_cannot_be_reached_is_named(lab):
    lab.refused["h2"] = HostUnreachable("no route to 192.0.2.1", host="h2")
    with pytest.raises(HostUnreachable, match="^h2: no route"):
        lab.fabric()
    assert not lab.remotes["h1"].alive


FAULTS = {
    "killed while preparing": ({"die_on": "prepare"}, AgentLost, "h2: the agent was killed by SIGKILL"),
    "killed while connecting": ({"die_on": "connect"}, AgentLost, "h2: the agent was killed by SIGKILL"),
    "killed at the start": ({"die_on": "start"}, AgentLost, "h2: the agent was killed by SIGKILL"),
    "killed in mid-run": ({"die_after_s": 0.3}, AgentLost, "h2: the agent was killed by SIGKILL"),
    "silent while preparing": ({"mute_on": "prepare"}, AgentLost, "h2: the agent said nothing for "),
    "silent in mid-run": ({"mute_on": "start"}, AgentLost, "h2: the agent said nothing for "),
    "garbage": ({"garbage_on": "start"}, AgentLost, "h2: the agent said 'Segmentation fault .*no JSON object"),
    "no resources": (
        {"errors": {"prepare": {"kind": "no_resources", "message": "create_qp: ENOMEM", "detail": {"end": "x/dst"}}}},
        AgentFailed,
        r"h2: prepare of x/dst: create_qp: ENOMEM \(no_resources\); fewer QPs",
    ),
    "no GID": (
        {"errors": {"prepare": {"kind": "no_gid", "message": "no RoCE v2"}}}, AgentFailed, "h2: prepare: no RoCE v2"
    ),
    "an answer without words": ({"errors": {"connect": None}}, AgentFailed, "h2: connect: failed and does not say"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_an_agent_is_one_error_and_the_fabric_is_usable_again(lab, impatient, fault):
    behaviour, error, message = FAULTS[fault]
    fabric = lab.fabric(h2=behaviour)
    began = time.monotonic()
    with pytest.raises(error, match=message) as found:
        fabric.run(LONG)
    assert time.monotonic() - began < 5
    assert "\n" not in str(found.value)
    assert lab.ops("h1")[-1] == "teardown"
    lab.remotes["h2"].behaviour = {"address": 2}
    if lab.remotes["h2"].alive and fabric._rig.crew.clients["h2"].lost is None:
        fabric._rig.crew.clients["h2"].close()
    assert fabric.run(SHORT).ended == "done"


def test_a_slow_answer_is_no_fault(lab):
    fabric = lab.fabric(h2={"late_s": {"prepare": 0.8}})
    assert fabric.run(SHORT).invalid_reasons == ()


def test_an_agent_that_hangs_after_its_part_was_done_is_noticed_while_others_send(lab, impatient):
    fabric = lab.fabric(h2={"hang_after_s": 0.2, "finish_at_once": True})
    began = time.monotonic()
    with pytest.raises(AgentLost, match="h2: the agent said nothing for "):
        fabric.run(LONG)
    assert time.monotonic() - began < 4


def test_agents_that_have_nothing_to_do_are_pinged_and_stay(lab, impatient):
    result = lab.fabric(h2={"finish_at_once": True}).run(
        Scenario(Pair(src="h1", dst="h2", size=200 * MB), sample_every=0)
    )
    assert result.invalid_reasons == ()


def test_an_agent_that_never_starts_is_named(lab, monkeypatch):
    monkeypatch.setattr("harness.hosts.traffic.START_GRACE_S", 0.3)
    with pytest.raises(AgentFailed, match=r"h2: the agent did not start within 0.3 s"):
        lab.fabric(h2={"never_start": True}).run(LONG)


def test_an_agent_that_never_finishes_is_named(lab, monkeypatch):
    monkeypatch.setattr("harness.hosts.traffic.FINISH_GRACE_S", 0.5)
    with pytest.raises(AgentFailed, match=r"h2: the agent gave no results within 0.5 s"):
        lab.fabric(h2={"never_finish": True}).run(SHORT)


def test_a_connection_lost_in_mid_run_is_dialled_again_at_the_next(lab):
    fabric = lab.fabric()
    cut = threading.Timer(0.8, lab.remotes["h2"].close)
    cut.start()
    with pytest.raises(AgentLost, match="h2: the agent"):
        fabric.run(LONG)
    assert fabric.run(SHORT).ended == "done"
    assert lab.dialled == [["h1", "h2"], ["h2"]]


def test_a_host_that_stays_away_is_why_the_next_run_fails(lab):
    fabric = lab.fabric()
    lab.remotes["h2"].close()
    lab.refused["h2"] = HostUnreachable("no route", host="h2")
    with pytest.raises(HostUnreachable, match="h2: no route"):
        fabric.run(SHORT)
    del lab.refused["h2"]
    assert fabric.run(SHORT).ended == "done"


def test_an_interrupt_stops_the_agents_and_passes_on(lab):
    fabric = lab.fabric()
    threading.Timer(0.8, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fabric.run(LONG)
    assert time.monotonic() - began < 4
    assert lab.ops("h1")[-1] == "teardown"
    assert lab.ops("h2")[-1] == "teardown"
    assert fabric.run(SHORT).ended == "done"


def test_an_agent_that_does_not_tear_down_is_killed(lab, monkeypatch):
    monkeypatch.setattr("harness.hosts.execution.TEARDOWN_S", 0.3)
    fabric = lab.fabric(h1={"late_s": {"teardown": 60}}, h2={"die_after_s": 0.2})
    with pytest.raises(AgentLost, match="h2"):
        fabric.run(LONG)
    assert settle(lab) == []


def test_an_agent_that_ignores_the_end_of_its_input_is_killed(lab):
    fabric = lab.fabric(h2={"ignore_eof": True})
    began = time.monotonic()
    fabric.close()
    assert settle(lab) == []
    assert time.monotonic() - began < 8


def test_a_failed_run_leaves_no_folder(lab, tmp_path):
    fabric = lab.fabric(h2={"die_on": "start"})
    with pytest.raises(AgentLost):
        fabric.run(SHORT, output=tmp_path / "out" / "run")
    assert list((tmp_path / "out").iterdir()) == []


def test_ends_that_do_not_fit_are_named_with_both_values(lab):
    from harness.core.blocks import NicBlock

    small = [
        {**device, "ports": [{**device["ports"][0], "active_mtu": 1024, "netdev_mtu": 1500}]}
        for device in DEVICES
    ]
    fabric = lab.fabric(h2={"devices": small})
    scenario = Scenario(Pair(src="h1", dst="h2", size=MB), nic=NicBlock(mtu_bytes=4096), sample_every=0)
    with pytest.raises(
        PeerMismatch,
        match=r"4096 .* 4096 at h1:p0 \(p0 with MTU 4200\) and 1024 at h2:p0 \(p0 with MTU 1500\)",
    ):
        fabric.run(scenario)
    assert fabric.run(SHORT).ended == "done"


def test_a_flow_may_wait_for_one_that_ends_at_its_source(lab):
    flows = [
        Flow(name="a", src="h1:p0", dst="h2:p0", message_bytes=8),
        Flow(name="b", src="h2:p0", dst="h1:p0", message_bytes=8, after=("a",)),
    ]
    assert lab.fabric().run(Scenario(Flows(flows), sample_every=0)).ended == "done"


GIDS = [{"index": 1, "gid": "::ffff:198.18.0.2", "type": "RoCE v2", "family": "ipv4", "netdev": "p0"}]
PORT = {
    "port": 1, "state": "ACTIVE", "phys_state": "LINK_UP", "active_mtu": 4096, "netdev": "p0", "netdev_mtu": 4200,
    "gids": GIDS,
}  # fmt: skip
DEVICES = [{"device": "rxe0", "driver": "fake", "caps": {}, "ports": [PORT]}]
