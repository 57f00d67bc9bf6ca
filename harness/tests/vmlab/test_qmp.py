from __future__ import annotations

import gc
import json
import socket
import threading
from pathlib import Path

import pytest

from harness.bindings.vmlab import qmp
from harness.bindings.vmlab.errors import LabError
from harness.bindings.vmlab.qmp import Qmp


class FakeQemu:
    """Answers QMP commands from a list of lines per command; a command without any closes the connection."""

    def __init__(self, path: Path, answers: dict[str, list[list[dict]]]) -> None:
        self.asked: list[dict] = []
        self._answers = {"qmp_capabilities": [[{"return": {}}]], **answers}
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._server.accept()
        with client, client.makefile("rwb") as lines:
            self._say(lines, {"QMP": {"version": {}}})
            for line in lines:
                request = json.loads(line)
                self.asked.append(request)
                waiting = self._answers.get(request["execute"])
                if not waiting:
                    return
                for message in waiting[0] if len(waiting) == 1 else waiting.pop(0):
                    self._say(lines, message)

    @staticmethod
    def _say(lines, message: dict) -> None:
        lines.write(json.dumps(message).encode() + b"\r\n")
        lines.flush()

    def close(self) -> None:
        self._server.close()
        self._thread.join(5)


@pytest.fixture
def qemu(short_folder):
    made: list[FakeQemu] = []

    def make(**answers):
        fake = FakeQemu(
            short_folder / "qmp", {name.replace("_", "-"): said for name, said in answers.items()}
        )
        made.append(fake)
        return fake, Qmp(short_folder / "qmp", lambda: True, timeout_s=5)

    yield make
    for fake in made:
        fake.close()


def test_an_answer_is_found_among_events(qemu):
    fake, session = qemu(query_status=[[{"event": "RESUME"}, {"return": {"status": "running"}}]])
    with session:
        assert session.execute("query-status") == {"status": "running"}
        session.wait_status("running", 1)
    assert fake.asked[0] == {"execute": "qmp_capabilities"}


def test_arguments_are_sent_as_qemu_spells_them(qemu):
    fake, session = qemu(migrate=[[{"return": {}}]])
    with session:
        session.execute("migrate", uri="exec:cat", tls_creds="x")
    assert fake.asked[-1] == {"execute": "migrate", "arguments": {"uri": "exec:cat", "tls-creds": "x"}}


def test_a_refusal_is_told(qemu):
    _, session = qemu(cont=[[{"error": {"class": "GenericError", "desc": "no way"}}]])
    with session, pytest.raises(LabError, match="refuses 'cont': no way"):
        session.execute("cont")


def test_an_end_in_the_middle_is_told(qemu):
    _, session = qemu()
    with session, pytest.raises(LabError, match="closed its control socket"):
        session.execute("query-status")


def test_a_migration_is_awaited(qemu):
    states = [[{"return": {"status": status}}] for status in ("setup", "active", "completed")]
    server, session = qemu(query_migrate=[[{"return": {}}], *states])
    with session:
        session.wait_migration(5)
    assert [asked["execute"] for asked in server.asked].count("query-migrate") == 4


def test_a_migration_that_fails_is_told(qemu):
    _, session = qemu(query_migrate=[[{"return": {"status": "failed"}}]])
    with session, pytest.raises(LabError, match="snapshot failed"):
        session.wait_migration(5)


def test_a_state_that_never_comes_is_told(qemu, monkeypatch):
    monkeypatch.setattr(qmp, "POLL_S", 0.001)
    _, session = qemu(query_status=[[{"return": {"status": "inmigrate"}}]])
    with session, pytest.raises(LabError, match="'inmigrate' and not 'running'"):
        session.wait_status("running", 0.05)


def test_a_session_that_is_refused_leaves_no_socket_open(short_folder):
    fake = FakeQemu(short_folder / "qmp", {"qmp_capabilities": []})
    with pytest.raises(LabError, match="closed its control socket"):
        Qmp(short_folder / "qmp", lambda: True, timeout_s=5)
    gc.collect()
    fake.close()


def test_a_qemu_that_ended_is_not_waited_for(short_folder):
    with pytest.raises(LabError, match="ended at its start"):
        Qmp(short_folder / "qmp", lambda: False, timeout_s=60)


def test_a_socket_that_never_opens_is_told(short_folder):
    with pytest.raises(LabError, match="does not open qmp within"):
        Qmp(short_folder / "qmp", lambda: True, timeout_s=0.1)
