"""Pause storms in a run on hosts: the real generator on a wire of our own, agents that play their part."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from harness.core.capability import Capability
from harness.core.engine import Engine
from harness.core.errors import AgentFailed, AgentLost, ConfigError
from harness.core.events import PauseStorm
from harness.core.programs import find_program
from harness.core.scenario import Scenario
from harness.core.units import MB, MS
from harness.hosts import rig
from harness.hosts.native import Native
from harness.patterns.pair import Pair
from harness.tests.load import wire as wires
from harness.transport.local import LocalRemote

REASON = wires.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

TRAFFIC = Pair(src="h1", dst="h2", size=100 * MB)  # 0.8 s at the rate of the fake agents
LONG = Pair(src="h1", dst="h2", size=1000 * MB)


def storm(at="100ms", duration="300ms", **more):
    return PauseStorm(at=at, port="h2:p0", priorities=[3, 4], duration=duration, **more)


def scenario(*storms, traffic=TRAFFIC):
    return Scenario(traffic, events=storms, sample_every=0)


class Hosts:
    """Makes fabrics whose hosts send pause frames on a wire; `pauses` are the generators that were started."""

    def __init__(self, lab, wire):
        self.lab = lab
        self.wire = wire
        self.pauses = []
        dial = lab.dial

        def dial_beside_the_wire(nodes):
            opened, errors = dial(nodes)
            for node in lab.topology.hosts:
                if node in opened:
                    self._put_beside(opened[node])
            return opened, errors

        lab.dial = dial_beside_the_wire

    def _put_beside(self, remote):
        run, start = remote.run, remote.start

        def run_there(argv, **options):
            return LocalRemote.run(remote, argv, **options) if "pause" in argv else run(argv, **options)

        def start_there(argv):
            if "pause" not in argv:
                return start(argv)
            process = LocalRemote.start(remote, [*self.wire.prefix, *argv])
            self.pauses += [] if "--probe" in argv else [process]
            return process

        remote.run, remote.start = run_there, start_there

    def fabric(self, **behaviours):
        fabric = self.lab.fabric(**behaviours)
        object.__setattr__(fabric._rig, "engine", Engine.PYVERBS)  # the fake agents have no other
        return fabric

    def signal_first(self, how):
        """Send a signal to the first generator."""
        os.kill(self.pauses[0]._child.pid, how)

    def running(self):
        return [process for process in self.pauses if process._child.poll() is None]


@pytest.fixture
def wire():
    wire = wires.Wire()
    yield wire
    wire.close()


@pytest.fixture
def hosts(lab, wire, monkeypatch):
    program = find_program("roce-load", "ROCE_LOAD")
    assert program is not None, "there is no roce-load: make setup builds it"
    monkeypatch.setattr(rig, "equip", lambda remote, kit: Native(str(program), "built here"))
    hosts = Hosts(lab, wire)
    yield hosts
    for process in hosts.pauses:
        process.kill()


def test_a_storm_is_sent_when_it_is_due_and_the_result_vouches_for_it(hosts, wire):
    capture = wire.capture()
    fabric = hosts.fabric()
    assert Capability.PAUSE_STORM in fabric.capabilities
    result = fabric.run(scenario(storm(quanta=30_000)))
    (event,) = result.raw["hosts"]["events"]
    said = event["certificate"]
    assert said["priorities"] == [3, 4]
    assert said["quanta"] == [30_000, 30_000]
    assert said["rate_bps"] == 10**10  # what the interface says; the topology has 1 Gb/s
    assert said["asked_ns"] == 300_000_000
    assert 90 * MS <= event["began_ps"] <= 200 * MS
    assert 390 * MS <= event["done_ps"] <= 500 * MS
    assert event["said"] == {"h2": f"{said['frames']} pause frames on p0"}
    frames = capture.frames()
    assert len(frames) == said["frames"] + 1
    assert frames[0].data[16:28].hex() == "0018" + "0000" * 3 + "7530" * 2  # 802.1Qbb, priorities 3 and 4
    assert result.invalid_reasons == () or said["gaps_over_quanta"]


def test_a_storm_at_the_start_begins_with_the_traffic(hosts):
    result = hosts.fabric().run(scenario(storm(at=0, duration="50ms")))
    (event,) = result.raw["hosts"]["events"]
    assert 0 <= event["began_ps"] <= 100 * MS


def test_a_storm_with_a_gap_makes_the_run_no_evidence(hosts):
    def stop_for_a_while():
        deadline = time.monotonic() + 5
        while not hosts.pauses and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.55)  # 0.3 s ahead of the start at most, and 0.1 s until it is due
        hosts.signal_first(signal.SIGSTOP)
        time.sleep(0.2)
        hosts.signal_first(signal.SIGCONT)

    threading.Thread(target=stop_for_a_while, daemon=True).start()
    result = hosts.fabric().run(scenario(storm(duration="600ms")))
    assert result.raw["hosts"]["events"][0]["certificate"]["gapless"] is False
    (reason,) = result.invalid_reasons
    assert reason.startswith("the pause of h2:p0 had gaps: largest ")
    assert reason.endswith(" over 3.355392ms")


def test_a_storm_ends_with_the_run(hosts, wire):
    capture = wire.capture()
    result = hosts.fabric().run(scenario(storm(duration="20s")))
    (event,) = result.raw["hosts"]["events"]
    assert event["certificate"]["stopped"] is True
    assert event["certificate"]["xon_sent"] is True
    assert event["done_ps"] < 5000 * MS
    assert hosts.running() == []
    assert set(capture.frames()[-1].data[18:]) == {0}  # the end of the pause


def test_a_storm_after_the_end_did_not_happen(hosts, wire):
    capture = wire.capture()
    result = hosts.fabric().run(scenario(storm(at="2s"), storm(at="9s")))
    for event in result.raw["hosts"]["events"]:
        assert (event["began_ps"], event["said"], event.get("certificate")) == (None, {}, None)
    assert result.invalid_reasons == ()
    assert capture.frames() == []
    assert hosts.running() == []


def test_storms_of_one_port_may_follow_one_another(hosts):
    result = hosts.fabric().run(scenario(storm(duration="100ms"), storm(at="300ms", duration="100ms")))
    first, second = result.raw["hosts"]["events"]
    assert first["done_ps"] < second["began_ps"]
    assert second["certificate"]["asked_ns"] == 100_000_000


def test_nothing_stays_paused_after_an_error(hosts, wire):
    capture = wire.capture()
    fabric = hosts.fabric(h1={"die_after_s": 0.6})
    with pytest.raises(AgentLost, match="h1"):
        fabric.run(scenario(storm(duration="20s"), traffic=LONG))
    assert hosts.running() == []
    assert set(capture.frames()[-1].data[18:]) == {0}


def test_a_generator_that_is_killed_ends_the_run_in_words(hosts):
    fabric = hosts.fabric()

    def kill_it():
        deadline = time.monotonic() + 5
        while not hosts.pauses and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        hosts.signal_first(signal.SIGKILL)

    threading.Thread(target=kill_it, daemon=True).start()
    with pytest.raises(AgentFailed, match="h2: roce-load pause was killed by SIGKILL"):
        fabric.run(scenario(storm(duration="20s"), traffic=LONG))


def test_an_interface_that_is_down_ends_the_run_in_words(hosts, wire):
    fabric = hosts.fabric()
    wire.run("ip", "link", "set", wires.NEAR, "down")
    with pytest.raises(AgentFailed, match="h2: no pause on h2:p0: p0 went down"):
        fabric.run(scenario(storm(), traffic=LONG))


def test_an_interface_that_goes_down_in_a_storm_makes_the_run_no_evidence(hosts, wire):
    def take_it_down():
        deadline = time.monotonic() + 5
        while not hosts.pauses and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.6)
        wire.run("ip", "link", "set", wires.NEAR, "down")

    threading.Thread(target=take_it_down, daemon=True).start()
    result = hosts.fabric().run(scenario(storm(duration="600ms")))
    (reason,) = result.invalid_reasons
    assert reason.startswith("the pause of h2:p0 broke off: p0 went down")


def test_a_host_without_the_interface_offers_no_storms(hosts, wire):
    wire.run("ip", "link", "del", wires.NEAR)
    fabric = hosts.fabric()
    assert Capability.PAUSE_STORM not in fabric.capabilities
    with pytest.raises(ConfigError, match="does not offer pause_storm"):
        fabric.run(scenario(storm()))


def test_a_fabric_of_others_is_not_stormed(hosts, wire):
    capture = wire.capture()
    fabric = hosts.fabric(may_disturb=False)
    with pytest.raises(ConfigError, match="may not do pause_storm.*--i-own-this-fabric"):
        fabric.run(scenario(storm()))
    assert capture.frames() == []
