"""The channel into a guest, against the guest's own script run here on a pair of pseudo-terminals."""

from __future__ import annotations

import os
import pty
import select
import shutil
import socket
import subprocess
import threading
import tty

import pytest

from harness.bindings.vmlab.content import guest_file
from harness.bindings.vmlab.control import Control
from harness.bindings.vmlab.errors import LabError


class SerialGuest:
    """Runs `guestfiles/control` on a terminal, and joins that to a unix socket as QEMU does."""

    def __init__(self, folder) -> None:
        self.master, self.terminal = pty.openpty()
        tty.setraw(self.terminal)
        script = guest_file("control").decode().replace("/dev/ttyS1", os.ttyname(self.terminal))
        self.program = subprocess.Popen(["sh", "-c", script], stdin=subprocess.DEVNULL)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(folder / "ctl"))
        self._server.listen()
        self._end, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._join, daemon=True)
        self._thread.start()

    def _join(self) -> None:
        while True:
            if self._end in select.select([self._server, self._end], [], [])[0]:
                return
            client, _ = self._server.accept()
            with client:
                self._pump(client)

    def _pump(self, client: socket.socket) -> None:
        while True:
            ready = select.select([client, self.master, self._end], [], [])[0]
            if self._end in ready:
                return
            if client in ready:
                data = client.recv(4096)
                if not data:
                    return
                os.write(self.master, data)
            if self.master in ready:
                client.sendall(os.read(self.master, 4096))

    def close(self) -> None:
        os.write(self._stop, b"x")
        self._thread.join(5)
        self.program.kill()
        self.program.wait()
        self._server.close()
        for descriptor in (self.master, self.terminal, self._end, self._stop):
            os.close(descriptor)


pytestmark = pytest.mark.skipif(shutil.which("stty") is None, reason="the guest's script needs stty")


@pytest.fixture
def guest(short_folder):
    running = SerialGuest(short_folder)
    yield short_folder / "ctl"
    running.close()


@pytest.fixture
def control(guest):
    channel = Control(guest, lambda: True)
    try:
        channel.wait_ready(10)
        yield channel
    finally:
        channel.close()


def test_a_script_is_run_and_what_it_says_comes_back(control):
    assert control.run("echo one; echo two >&2") == "one\ntwo"
    assert control.run("true") == ""
    assert control.run("printf '\\303\\244'") == "ä"


def test_a_long_script_arrives_whole(control):
    lines = "\n".join(f": {n:>60}" for n in range(500))
    assert control.run(f"{lines}\necho done") == "done"


def test_a_failure_is_told_with_its_last_words(control):
    with pytest.raises(LabError, match="exit code 3: a / b"):
        control.run("echo a; echo b; exit 3")
    assert control.run("echo still here") == "still here"


def test_a_late_answer_is_not_taken_for_the_next_one(control):
    with pytest.raises(LabError, match="no answer on its serial port"):
        control.run("sleep 0.3; echo late", timeout_s=0.05)
    assert control.run("echo next") == "next"


def test_half_a_line_of_a_controller_that_died_does_no_harm(guest):
    first = Control(guest, lambda: True)
    first.wait_ready(10)
    first._socket.sendall(b"ZWNobyBoYWxm")
    first.close()
    second = Control(guest, lambda: True)
    second.wait_ready(10)
    assert second.run("echo whole") == "whole"
    second.close()


def test_a_guest_that_never_answers_is_told(short_folder):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short_folder / "ctl"))
        server.listen()
        control = Control(short_folder / "ctl", lambda: True)
        with pytest.raises(LabError, match="does not answer on its serial port"):
            control.wait_ready(0.2)
        control.close()


def test_a_guest_whose_qemu_ended_is_told(guest):
    control = Control(guest, lambda: False)
    with pytest.raises(LabError, match="its QEMU ended"):
        control.wait_ready(10)
    control.close()
