from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from harness.bindings.vmlab.errors import LabBusy
from harness.bindings.vmlab.locks import Lock, change_lock, held, use_lock

HOLD = """
import sys, time
from pathlib import Path
from harness.bindings.vmlab.locks import Lock
Lock(Path(sys.argv[1]), "held").acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_one_lock_at_a_time(tmp_path):
    first, second = use_lock(tmp_path), use_lock(tmp_path)
    first.acquire()
    with pytest.raises(LabBusy, match=f"lab '{tmp_path.name}' is used by process {os.getpid()}"):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_using_and_changing_are_different(tmp_path):
    use, change = use_lock(tmp_path), change_lock(tmp_path)
    with held(use), held(change):
        with pytest.raises(LabBusy):
            use_lock(tmp_path).acquire()
        with pytest.raises(LabBusy):
            change_lock(tmp_path).acquire()


def test_a_killed_holder_frees_the_lock(tmp_path):
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LabBusy, match=f"by process {holder.pid}"):
            Lock(path, "held").acquire()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with held(Lock(path, "held")):
        pass


def test_one_that_waits_says_so_and_gets_it(tmp_path):
    first, second = Lock(tmp_path / "lock", "it is made"), Lock(tmp_path / "lock", "it is made")
    first.acquire()
    said: list[str] = []

    def waiting(line: str) -> None:
        said.append(line)
        threading.Timer(0.05, first.release).start()

    with held(second, waiting):
        assert said == [f"it is made by process {os.getpid()}; waiting for it"]
