from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import pytest

from harness.bindings.vmlab.errors import LabError
from harness.bindings.vmlab.process import Process, spawn


def test_a_process_is_ended_once(tmp_path):
    process = spawn(["sleep", "60"], tmp_path / "log")
    assert process.alive()
    assert process.kill() is True
    assert not process.alive()
    assert process.kill() is False


def test_another_process_with_the_same_id_is_left_alone(tmp_path):
    process = spawn(["sleep", "60"], tmp_path / "log")
    try:
        for stranger in (replace(process, start=process.start - 1), replace(process, boot="another boot")):
            assert not stranger.alive()
            assert stranger.kill() is False
        assert process.alive()
    finally:
        process.kill()


def test_one_that_ended_and_was_not_waited_for_is_dead(tmp_path):
    process = spawn(["true"], tmp_path / "log")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not process.alive()
    process.reap()
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


def test_output_goes_to_the_log_and_the_session_is_its_own(tmp_path):
    process = spawn(["sh", "-c", "echo out; echo err >&2; ps -o sid= -p $$"], tmp_path / "log")
    os.waitpid(process.pid, 0)
    said = (tmp_path / "log").read_text().split()
    assert said[:2] == ["out", "err"]
    assert int(said[2]) == process.pid != os.getsid(0)


def test_no_descriptor_of_ours_is_inherited(tmp_path):
    with (tmp_path / "left-open").open("w"):
        process = spawn(["sh", "-c", "ls -l /proc/self/fd"], tmp_path / "log")
        os.waitpid(process.pid, 0)
    assert "left-open" not in (tmp_path / "log").read_text()


def test_a_program_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LabError, match="no-such-program"):
        spawn(["no-such-program"], tmp_path / "log")


def test_a_stopped_process_is_ended_too(tmp_path):
    process = spawn(["sleep", "60"], tmp_path / "log")
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(0.05)
    assert process.kill() is True


def test_this_process_is_alive():
    assert Process.current().alive()
    with pytest.raises(LabError, match="there is no process"):
        Process.of(2**22 + 1)
