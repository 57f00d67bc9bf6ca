from __future__ import annotations

import os

import pytest
from click.testing import CliRunner

from harness.bindings.vmlab.image import Image
from harness.bindings.vmlab.keys import make_keys
from harness.bindings.vmlab.layout import Layout
from harness.bindings.vmlab.process import Process, spawn
from harness.bindings.vmlab.state import GuestState, LabState, write_state
from harness.cli.app import main
from harness.cli.lab import lab


@pytest.fixture
def cache(short_folder, monkeypatch) -> Layout:
    monkeypatch.setenv("ROCE_LAB_DIR", str(short_folder))
    layout = Layout(short_folder)
    image = Image(layout.folder("image", "i"))
    make_keys(image.folder)
    monkeypatch.setattr("harness.bindings.vmlab.machine.qemu_version", lambda: "QEMU")
    return layout


@pytest.fixture
def guest(tmp_path):
    process = spawn(["sleep", "60"], tmp_path / "log")
    yield process
    process.kill()


def up(cache: Layout, name: str, process: Process | None = None) -> None:
    topology = {"name": "softroce-1", "nodes": {"h1": {"kind": "host"}, "h2": {"kind": "host"}}}
    topology["links"] = [{"endpoints": ["h1:p0", "h2:p0"], "rate": 10**7}]
    guests = {"h1": GuestState(20001, process), "h2": GuestState(20002)}
    write_state(cache.run(name), LabState(name, topology, "i", "", "tcg", None, guests))


def said(*arguments: str) -> str:
    result = CliRunner().invoke(lab, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_status_tells_what_runs(cache, guest):
    assert "no lab is up" in said("status")
    up(cache, "mine", guest)
    h1, h2 = said("status").splitlines()[1:]
    assert h1.split()[:5] == ["mine", "h1", "running", "20001", str(guest.pid)]
    assert h2.split()[:4] == ["mine", "h2", "off", "20002"]


def test_down_ends_the_lab_that_is_up(cache, guest):
    up(cache, "mine", guest)
    assert said("down") == "lab mine is down (1 guests ended)\n"
    assert not guest.alive()
    assert said("down", "--all") == "no lab is up\n"


def test_down_asks_which_of_several(cache, capsys):
    up(cache, "a")
    up(cache, "b")
    with pytest.raises(SystemExit) as end:
        main(["lab", "down"])
    assert end.value.code == 2
    assert "which lab? up are a, b; say --name" in capsys.readouterr().err
    assert said("down", "--name", "a").startswith("lab a is down")
    assert said("down", "--all").startswith("lab b is down")


def test_logs_are_those_of_qemu_and_console(cache):
    up(cache, "mine")
    (cache.run("mine") / "h1.console.log").write_text("one\ntwo\nthree\n")
    (cache.run("mine") / "h1.qemu.log").write_text("qemu: oops\n")
    assert said("logs", "h1", "-n", "2") == "qemu: oops\ntwo\nthree\n"
    assert said("logs", "h2") == ""


def test_ssh_runs_the_client_with_the_labs_configuration(cache, monkeypatch):
    up(cache, "mine")
    ran: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda program, arguments: ran.append(arguments))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    said("ssh", "h1")
    said("ssh", "--name", "mine", "h1", "rdma link | cat")
    said("ssh", "h1", "echo", "a b", "-n")
    config = str(cache.run("mine") / "ssh_config")
    assert ran == [
        ["ssh", "-F", config, "h1"],
        ["ssh", "-F", config, "h1", "--", "rdma link | cat"],
        ["ssh", "-F", config, "h1", "--", "echo 'a b' -n"],
    ]


def test_a_wrong_node_or_topology_is_one_line(cache, capsys):
    up(cache, "mine")
    for arguments, message in {
        ("ssh", "h9"): "lab 'mine' has no node 'h9'",
        ("up", "star-9"): "the VM lab takes topologies named softroce-…",
        ("up", "softroce-2", "--name", "a/b"): "'a/b' is no name for a lab",
    }.items():
        with pytest.raises(SystemExit) as end:
            main(["lab", *arguments])
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_every_command_has_help_with_an_example(cache):
    for name in ("build", "up", "status", "ssh", "logs", "down"):
        assert "roce lab " in said(name, "--help").split("Example")[1]
