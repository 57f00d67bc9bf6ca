"""One execution of `roce-sim`: start it, follow its progress, and say in words how it ended."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from harness.core.errors import ConfigError, SimError
from harness.core.programs import find_program

PROGRAM, VARIABLE = "roce-sim", "ROCE_SIM"

LONGEST_LINE = 65_536
"""Bytes of one progress line that are looked at; the simulator writes some hundred."""

KEPT_LINES = 20
"""Last lines of standard error that are kept to explain a failure."""

GRACE_S = 5.0
"""How long a simulator that is asked to end may take before it is killed."""

EXIT_GOOD, EXIT_FAILED, EXIT_BAD_JOB = 0, 1, 2
"""Exit codes of docs/job-format.md."""


def find_simulator() -> Path:
    """Return the program: that of $ROCE_SIM, else beside Python, on PATH, or in the build folder.

    Raises SimError that says how to get it.
    """
    try:
        found = find_program(PROGRAM, VARIABLE)
    except ConfigError as error:
        raise SimError(f"{error.message}: {error.value!r}") from None
    if found is not None:
        return found
    raise SimError(
        f"there is no {PROGRAM}: build it with `make setup` or `pip install -e .`, "
        f"or name it in the variable {VARIABLE}"
    )


class SimProcess:
    """Runs the simulator once: job from a file, result into a file, progress to a callback.

    The result goes to a file and not through a pipe, for it may have tens of megabytes.
    """

    def __init__(
        self,
        program: Path,
        job: Path,
        result: Path,
        progress: Callable[[float, int], None] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self._program = program
        self._job = job
        self._result = result
        self._progress = progress
        self._timeout_s = timeout_s
        self._timed_out = False
        self._said: deque[str] = deque(maxlen=KEPT_LINES)
        self.exit_code = 0

    def run(self) -> None:
        """Run to the end; on any exception (Ctrl-C too) the process is ended before it passes on.

        Raises SimError unless the process ended with a result (exit code 0 or 1).
        """
        with self._job.open("rb") as job, self._result.open("wb") as result:
            child = self._start(job, result)
            timer = self._timer(child)
            try:
                self._follow(child)
                self.exit_code = child.wait()
            except BaseException:
                _end(child)
                raise
            finally:
                timer.cancel()
                if child.stderr is not None:
                    child.stderr.close()
        self._explain_exit()

    def check(self, raw: Mapping[str, Any]) -> None:
        """Raise SimError when the result says that the run failed, or its exit code does."""
        error = raw.get("error")
        if error is None and self.exit_code == EXIT_GOOD:
            return
        detail = (
            f"{error.get('kind')}: {error.get('message')}" if isinstance(error, dict) else self._last_words()
        )
        raise SimError("the simulation failed", exit_code=self.exit_code, detail=detail)

    def _start(self, job: IO[bytes], result: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen([str(self._program)], stdin=job, stdout=result, stderr=subprocess.PIPE)
        except OSError as error:
            raise SimError(f"cannot run {str(self._program)!r}: {error.strerror}") from error

    def _timer(self, child: subprocess.Popen[bytes]) -> threading.Timer:
        def give_up() -> None:
            self._timed_out = True
            child.kill()

        timer = threading.Timer(self._timeout_s or 0.0, give_up)
        timer.daemon = True
        if self._timeout_s is not None:
            timer.start()
        return timer

    def _follow(self, child: subprocess.Popen[bytes]) -> None:
        if child.stderr is None:
            return
        while line := child.stderr.readline(LONGEST_LINE):
            self._heard(line.decode("utf-8", errors="replace").strip())

    def _heard(self, line: str) -> None:
        """Report a progress line; keep everything else for explanations."""
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and ("progress" in found or "done" in found):
            fraction, sim_ps = found.get("progress"), found.get("sim_ps")
            if self._progress is not None and isinstance(fraction, int | float) and isinstance(sim_ps, int):
                self._progress(min(1.0, max(0.0, float(fraction))), sim_ps)
        elif line:
            self._said.append(line)

    def _explain_exit(self) -> None:
        code = self.exit_code
        if self._timed_out:
            raise SimError(
                f"the simulation took longer than {self._timeout_s:g} s and was ended", exit_code=code
            )
        if code < 0:
            raise SimError(_signal_text(-code), exit_code=code, detail=self._last_words())
        if code == EXIT_BAD_JOB:
            raise SimError("roce-sim refused the job", exit_code=code, detail=self._complaint())
        if code == EXIT_FAILED and (complaint := self._complaint_found()):
            raise SimError("the simulation gave no result", exit_code=code, detail=complaint)
        if code not in (EXIT_GOOD, EXIT_FAILED):
            raise SimError(
                "roce-sim ended in a way it does not know", exit_code=code, detail=self._last_words()
            )

    def _complaint(self) -> str | None:
        """Return what is wrong with the job, else the last words."""
        return self._complaint_found() or self._last_words()

    def _complaint_found(self) -> str | None:
        """Return what a line {"error": …, "path": …} says; a result, if any, tells its own errors."""
        for line in self._said:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and "error" in found:
                return ": ".join(str(part) for part in (found.get("path"), found["error"]) if part)
        return None

    def _last_words(self) -> str | None:
        return self._said[-1][:500] if self._said else None


def _signal_text(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = ""
    if number == signal.SIGKILL:
        hint = "; the kernel does that when memory runs out: fewer flows or samples need less, see dmesg"
    elif number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL):
        hint = "; that is a defect of the simulator, please report it with the job"
    return f"roce-sim was killed by {name}{hint}"


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, then make it; wait until it is gone."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
