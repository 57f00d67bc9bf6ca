"""Running other programs: always with an end, and never left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None)
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/bin", "/bin"])

STOPPING = frozenset({signal.SIGTERM, signal.SIGHUP})
"""Signals that end the agent; blocked in its threads but the one that waits for them."""


def find(name: str) -> str | None:
    """Return the path of a program, also from the folders a user's PATH leaves out."""
    return shutil.which(name, path=_PATH)


def die_with_parent() -> None:
    """In a child before exec: be killed when the agent's main thread ends, and take signals as usual."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def output_of(argv: list[str], timeout_s: float = 5.0) -> str:
    """Return what a program prints; raise OSError with one line when it is absent, fails or takes too long."""
    program = find(argv[0])
    if program is None:
        raise OSError(f"{argv[0]}: not installed")
    try:
        done = subprocess.run(
            [program, *argv[1:]], capture_output=True, text=True, errors="replace", timeout=timeout_s,
            check=False, stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise OSError(f"{argv[0]}: no end within {timeout_s:g} s") from None
    if done.returncode:
        raise OSError(f"{argv[0]}: exit {done.returncode}: {_last_line(done.stderr or done.stdout)}")
    return done.stdout


def _last_line(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1] if lines else "no message"


class Children:
    """Programs in the background, each leading a process group of its own."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, argv: list[str]) -> subprocess.Popen[bytes]:
        """Start a program with its output in a pipe. Call from the main thread: the child dies with that."""
        return self._start(argv, subprocess.DEVNULL, subprocess.STDOUT)

    def talk(self, argv: list[str]) -> subprocess.Popen[bytes]:
        """Start a program that is spoken to: input, output and errors in a pipe each; otherwise as `start`."""
        return self._start(argv, subprocess.PIPE, subprocess.PIPE)

    def _start(self, argv: list[str], stdin: int, stderr: int) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            argv, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr,
            start_new_session=True, env={**os.environ, "LC_ALL": "C"},
            preexec_fn=die_with_parent,  # noqa: PLW1509 - takes no lock before exec
        )  # fmt: skip
        self._running.append(child)
        return child

    def kill(self, child: subprocess.Popen[bytes], wait_s: float = 1.0) -> None:
        """End a program and its group, and collect it."""
        if child in self._running:
            self._running.remove(child)
        if child.poll() is None:
            self._signal(child)
            child.wait(wait_s)
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe:
                with contextlib.suppress(OSError):  # what nobody read any more is lost
                    pipe.close()

    def kill_all(self) -> None:
        """End all programs without waiting for them; for the last moments of the agent."""
        for child in self._running:
            if child.poll() is None:
                self._signal(child)

    @staticmethod
    def _signal(child: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
