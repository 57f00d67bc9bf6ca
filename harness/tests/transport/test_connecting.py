"""Reaching a host and being let in: each way to fail, with real servers, real sockets, real keys."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import AuthenticationFailed, ConnectionLost, HostKeyRejected, HostUnreachable
from harness.core.site import Access
from harness.transport.connection import Connection
from harness.transport.dialing import Jumps, open_connection
from harness.transport.limits import Limits
from harness.transport.ssh import connect, dial
from harness.transport.ssh_config import resolve

from .conftest import free_port, keygen, public, until

IMPATIENT = Limits(connect_s=1.0)


def without(access: Access, **changes) -> Access:
    return replace(access, **changes)


# --- unreachable ---------------------------------------------------------------------------------------------


def test_a_refused_port_is_tried_again_until_time_is_up(user_key) -> None:
    access = Access(address="127.0.0.1", port=free_port(), identity=user_key)
    started = time.monotonic()

    with pytest.raises(
        HostUnreachable, match=rf"h1: .*@127.0.0.1:{access.port}: connection refused \(\d attempts"
    ):
        connect(access, "h1", limits=IMPATIENT)

    assert 0.1 < time.monotonic() - started < 2


def test_a_host_that_comes_up_a_moment_later_is_reached(start, user_key) -> None:
    server = start()
    os.kill(server.process.pid, signal.SIGSTOP)
    threading.Timer(0.7, lambda: os.kill(server.process.pid, signal.SIGCONT)).start()

    remote = connect(server.access, "h1")

    assert remote.run(["echo", "here"]).stdout == "here\n"
    remote.close()


def test_a_server_that_hangs_up_first_is_tried_again(start, user_key) -> None:
    """What sshd does to those above MaxStartups."""
    server = start()
    with Listening() as (listener, port):
        seen = []

        def drop_then_relay() -> None:
            for attempt in range(3):
                link, _ = listener.accept()
                seen.append(attempt)
                if attempt < 2:
                    link.close()
            relay(link, server.port)

        threading.Thread(target=drop_then_relay, daemon=True).start()
        key = " ".join(public(server.host_key).split()[:2])
        server.known_hosts.write_text(f"[127.0.0.1]:{port} {key}\n")
        remote = connect(without(server.access, port=port), "h1")

        assert remote.run(["true"]).exit_code == 0
        assert seen == [0, 1, 2]
        remote.close()


class Listening:
    """A listening socket that nobody accepts from."""

    def __enter__(self) -> tuple[socket.socket, int]:
        self.listener = socket.create_server(("127.0.0.1", 0))
        return self.listener, self.listener.getsockname()[1]

    def __exit__(self, *_) -> None:
        self.listener.close()


def relay(link: socket.socket, port: int) -> None:
    """Carry bytes both ways until both ends are closed."""
    other = socket.create_connection(("127.0.0.1", port))

    def carry(source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=carry, args=(other, link), daemon=True)
    back.start()
    carry(link, other)
    back.join(5)
    link.close()
    other.close()


def test_a_port_that_never_answers(user_key) -> None:
    with Listening() as (_, port):
        started = time.monotonic()
        with pytest.raises(
            HostUnreachable, match=r"h1: .* the port is open, but no SSH banner within 1\.0 s"
        ):
            connect(Access(address="127.0.0.1", port=port, identity=user_key), "h1", limits=IMPATIENT)
        assert time.monotonic() - started < 2


def test_a_port_that_speaks_something_else(user_key) -> None:
    with Listening() as (listener, port):

        def speak() -> None:
            link, _ = listener.accept()
            link.sendall(b"220 mail.example.net ESMTP\r\n" * 200)
            link.close()

        threading.Thread(target=speak, daemon=True).start()
        with pytest.raises(HostUnreachable, match="no SSH banner"):
            connect(
                Access(address="127.0.0.1", port=port, identity=user_key), "h1", limits=Limits(connect_s=0.5)
            )


def test_a_name_that_does_not_exist_is_not_tried_again(user_key) -> None:
    with pytest.raises(HostUnreachable, match="no-such-host.invalid") as caught:
        connect(Access(address="no-such-host.invalid", identity=user_key), "h1", limits=Limits(connect_s=5))

    assert caught.value.host == "h1"


def test_no_common_key_exchange_is_said_and_not_tried_again(start) -> None:
    server = start("KexAlgorithms sntrup761x25519-sha512@openssh.com")
    started = time.monotonic()

    with pytest.raises(HostUnreachable, match="kex"):
        connect(server.access, "h1")

    assert time.monotonic() - started < 2


# --- authentication --------------------------------------------------------------------------------------------


def test_a_wrong_key(server, tmp_path) -> None:
    wrong = keygen(tmp_path / "wrong")
    started = time.monotonic()

    with pytest.raises(AuthenticationFailed) as caught:
        connect(without(server.access, identity=wrong), "h1")

    assert str(wrong) in str(caught.value)
    assert "SHA256:" in str(caught.value)
    assert "passwords are not supported" in str(caught.value)
    assert time.monotonic() - started < 5  # one attempt: a refused key stays refused


def test_a_key_file_that_is_not_there(server, tmp_path) -> None:
    with pytest.raises(AuthenticationFailed, match="no key to offer.*none does not exist"):
        connect(without(server.access, identity=tmp_path / "none"), "h1")


def test_a_file_that_is_no_key(server, tmp_path) -> None:
    (tmp_path / "readme").write_text("hello")

    with pytest.raises(AuthenticationFailed, match="readme is no usable private key"):
        connect(without(server.access, identity=tmp_path / "readme"), "h1")


def test_a_host_that_wants_a_password(start) -> None:
    server = start("PubkeyAuthentication no", "PasswordAuthentication yes")

    with pytest.raises(AuthenticationFailed, match="accepts only password; passwords are not supported"):
        connect(server.access, "h1")


def test_a_host_that_wants_more_than_a_key(start) -> None:
    server = start("PasswordAuthentication yes", "AuthenticationMethods publickey,password")

    with pytest.raises(AuthenticationFailed, match="wants password besides a key"):
        connect(server.access, "h1")


def test_a_host_that_ends_it_after_too_many_keys(start, home, user_key) -> None:
    for name in ("id_ed25519", "id_ecdsa", "id_rsa"):
        keygen(home / ".ssh" / name, kind=name[3:])
    server = start("MaxAuthTries 2")

    with pytest.raises(AuthenticationFailed, match="Too many authentication failures"):
        connect(without(server.access, identity=None), "h1")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_default_keys_are_found(start, home, kind) -> None:
    key = keygen(home / ".ssh" / f"id_{kind}", kind=kind)
    server = start()
    (server.folder / "authorized").write_text(public(key) + "\n")

    remote = connect(without(server.access, identity=None), "h1")

    assert remote.run(["true"]).exit_code == 0
    remote.close()


def test_a_certificate_beside_the_key_is_used(start, tmp_path, user_key) -> None:
    authority, key = keygen(tmp_path / "ca"), keygen(tmp_path / "id")
    name = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", name, f"{key}.pub"]
    subprocess.run(command, check=True)
    server = start(f"TrustedUserCAKeys {authority}.pub")

    remote = connect(without(server.access, identity=key), "h1")

    assert remote.alive
    remote.close()


def test_a_connection_that_breaks_during_authentication_is_no_refusal(server, monkeypatch) -> None:
    def kill_then_ask(connection, user, key):
        for pid in server.sessions:
            os.kill(pid, signal.SIGKILL)
        return offer(connection, user, key)

    offer = Connection.auth_publickey
    monkeypatch.setattr(Connection, "auth_publickey", kill_then_ask)

    with pytest.raises(HostUnreachable, match="during authentication"):
        connect(server.access, "h1")


# --- agent -----------------------------------------------------------------------------------------------------


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """An ssh-agent of its own."""
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    assert until(path.exists)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield path
    process.terminate()
    process.wait()


def add(key: Path, passphrase: str = "") -> None:
    environment = {**os.environ, "SSH_ASKPASS_REQUIRE": "force", "SSH_ASKPASS": str(key.with_suffix(".ask"))}
    key.with_suffix(".ask").write_text(f"#!/bin/sh\necho {passphrase}\n")
    key.with_suffix(".ask").chmod(0o700)
    subprocess.run(["ssh-add", "-q", str(key)], check=True, env=environment, timeout=20)


def test_keys_of_the_agent_are_used(agent, server, tmp_path, user_key) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(user_key.read_bytes())
    copy.chmod(0o600)
    add(copy)

    remotes, errors = dial(dict.fromkeys(("a", "b", "c"), without(server.access, identity=None)))

    assert errors == {}
    assert remotes["c"].run(["true"]).exit_code == 0
    for remote in remotes.values():
        remote.close()


def test_a_key_with_a_passphrase_is_used_through_the_agent(agent, start, tmp_path) -> None:
    locked = keygen(tmp_path / "locked", passphrase="open sesame")
    server = start()
    (server.folder / "authorized").write_text(public(locked) + "\n")
    access = without(server.access, identity=locked)

    with pytest.raises(AuthenticationFailed, match=f"locked by a passphrase \\(ssh-add {locked}\\)"):
        connect(access, "h1")

    add(locked, "'open sesame'")
    remote = connect(access, "h1")
    assert remote.alive
    remote.close()


def test_a_dead_agent_is_no_obstacle(server, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "none"))

    remote = connect(server.access, "h1")

    assert remote.alive
    remote.close()


# --- host keys ---------------------------------------------------------------------------------------------------


def test_an_unknown_host_key_is_refused_with_the_command_that_accepts_it(start) -> None:
    server = start(known=False)

    with pytest.raises(HostKeyRejected) as caught:
        connect(server.access, "h1")

    message = str(caught.value)
    assert fingerprint_of(server.host_key) in message
    accept(message)
    remote = connect(server.access, "h1")
    assert remote.alive
    remote.close()


def test_a_changed_host_key_is_refused_with_the_command_that_accepts_it(start, tmp_path) -> None:
    server = start()
    old = " ".join(public(keygen(tmp_path / "old")).split()[:2])
    server.known_hosts.write_text(f"# first\n[127.0.0.1]:{server.port} {old}\n")

    with pytest.raises(HostKeyRejected) as caught:
        connect(server.access, "h1")

    message = str(caught.value)
    assert "has changed" in message
    assert f"{server.known_hosts}:2" in message
    assert fingerprint_of(server.host_key) in message
    assert fingerprint_of(tmp_path / "old") in message
    accept(message)
    remote = connect(server.access, "h1")
    assert remote.alive
    remote.close()


def fingerprint_of(key: Path) -> str:
    done = subprocess.run(["ssh-keygen", "-lf", f"{key}.pub"], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def accept(message: str) -> None:
    """Run the command line that a message offers."""
    command = message.partition("accept it by: ")[2]
    assert command.startswith("ssh-key")
    subprocess.run(["sh", "-c", command], check=True, timeout=30, capture_output=True)


def test_a_host_key_is_not_asked_for_twice(start) -> None:
    server = start(known=False)
    started = time.monotonic()

    with pytest.raises(HostKeyRejected):
        connect(server.access, "h1")

    assert time.monotonic() - started < 2


def test_a_revoked_host_key_is_refused(server) -> None:
    known = server.known_hosts.read_text()
    server.known_hosts.write_text(known + "@revoked * " + known.split(" ", 1)[1])

    with pytest.raises(HostKeyRejected, match="is revoked in"):
        connect(server.access, "h1")


def test_the_host_is_asked_for_the_kind_of_key_that_is_known(start, tmp_path) -> None:
    rsa = keygen(tmp_path / "rsa", kind="rsa")
    server = start(f"HostKey {rsa}")
    key = " ".join(public(rsa).split()[:2])
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {key}\n")

    remote = connect(server.access, "h1")

    assert remote.alive
    remote.close()


def test_a_key_of_the_same_name_at_the_default_port_vouches_but_does_not_contradict(start, tmp_path) -> None:
    server = start(known=False)
    right = " ".join(public(server.host_key).split()[:2])
    other = " ".join(public(keygen(tmp_path / "other")).split()[:2])

    server.known_hosts.write_text(f"127.0.0.1 {other}\n")
    with pytest.raises(HostKeyRejected, match=f"is unknown: .* it is known by {server.known_hosts}:1"):
        connect(server.access, "h1")

    server.known_hosts.write_text(f"127.0.0.1 {right}\n")
    remote = connect(server.access, "h1")
    assert remote.alive
    remote.close()


def test_leniency_of_the_configuration_is_not_honoured_silently(start, home) -> None:
    server = start(known=False)
    (home / ".ssh/config").write_text("Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n")

    with pytest.raises(
        HostKeyRejected, match="StrictHostKeyChecking no of the SSH configuration is not honoured"
    ):
        connect(without(server.access, known_hosts=None), "h1")


# --- jump hosts ----------------------------------------------------------------------------------------------------


def jump_config(home: Path, *servers, name: str = "far") -> None:
    """A chain: every server but the last is a jump host, and the last is called `far`."""
    lines = []
    for number, server in enumerate(servers):
        last = number == len(servers) - 1
        lines += [
            f"Host {name if last else f'jump{number}'}",
            "  HostName 127.0.0.1",
            f"  Port {server.port}",
            f"  IdentityFile {server.user_key}",
            f"  UserKnownHostsFile {server.known_hosts}",
        ]
        if last and number:
            lines.append(f"  ProxyJump {','.join(f'jump{index}' for index in range(number))}")
    (home / ".ssh/config").write_text("\n".join(lines) + "\n")


def test_a_host_behind_two_jump_hosts(start, home) -> None:
    first, second, last = start(), start(), start()
    jump_config(home, first, second, last)

    remote = connect(Access(address="far"), "h1")

    assert remote.run(["sh", "-c", "echo $SSH_CONNECTION"]).stdout.split()[-1] == str(last.port)
    assert all(server.sessions for server in (first, second, last))
    remote.close()
    assert until(lambda: not any(server.sessions for server in (first, second, last)))


def test_hosts_behind_one_jump_host_share_one_connection(start, home) -> None:
    jump, last = start(), start()
    jump_config(home, jump, last)
    accesses = {f"h{number}": Access(address="far") for number in range(6)}

    remotes, errors = dial(accesses)

    assert errors == {}
    accepted = (jump.folder / "log").read_text().count("Accepted publickey")
    assert accepted == 1
    for number, remote in enumerate(remotes.values()):
        assert remote.run(["echo", str(number)]).stdout == f"{number}\n"
        remote.close()
    assert until(lambda: not jump.sessions)


def test_a_jump_host_that_is_down(start, home) -> None:
    jump, last = start(), start()
    jump_config(home, jump, last)
    jump.stop()

    remotes, errors = dial({"h1": Access(address="far"), "h2": Access(address="far")}, limits=IMPATIENT)

    assert remotes == {}
    for host, error in errors.items():
        assert isinstance(error, HostUnreachable)
        assert f"{host}: jump host " in str(error)
        assert f":{jump.port}: connection refused" in str(error)


def test_a_host_that_its_jump_host_cannot_reach(start, home) -> None:
    jump, last = start(), start()
    jump_config(home, jump, last)
    last.stop()

    with pytest.raises(HostUnreachable, match="jump host .* cannot reach it: connect failed"):
        connect(Access(address="far"), "h1", limits=IMPATIENT)

    assert until(lambda: not jump.sessions)


def test_an_unknown_key_behind_a_jump_host(start, home) -> None:
    jump, last = start(), start(known=False)
    jump_config(home, jump, last)

    with pytest.raises(
        HostKeyRejected, match=rf"ssh -p {jump.port} \S+@127.0.0.1 ssh-keyscan -p {last.port}"
    ):
        connect(Access(address="far"), "h1")


def test_a_jump_host_that_dies_takes_its_hosts_along(start, home) -> None:
    jump, last = start(), start()
    jump_config(home, jump, last)
    remote = connect(Access(address="far"), "h1")
    process = remote.start(["sleep", "60"])
    os.kill(jump.sessions[0], signal.SIGKILL)
    started = time.monotonic()

    with pytest.raises(ConnectionLost):
        process.readline(20)

    assert time.monotonic() - started < 3
    remote.close()


def test_a_jump_host_that_came_back_is_connected_anew(start, home) -> None:
    jump, last = start(), start()
    jump_config(home, jump, last)
    jumps = Jumps(Limits())
    endpoint = resolve(Access(address="far"), "h1")
    first = open_connection(endpoint, "h1", Limits(), jumps)
    os.kill(jump.sessions[0], signal.SIGKILL)
    assert until(lambda: not first.is_active())

    second = open_connection(endpoint, "h1", Limits(), jumps)
    first.hang_up()

    assert second.is_active()
    second.hang_up()
    assert until(lambda: not jump.sessions)


# --- many ------------------------------------------------------------------------------------------------------------


def test_many_hosts_at_once_with_all_kinds_of_trouble(start, tmp_path, user_key) -> None:
    good, unknown = start(), start(known=False)
    with Listening() as (_, port):
        accesses = {
            "unknown": unknown.access,
            **{f"good{number}": good.access for number in range(8)},
            "wrong": without(good.access, identity=keygen(tmp_path / "wrong")),
            "refused": without(good.access, port=free_port()),
            "hole": without(good.access, port=port),
        }
        started = time.monotonic()
        remotes, errors = dial(accesses, limits=IMPATIENT)

    assert list(remotes) == [f"good{number}" for number in range(8)]
    assert {host: type(error) for host, error in errors.items()} == {
        "unknown": HostKeyRejected,
        "wrong": AuthenticationFailed,
        "refused": HostUnreachable,
        "hole": HostUnreachable,
    }
    assert all(error.host == host for host, error in errors.items())
    assert time.monotonic() - started < 5
    for remote in remotes.values():
        remote.close()
    assert until(lambda: not good.sessions)


def test_nobody_to_dial() -> None:
    assert dial({}) == ({}, {})


def test_threads_end_with_their_connections(server) -> None:
    before = threading.active_count()
    remotes, _ = dial({f"h{number}": server.access for number in range(5)})

    assert threading.active_count() == before + 5  # one each, and none of the handshake stays
    for remote in remotes.values():
        remote.close()
    assert until(lambda: threading.active_count() == before, seconds=1)


def test_nothing_stays_connected_after_an_interrupt(server, monkeypatch) -> None:
    def interrupt(futures) -> None:
        next(iter(futures.values())).result()
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.transport.ssh._sorted", interrupt)

    with pytest.raises(KeyboardInterrupt):
        dial({f"h{number}": server.access for number in range(8)}, workers=2)

    assert until(lambda: not server.sessions)


def test_nothing_is_printed_and_no_secret_is_told(server, tmp_path) -> None:
    """In a process of its own, as pytest takes the log away from stderr."""
    wrong = keygen(tmp_path / "wrong", passphrase="open sesame")
    script = f"""
import logging, os, signal
from harness.core.site import Access
from harness.transport.limits import Limits
from harness.transport.ssh import connect, dial
from harness.core.errors import TransportError
logging.getLogger().addHandler(logging.StreamHandler())
access = dict(address="127.0.0.1", known_hosts={str(server.known_hosts)!r})
dial({{
    "wrong": Access(port={server.port}, identity={str(wrong)!r}, **access),
    "refused": Access(port={free_port()}, identity={str(server.user_key)!r}, **access),
}}, limits=Limits(connect_s=0.5))
remote = connect(Access(port={server.port}, identity={str(server.user_key)!r}, **access), "h1")
process = remote.start(["sh", "-c", "kill -9 $PPID; sleep 60"])
try:
    process.readline(5)
except TransportError as error:
    assert "sesame" not in str(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_log_can_be_turned_on(server) -> None:
    records: list[logging.LogRecord] = []
    logger = logging.getLogger("harness.transport.wire")
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        connect(server.access, "h1").close()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.CRITICAL)

    assert any("curve25519" in record.getMessage() for record in records)
    assert any("aes128-gcm" in record.getMessage() for record in records)
