"""How labs come up, are used again and recovered, with processes that sleep in the place of guests."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import ClassVar

import pytest

from harness.bindings.vmlab import Lab, LabBusy, LabError, lab, running
from harness.bindings.vmlab.errors import GuestError
from harness.bindings.vmlab.fabric import LabPower
from harness.bindings.vmlab.image import Image
from harness.bindings.vmlab.keys import make_keys
from harness.bindings.vmlab.layout import Layout
from harness.bindings.vmlab.machine import Accel
from harness.bindings.vmlab.process import Process, spawn
from harness.bindings.vmlab.state import labs, read_state, write_state
from harness.bindings.vmlab.teardown import stop, take_down


class FakeLauncher:
    """Starts a process that sleeps in the place of QEMU; `broken` nodes fail."""

    def __init__(self, image, accel=Accel.TCG, snapshot=None) -> None:
        self.image, self.accel, self.snapshot = image, accel, snapshot

    broken: frozenset[str] = frozenset()
    started: ClassVar[list[str]] = []

    def start(self, backends, note, say, wanted):
        process = spawn(["sleep", "60"], backends.qemu_log)
        note(process)
        self.started.append(backends.node)
        if backends.node in self.broken:
            raise LabError("it does not boot")
        return process


@pytest.fixture
def place(short_folder, tmp_path, monkeypatch):
    """A cache folder in which labs come up without QEMU; what is left is ended."""
    layout = Layout(short_folder)
    image = Image(tmp_path / "image")
    image.folder.mkdir()
    make_keys(image.folder)
    for module, name, fake in (
        (lab, "build", lambda layout, say: image),
        (lab, "choose_accel", lambda *_: Accel.TCG),
        (lab, "make_snapshot", lambda *_: None),
        (lab, "check_run", lambda *_: None),
        (lab, "Launcher", FakeLauncher),
        (running, "make_node", lambda *_, **__: ""),
        (running, "ssh_answers", lambda *_: True),
        (running.RunningLab, "_set_link", lambda *_, **__: None),
    ):
        monkeypatch.setattr(module, name, fake)
    monkeypatch.setattr(FakeLauncher, "broken", frozenset())
    monkeypatch.setattr(FakeLauncher, "started", [])
    yield layout
    for state in labs(layout):
        take_down(layout, state)


def pids(layout: Layout, name: str = "softroce-2") -> dict[str, int]:
    state = read_state(layout.run(name))
    return {node: guest.process.pid for node, guest in state.guests.items()}


def test_a_session_ends_what_it_started(place, two_hosts):
    with Lab.up(two_hosts, layout=place) as mine:
        assert [guest.running for guest in mine.guests.values()] == [True, True, True]
        processes = [guest.process for guest in mine.guests.values()]
        assert labs(place)[0].owner == Process.current()
    assert not any(process.alive() for process in processes)
    assert labs(place) == []
    mine.close()


def test_a_lab_that_was_kept_is_used_and_left(place, two_hosts):
    Lab.up(two_hosts, keep=True, layout=place)
    before = pids(place)
    with Lab.up(two_hosts, layout=place) as mine:
        assert {node: guest.process.pid for node, guest in mine.guests.items()} == before
    assert pids(place) == before
    assert all(guest.running for guest in Lab.find("softroce-2", place).guests.values())
    assert len(FakeLauncher.started) == 3


def test_two_sessions_do_not_share_a_lab(place, two_hosts):
    with Lab.up(two_hosts, layout=place):
        for keep in (False, True):
            with pytest.raises(LabBusy, match="'softroce-2' is used by process"):
                Lab.up(two_hosts, keep=keep, layout=place)
        with Lab.up(two_hosts, name="other", layout=place) as other:
            assert other.name == "other"
        with pytest.raises(LabBusy):
            stop(place, "softroce-2")
    with Lab.up(two_hosts, layout=place):
        pass


def test_labs_side_by_side_have_their_own_ports(place, two_hosts):
    with Lab.up(two_hosts, name="a", layout=place) as a, Lab.up(two_hosts, name="b", layout=place) as b:
        ports = [guest.ssh_port for both in (a, b) for guest in both.guests.values()]
        assert len(set(ports)) == 6


def test_a_dead_guest_of_a_kept_lab_is_started_anew(place, two_hosts):
    Lab.up(two_hosts, keep=True, layout=place)
    before = pids(place)
    Lab.find("softroce-2", place).guest("h2").process.kill()
    FakeLauncher.started.clear()
    Lab.up(two_hosts, keep=True, layout=place)
    assert FakeLauncher.started == ["h2"]
    after = pids(place)
    assert after["h2"] != before["h2"]
    assert (after["h1"], after["sw1"]) == (before["h1"], before["sw1"])


def test_a_guest_that_does_not_answer_is_started_anew(place, two_hosts, monkeypatch):
    kept = Lab.up(two_hosts, keep=True, layout=place)
    hung = kept.guest("h1").ssh_port
    monkeypatch.setattr(running, "ssh_answers", lambda port, _: port != hung)
    FakeLauncher.started.clear()
    old = kept.guest("h1").process
    Lab.up(two_hosts, keep=True, layout=place)
    assert FakeLauncher.started == ["h1"]
    assert not old.alive()


def test_what_a_killed_session_left_is_taken_down(place, two_hosts):
    kept = Lab.up(two_hosts, keep=True, layout=place)
    old = [guest.process for guest in kept.guests.values()]
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    write_state(kept.folder, replace(kept.state, owner=replace(Process.current(), pid=dead.pid)))
    said: list[str] = []
    with Lab.up(two_hosts, layout=place, progress=said.append):
        assert not any(process.alive() for process in old)
    assert f"process {dead.pid}, which it belonged to, ended without taking it down" in said[0]


@pytest.mark.parametrize(("key", "value"), [("topology", {}), ("build", "older"), ("accel", "kvm")])
def test_a_lab_that_is_another_is_taken_down(place, two_hosts, key, value):
    kept = Lab.up(two_hosts, keep=True, layout=place)
    old = [guest.process for guest in kept.guests.values()]
    write_state(kept.folder, replace(kept.state, **{key: value}))
    said: list[str] = []
    Lab.up(two_hosts, keep=True, layout=place, progress=said.append)
    assert not any(process.alive() for process in old)
    assert "it runs with another" in said[0]


def test_a_guest_that_does_not_come_up_takes_the_lab_with_it(place, two_hosts, monkeypatch):
    monkeypatch.setattr(FakeLauncher, "broken", frozenset({"h2"}))
    with pytest.raises(GuestError, match="guest h2: it does not boot") as caught:
        Lab.up(two_hosts, layout=place)
    assert caught.value.node == "h2"
    assert labs(place) == []
    monkeypatch.setattr(FakeLauncher, "broken", frozenset())
    with Lab.up(two_hosts, layout=place):
        pass


def test_an_interrupt_while_guests_start_ends_them_all(place, two_hosts, monkeypatch):
    noted: list[Process] = []
    note = running.RunningLab._note

    def noting(self, node, process):
        noted.extend([process] if process else [])
        note(self, node, process)

    def interrupted(line: str) -> None:
        if line.endswith("is up"):
            raise KeyboardInterrupt

    monkeypatch.setattr(running.RunningLab, "_note", noting)
    with pytest.raises(KeyboardInterrupt):
        Lab.up(two_hosts, layout=place, progress=interrupted)
    assert len(noted) == 3
    assert not any(process.alive() for process in noted)
    assert labs(place) == []


def test_power_off_and_on(place, two_hosts):
    with Lab.up(two_hosts, layout=place) as mine:
        host, port = mine.guest("h1"), mine.guest("h1").ssh_port
        host.power_off()
        host.power_off()
        assert not host.running
        assert not host.answers()
        assert read_state(mine.folder).guests["h1"].process is None
        power = LabPower(mine)
        power.on("h1")
        first = host.process
        power.on("h1")
        assert host.process == first, "it was on"
        assert host.ssh_port == port
        power.off("h1")
        assert not host.running


def test_a_node_or_lab_that_is_not_there_is_named(place, two_hosts):
    with Lab.up(two_hosts, layout=place) as mine:
        with pytest.raises(LabError, match="no node 'h3'"):
            mine.guest("h3")
        with pytest.raises(LabError, match=r"no lab 'softroce-3' is up.*softroce-2"):
            Lab.find("softroce-3", place)
    with pytest.raises(LabError, match="none is"):
        Lab.find("softroce-2", place)


def test_the_site_fits_the_topology_and_names_no_password(place, two_hosts):
    with Lab.up(two_hosts, layout=place) as mine:
        mine.site.check(two_hosts)
        access = mine.site.access("h2")
        assert (access.address, access.port, access.user) == ("127.0.0.1", mine.guest("h2").ssh_port, "root")
        assert access.identity.is_file()
        assert f"[127.0.0.1]:{access.port} ssh-ed25519 " in access.known_hosts.read_text()
        assert mine.site.hosts["h1"].ports["p0"].device == "rxe0"
        assert mine.site.switches["sw1"].ports == {"e1": "e1", "e2": "e2"}
        assert f"Port {access.port}" in (mine.folder / "ssh_config").read_text()
