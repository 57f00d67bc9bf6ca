from __future__ import annotations

import os
import platform
import signal
import sys
import time
from dataclasses import replace

import pytest

from harness.bindings.vmlab.errors import LabError
from harness.bindings.vmlab.ports import free_port, is_free
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


HALF_GONE = """
import ctypes, socket, threading, time
server = socket.create_server(("127.0.0.1", {port}))
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).syscall({sys_exit}, 0)
"""
"""Its first thread ends, and its process seems to have; another thread still has its files."""

SYS_EXIT = {"x86_64": 60, "aarch64": 93}.get(platform.machine())
"""exit(2) of one thread, not of all: asm/unistd_64.h, asm-generic/unistd.h."""


@pytest.mark.skipif(
    SYS_EXIT is None, reason=f"the number of exit(2) on {platform.machine()} is not known here"
)
def test_after_its_end_its_ports_are_free(tmp_path):
    port = free_port()
    program = HALF_GONE.format(port=port, sys_exit=SYS_EXIT)
    process = spawn([sys.executable, "-c", program], tmp_path / "log")
    until = time.monotonic() + 10
    while process.alive() and time.monotonic() < until:
        time.sleep(0.01)
    assert not process.alive()
    assert not is_free(port), (tmp_path / "log").read_text()

    process.kill()

    assert is_free(port)


def test_this_process_is_alive():
    assert Process.current().alive()
    with pytest.raises(LabError, match="there is no process"):
        Process.of(2**22 + 1)
