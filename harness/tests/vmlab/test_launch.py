from __future__ import annotations

import socket
import threading

import pytest

from harness.bindings.vmlab.errors import LabError
from harness.bindings.vmlab.launch import last_words, ssh_answers, tail, wait_for_ssh
from harness.bindings.vmlab.machine import Backends


@pytest.fixture
def backends(tmp_path):
    return Backends(tmp_path, tmp_path, "h1", 20001)


def test_last_words_leave_out_what_qemu_always_says(backends):
    usual = "".join(f"qemu: warning: hub {n} is not connected to host network\n" for n in (4, 3, 2))
    backends.qemu_log.write_text(usual)
    assert last_words(backends) == ""
    backends.console.write_text("a\nb\nc\nd\n")
    assert last_words(backends) == "; its console says: b / c / d"
    backends.qemu_log.write_text(f"qemu: no room\n{usual}")
    assert last_words(backends) == "; QEMU said: qemu: no room; its console says: b / c / d"


def test_a_long_log_is_read_from_its_end(tmp_path):
    (tmp_path / "log").write_text("".join(f"line {n}\n" for n in range(100_000)))
    assert tail(tmp_path / "log", 2) == ["line 99998", "line 99999"]
    assert tail(tmp_path / "none", 2) == []


def answering(text: bytes) -> tuple[socket.socket, int]:
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        client, _ = server.accept()
        client.sendall(text)
        client.close()

    threading.Thread(target=answer, daemon=True).start()
    return server, server.getsockname()[1]


@pytest.mark.parametrize(
    ("text", "verdict"), [(b"SSH-2.0-x\r\n", True), (b"HTTP/1.1 200\r\n", False), (b"", False)]
)
def test_only_an_sshd_counts_as_one(text, verdict):
    server, port = answering(text)
    with server:
        assert ssh_answers(port, 2) is verdict


def test_an_sshd_that_never_comes_and_a_guest_that_ended_are_told():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(LabError, match=f"no sshd answers on 127.0.0.1:{port} within"):
            wait_for_ssh(port, lambda: True, timeout_s=0.2)
        with pytest.raises(LabError, match="its QEMU ended"):
            wait_for_ssh(port, lambda: False)
