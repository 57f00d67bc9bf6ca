"""Switches and the events of a scenario in a run on hosts, and hosts that lose power."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from harness.core.capability import Capability
from harness.core.counters import Counter
from harness.core.errors import AgentLost, ConfigError, DriverError
from harness.core.events import HostDown, Impair, LinkDown, LinkUp
from harness.core.qos import Ecn, Qos
from harness.core.scenario import Scenario
from harness.core.units import MB, MS
from harness.patterns.pair import Pair
from harness.switches import QpRoute

TRAFFIC = Pair(src="h1", dst="h2", size=100 * MB)  # 0.8 s at the rate of the fake agents
PLAIN = Scenario(TRAFFIC, sample_every=0)
REPOSITORY = Path(__file__).parents[3]


def names(lab):
    return [name for name, _ in lab.calls]


def test_a_switch_is_set_up_read_twice_and_restored_at_the_end(lab):
    fabric = lab.switched()
    result = fabric.run(PLAIN)
    assert result.invalid_reasons == ()
    assert names(lab)[-4:] == ["snapshot", "configure", "counters", "counters"]
    assert result.counters.at("sw1:e1")[Counter.TX_PACKETS] == 7
    assert result.raw["not_reached"] == []
    assert {Capability.LINK_FLAP, Capability.SWITCH_COUNTERS} <= fabric.capabilities


def test_a_switch_that_stands_as_wanted_is_not_built_again(lab):
    fabric = lab.switched()
    fabric.run(PLAIN)
    fabric.run(PLAIN)
    fabric.run(Scenario(TRAFFIC, qos=Qos(ecn=Ecn(kmin=10_000, kmax=20_000)), sample_every=0))
    fabric.close()
    assert [name for name in names(lab) if name != "counters"] == [
        "snapshot",
        "configure",
        "configure",
        "restore",
    ]


def test_a_switch_that_an_event_touched_is_restored_and_built_again(lab):
    fabric = lab.switched()
    fabric.run(Scenario(TRAFFIC, events=[LinkDown(at="100ms", port="h1:p0")], sample_every=0))
    assert names(lab)[-1] == "restore"
    fabric.run(PLAIN)
    assert names(lab)[-4:] == ["snapshot", "configure", "counters", "counters"]


def test_a_switch_is_told_the_queue_pairs_of_each_flow(lab):
    fabric = lab.switched()
    fabric.run(PLAIN)
    route = QpRoute("h1:p0", "h2:p0", "198.18.0.1", "198.18.0.2", 100, 100, 7, read=False)
    assert fabric._rig.switches._drivers["sw1"].flows == {"pair-0": [route]}


def test_events_happen_when_they_are_due_and_the_result_says_when(lab):
    events = [
        LinkUp(at="500ms", port="h1:p0"),
        LinkDown(at="200ms", port="h1:p0"),
        Impair(at=0, flow="pair-0", action="drop", packets=[1]),
    ]
    result = lab.switched().run(Scenario(TRAFFIC, events=events, sample_every=0))
    assert names(lab)[-7:] == [
        "configure",
        "impair",
        "counters",
        "link_down",
        "link_up",
        "counters",
        "restore",
    ]
    up, down, drop = result.raw["hosts"]["events"]
    assert 200 * MS <= down["began_ps"] < 400 * MS
    assert 500 * MS <= up["began_ps"] < 700 * MS
    assert drop["done_ps"] < 0
    assert down["said"] == {"sw1": "link_down done"}


def test_events_after_the_end_did_not_happen(lab):
    result = lab.switched().run(Scenario(TRAFFIC, events=[LinkDown(at="8s", port="h1:p0")], sample_every=0))
    assert result.ended == "done"
    assert result.raw["hosts"]["events"][0]["began_ps"] is None
    assert "link_down" not in names(lab)


def test_an_event_that_no_switch_carries_out_is_an_error(lab):
    with pytest.raises(DriverError, match="no switch carried out link_down: sw1: link_down done"):
        lab.switched().run(Scenario(TRAFFIC, events=[LinkDown(at="100ms", port="h2:p0")], sample_every=0))
    assert names(lab)[-1] == "restore"
    assert lab.ops("h1")[-1] == "teardown"


@pytest.mark.parametrize("when", ["snapshot", "configure", "counters", "link_down"])
@pytest.mark.parametrize("error", [DriverError("sw1: tc: No space left"), RuntimeError("a defect")])
def test_whatever_fails_at_a_switch_ends_the_run_and_restores(lab, when, error):
    fabric = lab.switched()
    lab.switch_problems[when] = error
    scenario = Scenario(TRAFFIC, events=[LinkDown(at="100ms", port="h1:p0")], sample_every=0)
    with pytest.raises(type(error), match=str(error)):
        fabric.run(scenario)
    assert names(lab)[-1] == "restore"
    lab.switch_problems.clear()
    assert fabric.run(PLAIN).ended == "done"


def test_a_switch_that_is_not_restored_after_a_good_run_is_an_error(lab):
    fabric = lab.switched()
    lab.switch_problems["restore"] = DriverError("sw1: not as it was: tbf on swp1")
    with pytest.raises(DriverError, match="sw1: not as it was"):
        fabric.run(Scenario(TRAFFIC, events=[LinkDown(at="100ms", port="h1:p0")], sample_every=0))
    lab.switch_problems.clear()


def test_a_switch_that_is_not_restored_at_the_end_is_an_error_once_all_is_closed(lab):
    fabric = lab.switched()
    fabric.run(PLAIN)
    lab.switch_problems["restore"] = DriverError("sw1: not as it was: tbf on swp1")
    with pytest.raises(DriverError, match="sw1: not as it was"):
        fabric.close()
    lab.switch_problems.clear()
    assert fabric._rig.crew.remotes == {}


def test_a_switch_whose_connection_broke_is_dialled_again_and_restored(lab):
    fabric = lab.switched(h2={"die_after_s": 0.4})
    threading.Timer(0.9, lab.remotes["sw1"].close).start()
    with pytest.raises(AgentLost, match="h2"):
        fabric.run(Scenario(Pair(src="h1", dst="h2", size=1000 * MB), sample_every=0))
    end = time.monotonic() + 3
    while lab.remotes["sw1"].alive and names(lab)[-1] != "restore" and time.monotonic() < end:
        threading.Event().wait(0.05)
    assert names(lab)[-1] == "restore"


def test_without_ownership_switches_are_only_read(lab):
    fabric = lab.switched(may_disturb=False)
    assert Capability.LINK_FLAP not in fabric.capabilities
    assert Capability.SWITCH_COUNTERS in fabric.capabilities
    fabric.run(PLAIN)
    for scenario in (
        Scenario(TRAFFIC, events=[LinkDown(at="100ms", port="h1:p0")], sample_every=0),
        Scenario(TRAFFIC, qos=Qos(ecn=Ecn(kmin=1000, kmax=2000)), sample_every=0),
    ):
        with pytest.raises(ConfigError, match="may not do .*--i-own-this-fabric"):
            fabric.run(scenario)
    fabric.close()
    assert set(names(lab)) == {"counters"}


def test_a_switch_that_the_site_leaves_out_offers_nothing(lab):
    fabric = lab.fabric()
    assert Capability.LINK_FLAP not in fabric.capabilities
    assert fabric.run(PLAIN).invalid_reasons == ()


class Power:
    """Power switches of fake hosts: off kills the agent and cuts the connection."""

    def __init__(self, lab):
        self.lab = lab
        self.said = []

    def off(self, host):
        self.said.append(f"off {host}")
        remote = self.lab.remotes[host]
        for process in remote.processes:
            process.kill()
        remote.close()

    def on(self, host):
        self.said.append(f"on {host}")


def test_a_host_that_is_powered_off_on_purpose_is_no_fault(lab):
    power = Power(lab)
    fabric = lab.switched(host_power=power)
    assert Capability.HOST_DOWN in fabric.capabilities
    scenario = Scenario(
        TRAFFIC, events=[HostDown(at="300ms", host="h2")], may_fail=["pair-0"], sample_every=0
    )
    result = fabric.run(scenario)
    assert result.raw["not_reached"] == ["h2"]
    assert "h2:p0" not in result.raw["ports"]
    assert result.flows[0].bytes_acked == 100 * MB
    assert power.said == ["off h2", "on h2"]
    assert fabric.run(PLAIN).invalid_reasons == ()


def test_a_sender_that_is_powered_off_leaves_its_flows_unfinished_and_unknown(lab):
    scenario = Scenario(
        TRAFFIC, events=[HostDown(at="300ms", host="h1")], may_fail=["pair-0"], sample_every=0
    )
    result = lab.switched(host_power=Power(lab), h2={"never_finish": "until_stop"}).run(scenario)
    flow = result.raw["flows"][0]
    assert (flow["status"], flow["bytes_acked"], flow["error"]) == ("unfinished", None, None)
    assert result.ended == "done"
    assert result.invalid_reasons == ()


def test_a_host_that_was_powered_off_in_a_failed_run_comes_back(lab):
    power = Power(lab)
    fabric = lab.switched(host_power=power)
    lab.switch_problems["link_down"] = DriverError("sw1: no")
    events = [HostDown(at="100ms", host="h2"), LinkDown(at="400ms", port="h1:p0")]
    with pytest.raises(DriverError, match="sw1: no"):
        fabric.run(Scenario(TRAFFIC, events=events, sample_every=0))
    lab.switch_problems.clear()
    fabric.close()
    assert power.said == ["off h2", "on h2"]


def test_a_controller_that_is_killed_leaves_no_agent_and_clean_switches(lab, tmp_path):
    program = tmp_path / "controller.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import sys
            from pathlib import Path
            from harness.hosts import gear
            from harness.tests.hosts import conftest
            lab = conftest.Lab(Path({str(tmp_path)!r}))
            gear.load_nic = lambda driver: conftest.FakeNic
            gear.load_switch = lambda os: (
                lambda remote, node, ports, topology: conftest.FakeSwitch(lab, remote, node, ports))
            fabric = lab.switched()
            print(*(process._child.pid for process in lab.running()), flush=True)
            from harness.tests.hosts.test_switches_and_events import Scenario, Pair, MB
            fabric.run(Scenario(Pair(src="h1", dst="h2", size=10000 * MB), sample_every=0))
            """
        )
    )
    child = subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    agents = [int(pid) for pid in child.stdout.readline().split()]
    threading.Event().wait(1.0)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    end = time.monotonic() + 8
    while time.monotonic() < end and ("cleaned" not in lab.log.read_text() or any(map(is_running, agents))):
        threading.Event().wait(0.1)
    assert len(agents) == 2
    assert not any(map(is_running, agents))
    assert lab.log.read_text().count("cleaned") == 1


def is_running(pid):
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_guards_leave_without_cleaning_when_all_is_well(lab):
    fabric = lab.switched()
    fabric.run(PLAIN)
    fabric.close()
    threading.Event().wait(0.5)
    assert "cleaned" not in lab.log.read_text()
