"""Commands: over a real sshd and on this machine alike."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from harness.core.errors import (
    CommandFailed,
    CommandTimeout,
    ConfigError,
    ConnectionLost,
    NoProgress,
    TransportError,
)
from harness.transport.local import LocalRemote
from harness.transport.remote import STDERR_TAIL_BYTES, Remote, RemoteProcess
from harness.transport.ssh import connect

from .conftest import running, until

NASTY = [
    "",
    " ",
    "two words",
    "'single'",
    '"double"',
    "it's",
    "$HOME",
    "`id`",
    "$(id)",
    "a;b|c&d>e<f",
    "*",
    "~",
    "~root",
    "=ls",
    "-n",
    "--",
    "\\",
    "\\n",
    "a\nb",
    "\ttab",
    "!!",
    "{a,b}",
    "#no comment",
    "ümläut ✓",
    "%s%d",
]


def test_it_is_a_remote(machine) -> None:
    assert isinstance(machine, Remote)
    assert machine.host == "h1"
    assert machine.alive


def test_a_command_runs_and_says_what_it_has_to(machine) -> None:
    done = machine.run(["sh", "-c", "echo out; echo err >&2; env | grep ^LC_ALL"])

    assert (done.exit_code, done.stdout, done.stderr) == (0, "out\nLC_ALL=C\n", "err\n")


def test_arguments_arrive_unchanged(machine) -> None:
    done = machine.run(["printf", "%s\\0", *NASTY])

    assert done.stdout.split("\0")[:-1] == NASTY


def test_the_program_is_an_argument_too(machine) -> None:
    with pytest.raises(CommandFailed) as caught:
        machine.run(["no such; echo program"])

    assert caught.value.exit_code == 127


@pytest.mark.parametrize("argv", [[], "ls -l", [""], ["a\0b"]])
def test_what_is_no_command_is_refused(machine, argv) -> None:
    with pytest.raises(ConfigError):
        machine.run(argv)


def test_a_command_that_is_too_long_for_a_system_call_is_refused_before_it_is_sent(remote) -> None:
    with pytest.raises(ConfigError, match=r"upload\(\)"):
        remote.run(["echo", "x" * (128 << 10)])


def test_a_failure_carries_exit_code_and_last_words(machine) -> None:
    with pytest.raises(CommandFailed) as caught:
        machine.run(["sh", "-c", "echo one; echo cannot frob >&2; exit 3"])

    assert caught.value.exit_code == 3
    assert caught.value.detail == "cannot frob"
    assert str(caught.value).startswith("h1: ")


def test_a_failure_may_be_expected(machine) -> None:
    assert machine.run(["sh", "-c", "exit 3"], check=False).exit_code == 3
    assert machine.run(["/no/such/program"], check=False).exit_code == 127


@pytest.mark.parametrize("name", ["KILL", "TERM", "HUP", "SEGV"])
def test_death_by_signal_is_a_negative_exit_code(machine, name) -> None:
    done = machine.run(["sh", "-c", f"kill -{name} $$"], check=False)

    assert done.exit_code == -getattr(signal, f"SIG{name}")


def test_input_and_output_larger_than_every_buffer_do_not_block_each_other(machine) -> None:
    data = bytes(range(256)) * (5 << 12)  # 5 MiB; a channel's window is 2 MiB

    done = machine.run(["sh", "-c", "tee /dev/stderr | od -An -v -tx1 | tail -c 100"], stdin=data)

    assert done.stdout.split()[-1] == "ff"
    assert len(done.stderr) <= STDERR_TAIL_BYTES


def test_large_output_on_stderr_alone_does_not_stop_stdout(machine) -> None:
    process = machine.start(["sh", "-c", "head -c 6000000 /dev/zero >&2; echo done"])

    assert process.readline(20) == b"done\n"
    assert len(process.stderr_tail()) == STDERR_TAIL_BYTES


def test_a_command_that_reads_no_input_is_no_problem(machine) -> None:
    assert machine.run(["true"], stdin=b"x" * 5_000_000).exit_code == 0


def test_output_without_end_is_ended(machine, monkeypatch) -> None:
    for module in ("remote", "conversation"):
        monkeypatch.setattr(f"harness.transport.{module}.MAX_OUTPUT_BYTES", 1 << 20)

    with pytest.raises(CommandFailed, match="said more than 1 MiB"):
        machine.run(["yes"])


def test_a_command_that_takes_too_long_is_killed_with_its_children(machine, tmp_path) -> None:
    script = f"sleep 61 & echo $! > {tmp_path}/pid; echo last words >&2; wait"

    with pytest.raises(CommandTimeout, match="still ran after 0.7 s; it said last: last words"):
        machine.run(["sh", "-c", script], timeout_s=0.7)

    pid = int((tmp_path / "pid").read_text())
    assert until(lambda: not running(pid))


def test_silence_is_another_failure_than_slowness(machine) -> None:
    started = time.monotonic()

    with pytest.raises(NoProgress, match="said nothing for 0.5 s"):
        machine.run(["sh", "-c", "for i in 1 2 3; do echo; sleep 0.3; done; sleep 60"], silence_s=0.5)

    assert 1.0 < time.monotonic() - started < 5


def test_eight_commands_at_once(machine) -> None:
    def square(number: int) -> str:
        return machine.run(["sh", "-c", f"sleep 0.5; echo $(({number} * {number}))"]).stdout

    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(square, range(8))) == [f"{n * n}\n" for n in range(8)]

    assert time.monotonic() - started < 3


def test_more_sessions_than_the_host_allows_is_said(start) -> None:
    remote = connect(start("MaxSessions 2").access, "h1")
    busy = [remote.start(["cat"]) for _ in range(2)]

    with pytest.raises(TransportError, match="MaxSessions"):
        remote.run(["true"])

    busy[0].close_stdin()
    assert busy[0].wait(5) == 0
    assert remote.run(["echo", "again"]).stdout == "again\n"
    remote.close()


# --- processes ---------------------------------------------------------------------------------------------


def test_a_conversation(machine) -> None:
    process = machine.start(["cat"])

    assert isinstance(process, RemoteProcess)
    process.write(b"hello\nwor")
    assert process.readline(5) == b"hello\n"
    process.write(b"ld\nrest")
    assert process.readline(5) == b"world\n"
    process.close_stdin()
    assert process.readline(5) == b"rest"
    assert process.readline(5) == b""
    assert process.wait(5) == 0
    process.close_stdin()
    process.kill()


def test_half_a_line_is_kept_for_the_next_call(machine) -> None:
    process = machine.start(["sh", "-c", "printf half; read x; echo ' whole'"])

    with pytest.raises(NoProgress, match="said nothing for 0.3 s"):
        process.readline(0.3)
    process.write(b"\n")

    assert process.readline(5) == b"half whole\n"
    process.kill()


def test_many_lines_are_cheap(machine) -> None:
    process = machine.start(["seq", "50000"])

    started = time.monotonic()
    assert sum(int(process.readline(5)) for _ in range(50000)) == 1250025000
    assert time.monotonic() - started < 5


def test_writing_to_a_command_that_has_ended(machine) -> None:
    process = machine.start(["sh", "-c", "echo gone wrong >&2; exit 7"])
    assert process.wait(5) == 7

    with pytest.raises(CommandFailed, match="has ended") as caught:
        process.write(b"x" * 10_000_000)

    assert (caught.value.exit_code, caught.value.detail) == (7, "gone wrong")


def test_last_words_are_known_with_the_end(monkeypatch) -> None:
    def open_late(pid: int) -> int:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return pidfd_open(pid)

    pidfd_open = os.pidfd_open
    monkeypatch.setattr(os, "pidfd_open", open_late)  # what its reader begins with
    with closing(LocalRemote("h1")) as machine:
        for code in range(20):
            process = machine.start(["sh", "-c", f"echo gone wrong >&2; exit {code}"])
            while not process.over:
                pass
            assert (process.stderr_tail(), process.exit_code()) == ("gone wrong\n", code)


def test_waiting_for_a_command_that_runs(machine) -> None:
    process = machine.start(["sleep", "60"])

    with pytest.raises(CommandTimeout, match="still runs after 0.2 s"):
        process.wait(0.2)

    process.kill()
    assert process.wait(5) == -9


def test_waiting_keeps_what_the_command_says(machine) -> None:
    process = machine.start(["sh", "-c", "head -c 3000000 /dev/zero; echo; echo end"])

    assert process.wait(20) == 0
    assert len(process.readline(5)) == 3_000_001
    assert process.readline(5) == b"end\n"


def test_killing_ends_a_reader_in_another_thread(machine) -> None:
    process = machine.start(["sleep", "60"])
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(process.readline(30)))
    reader.start()

    process.kill()
    reader.join(5)

    assert got == [b""]


def test_killing_takes_processes_that_left_the_session(remote, tmp_path) -> None:
    process = remote.start(["setsid", "--fork", "sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"])
    assert until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())

    process.kill()

    # setsid itself has ended, so nothing was left to kill on its account ...
    assert running(int((tmp_path / "pid").read_text()))
    other = remote.start(["sh", "-c", f"setsid sh -c 'echo $$ > {tmp_path}/pid2; exec sleep 60'; sleep 60"])
    assert until(lambda: (tmp_path / "pid2").exists() and (tmp_path / "pid2").read_text())
    other.kill()
    # ... while a command that runs is killed with all that it started.
    assert until(lambda: not running(int((tmp_path / "pid2").read_text())))
    os.kill(int((tmp_path / "pid").read_text()), 9)


def test_threads_may_wait_for_the_same_command(machine) -> None:
    process = machine.start(["sh", "-c", "read x; echo said >&2; echo heard; sleep 0.2; exit 5"])
    got: dict[str, object] = {}
    threads = [
        threading.Thread(target=lambda: got.update(code=process.wait(10))),
        threading.Thread(target=lambda: got.update(line=process.readline(10), end=process.readline(10))),
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.1)

    started = time.monotonic()
    assert process.stderr_tail() == ""  # does not wait for those who do
    process.write(b"\n")
    for thread in threads:
        thread.join(5)

    assert got == {"code": 5, "line": b"heard\n", "end": b""}
    assert process.stderr_tail() == "said\n"
    assert time.monotonic() - started < 2


def test_a_command_may_leave_others_behind(machine, tmp_path) -> None:
    machine.run(["sh", "-c", f"sleep 60 >/dev/null 2>&1 </dev/null & echo $! > {tmp_path}/pid"])

    pid = int((tmp_path / "pid").read_text())
    assert running(pid)
    os.kill(pid, 9)


def test_waiting_is_for_the_command_not_for_what_it_left_behind(machine, tmp_path) -> None:
    process = machine.start(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; exit 4"])

    assert process.wait(5) == 4
    process.kill()
    pid = int((tmp_path / "pid").read_text())
    if running(pid):
        os.kill(pid, 9)


# --- a connection that breaks --------------------------------------------------------------------------------


def test_a_connection_that_is_closed_by_the_host(server, remote) -> None:
    process = remote.start(["sleep", "60"])
    started = time.monotonic()
    os.kill(server.sessions[0], signal.SIGKILL)

    with pytest.raises(ConnectionLost, match="h1: lost during 'sleep 60': the host closed the connection"):
        process.readline(20)

    assert time.monotonic() - started < 2
    assert not remote.alive
    with pytest.raises(ConnectionLost):
        process.wait(5)
    with pytest.raises(ConnectionLost):
        process.write(b"x")
    process.kill()


@pytest.mark.parametrize("act", ["run", "start", "upload", "deploy"])
def test_everything_says_that_the_connection_is_gone(server, remote, tmp_path, act) -> None:
    remote.run(["true"])
    for pid in server.sessions:
        os.kill(pid, signal.SIGKILL)
    assert until(lambda: not remote.alive)
    arguments = {"upload": (b"x", f"{tmp_path}/f"), "deploy": (b"x", "f")}.get(act, (["true"],))

    with pytest.raises(ConnectionLost):
        getattr(remote, act)(*arguments)


def test_a_connection_lost_within_run(server, remote) -> None:
    threading.Timer(0.3, lambda: os.kill(server.sessions[0], signal.SIGKILL)).start()

    with pytest.raises(ConnectionLost):
        remote.run(["sleep", "60"])


def test_the_end_of_the_connection_is_the_end_of_stdin(server, remote, tmp_path) -> None:
    remote.start(["sh", "-c", f"cat; echo over > {tmp_path}/ended"])
    remote.close()

    assert until((tmp_path / "ended").exists)
    assert until(lambda: not server.sessions)
    remote.close()


def test_what_is_asked_of_a_closed_remote(remote) -> None:
    process = remote.start(["sleep", "60"])
    remote.close()

    with pytest.raises(ConnectionLost, match="the connection was closed here"):
        remote.run(["true"])
    with pytest.raises(ConnectionLost, match="the connection was closed here"):
        process.readline(5)


@pytest.mark.slow
def test_an_upload_to_a_host_that_froze_is_lost_within_ten_seconds(server, remote, tmp_path) -> None:
    frozen = server.sessions[0]
    threading.Timer(0.2, lambda: os.kill(frozen, signal.SIGSTOP)).start()
    started = time.monotonic()
    try:
        with pytest.raises(ConnectionLost, match="lost during the upload"):
            remote.upload(bytes(256 << 20), f"{tmp_path}/file")
        assert 4 < time.monotonic() - started <= 10
    finally:
        os.kill(frozen, signal.SIGCONT)


@pytest.mark.slow
def test_a_host_that_froze_is_lost_within_ten_seconds(server, remote) -> None:
    process = remote.start(["sleep", "60"])
    frozen = server.sessions[0]
    os.kill(frozen, signal.SIGSTOP)  # its kernel still acknowledges: only the keep-alives can tell
    started = time.monotonic()
    try:
        with pytest.raises(ConnectionLost, match="no answer to keep-alives for 6 s"):
            process.readline(30)
        assert 4 < time.monotonic() - started <= 10
    finally:
        os.kill(frozen, signal.SIGCONT)
