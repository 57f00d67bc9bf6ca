from __future__ import annotations

import pytest

from harness.bindings.vmlab.errors import LabBusy
from harness.bindings.vmlab.layout import Layout
from harness.bindings.vmlab.locks import held, use_lock
from harness.bindings.vmlab.orphans import end_orphans
from harness.bindings.vmlab.process import spawn
from harness.bindings.vmlab.state import GuestState, LabState, read_state, write_state
from harness.bindings.vmlab.teardown import stop, sweep


def test_only_guests_of_the_folder_are_ended(tmp_path, sleeper):
    log = tmp_path / "log"
    mine = spawn([*sleeper, "-chardev", f"socket,id=qmp,path={tmp_path}/lab/h1.qmp,server=on"], log)
    other = spawn([*sleeper, "-chardev", f"socket,id=qmp,path={tmp_path}/lab-2/h1.qmp,server=on"], log)
    stranger = spawn(["sleep", "60"], log)
    try:
        assert end_orphans(tmp_path / "lab") == 1
        assert not mine.alive()
        assert other.alive()
        assert stranger.alive()
        assert end_orphans(tmp_path / "lab") == 0
    finally:
        for process in (mine, other, stranger):
            process.kill()


def test_stopping_ends_what_was_written_down_and_what_was_not(short_folder, tmp_path, sleeper):
    layout = Layout(short_folder)
    folder = layout.run("mine")
    known = spawn(["sleep", "60"], tmp_path / "log")
    forgotten = spawn([*sleeper, f"path={folder}/h2.qmp"], tmp_path / "log")
    for name in ("h1.qmp", "h1.ctl", "h1.p0.link", "h1.console.log"):
        (folder / name).touch()
    write_state(folder, LabState("mine", {}, "i", "b", "tcg", None, {"h1": GuestState(1, known)}))
    assert stop(layout, "mine") == 2
    assert not known.alive()
    assert not forgotten.alive()
    assert read_state(folder) is None
    assert {path.name for path in folder.iterdir() if path.suffix != ".lock"} == {"h1.console.log"}
    assert stop(layout, "mine") == 0


def test_a_lab_in_use_is_only_stopped_by_force(layout):
    folder = layout.run("mine")
    write_state(folder, LabState("mine", {}, "i", "b", "tcg", None))
    with held(use_lock(folder)):
        with pytest.raises(LabBusy, match="is used by process"):
            stop(layout, "mine")
        assert stop(layout, "mine", force=True) == 0
    assert read_state(folder) is None


def test_a_sweep_leaves_other_files(short_folder):
    layout = Layout(short_folder)
    folder = layout.run("mine")
    for name in ("known_hosts", "h1.qmp"):
        (folder / name).touch()
    sweep(layout, folder)
    assert [path.name for path in folder.iterdir()] == ["known_hosts"]
