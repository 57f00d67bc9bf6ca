"""Sessions of pytest on defective devices: one process for each defect, some side by side, a record each."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core import record_files
from harness.core.errors import EngineError
from harness.core.record import RunRecord

RECORD = "record.json"
EXITS_WITH_RECORD = frozenset({0, 1, 10, 11})
"""Exit codes of a session that ran its tests (docs/writing-tests.md)."""
NO_TESTS = 5
PATIENCE_S = 1800.0
"""How long one session may take: a hundred times what the suites need on two cores; then it hangs."""
GRACE_S = 10.0
"""How long a session that is asked to end may take to write its record."""
SHOWN_LINES = 25


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: `targets` are folders or files of suites; `folder` gets a folder for each session.

    `cases` is what the plugin's option of that name is given where devices have a defect.
    """

    targets: tuple[Path, ...]
    folder: Path
    seed: int
    cases: str = "first"
    again: bool = True

    def command(self, defect: str | None) -> list[str]:
        """Return the command of a session; None is the fabric without defects."""
        words = [
            sys.executable,
            "-m",
            "pytest",
            *map(str, self.files(defect)),
            "--seed",
            str(self.seed),
            "-q",
        ]
        words += [
            "-m",
            "not slow and not negative_control",
            "-p",
            "no:cacheprovider",
            "--tb",
            "short",
            "--html",
            "none",
        ]
        words += ["--record", str(self.place(defect))]
        if defect is not None:
            words += ["--defect", defect, "--cases", self.cases]
        return words

    def files(self, defect: str | None) -> tuple[Path, ...]:
        """Return what pytest is given: the targets, or only the files that name the defect where no other test runs."""
        if self.cases != "catching" or defect is None:
            return self.targets
        files = (file for target in self.targets for file in sorted(target.rglob("test_*.py")))
        return tuple(file for file in files if f'"{defect}"' in file.read_text(encoding="utf-8"))

    def place(self, defect: str | None) -> Path:
        """Return the folder of a session."""
        return self.folder.absolute() / (defect or "healthy")


Done = Callable[[str | None, RunRecord | None, float], None]
"""Told of each session that ended: its defect, its record (None: no test ran), and its seconds of wall clock."""


class Sessions:
    """Runs the sessions of a plan, `jobs` at a time; whatever ends them early ends their processes too."""

    def __init__(self, plan: Plan, jobs: int, done: Done) -> None:
        self._plan = plan
        self._jobs = jobs
        self._done = done
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def run(self, defects: Sequence[str | None]) -> dict[str | None, RunRecord | None]:
        """Return the record of each session without its runs and their series; None where no test ran.

        Raises:
            EngineError: pytest did not run the tests (a broken suite, a wrong option); its last words are in it.
        """
        found: dict[str | None, RunRecord | None] = {}
        with ThreadPoolExecutor(self._jobs) as pool, self._ending_children():
            waiting = {pool.submit(self._one, defect): defect for defect in defects}
            try:
                for future in as_completed(waiting):
                    found[waiting[future]] = future.result()
            except BaseException:
                for future in waiting:
                    future.cancel()
                raise
        return {defect: found[defect] for defect in defects}

    def _one(self, defect: str | None) -> RunRecord | None:
        started = time.monotonic()
        record = self._kept(defect)
        if record is None:
            record = self._fresh(defect)
        if record is not None:
            record = _without_runs(record)
        self._done(defect, record, time.monotonic() - started)
        return record

    def _kept(self, defect: str | None) -> RunRecord | None:
        """Return the whole record of an earlier run that is to go on."""
        file = self._plan.place(defect) / RECORD
        if self._plan.again or not file.exists():
            return None
        record = record_files.load(file)
        return record if record.complete else None

    def _fresh(self, defect: str | None) -> RunRecord | None:
        place = self._plan.place(defect)
        shutil.rmtree(place, ignore_errors=True)
        if not self._plan.files(defect):
            return None
        with self._lock:
            if self._ended:
                return None
            child = subprocess.Popen(
                self._plan.command(defect), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace",
            )  # fmt: skip
            self._running.add(child)
        try:
            said, _ = child.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            said, _ = child.communicate()
            said += f"\nended: it took longer than {PATIENCE_S:g} s"
        finally:
            with self._lock:
                self._running.discard(child)
        if child.returncode == NO_TESTS:
            return None
        if child.returncode not in EXITS_WITH_RECORD and not self._ended:
            last = "\n".join(said.strip().splitlines()[-SHOWN_LINES:])
            raise EngineError(
                f"the session {'without defects' if defect is None else f'with {defect}'} did not run its tests "
                f"(pytest exit code {child.returncode}):\n{last}"
            )
        return record_files.load(place / RECORD) if (place / RECORD).exists() else None

    @contextmanager
    def _ending_children(self) -> Iterator[None]:
        """End what still runs when the block is left by an exception (Ctrl-C too)."""
        try:
            yield
        except BaseException:
            with self._lock:
                self._ended = True
                running = list(self._running)
            for child in running:
                child.terminate()
            for child in running:
                try:
                    child.wait(GRACE_S)
                except subprocess.TimeoutExpired:
                    child.kill()
            raise


def _without_runs(record: RunRecord) -> RunRecord:
    """Keep what a matrix needs: the series of sixty sessions would fill the memory."""
    return replace(record, tests=tuple(replace(test, runs=()) for test in record.tests))
