"""Each finished test becomes a line of the record; at the end come the documents and the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.core.errors import HarnessError
from harness.core.record import Outcome, RunRecord, TestRecord
from harness.pytest_plugin.options import SETTINGS
from harness.pytest_plugin.record_item import Finished, finished_test
from harness.pytest_plugin.recorder import Recorder
from harness.pytest_plugin.verdict import JOURNAL, OUTCOME, RECORD
from harness.pytest_plugin.versions import declares_simulation, tool_versions

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

EXIT_INVALID, EXIT_LAB_FAULT = 10, 11
"""Exit codes of our own, beyond pytest's 0 to 5: nothing failed, but evidence is missing, or the lab broke."""

_PHASE_OF_A_CRASH = "???"
"""Phase of the report that xdist makes up for the test that a worker died in (its `handle_crashitem`)."""


class Recording:
    """The controller's plugin: the process that keeps the record. xdist workers only run tests."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.record: RunRecord | None = None
        self.page: Path | None = None
        self.problem = ""
        self._other_failures = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the record that a test's last report carries, from this process or from a worker."""
        text = getattr(report, RECORD, None)
        if text is not None:
            self._keep(Finished.from_text(text))
        elif str(report.when) == _PHASE_OF_A_CRASH:
            self._keep(Finished(_crashed(report)))
        elif report.failed and not hasattr(report, OUTCOME):
            self._other_failures += 1

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """A test that Ctrl-C interrupts has no report; its runs and measurements are kept all the same."""
        try:
            return (yield)
        except (KeyboardInterrupt, pytest.exit.Exception):
            journal = item.stash.get(JOURNAL, None)
            if journal is not None:
                self._keep(finished_test(item, journal))
            raise

    def _keep(self, finished: Finished) -> None:
        """Append to the record; a record that cannot be kept ends the session, for nothing after it would count."""
        if self.problem:
            return
        try:
            self.recorder.add(finished)
        except HarnessError as error:
            self.problem = str(error)
            pytest.exit(f"LAB FAULT: {error}", returncode=EXIT_LAB_FAULT)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None]:
        """Write the documents before anything is printed, on Ctrl-C too, then say how the session ended."""
        whole = exitstatus not in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
        try:
            self.record = self.recorder.finish(whole=whole)
            if self.record is not None:
                self.page = self.recorder.write_documents(self.record)
        except HarnessError as error:
            self.problem = str(error)
        except KeyboardInterrupt:
            self.problem = "interrupted while the report was written; `roce report` makes it from the record"
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        session.exitstatus = self._exit_code(session.exitstatus)
        return (yield)

    def _exit_code(self, code: int | pytest.ExitCode) -> int | pytest.ExitCode:
        """Tell failed products from missing evidence and from broken labs; other codes stay pytest's."""
        counts = self.recorder.counts
        if code == pytest.ExitCode.OK and self.problem:
            return EXIT_LAB_FAULT  # everything passed, and what shows it could not be written
        if code != pytest.ExitCode.TESTS_FAILED or self._other_failures:
            return code
        if counts[Outcome.FAIL] or counts[Outcome.ERROR]:
            return code
        if counts[Outcome.LAB_FAULT]:
            return EXIT_LAB_FAULT
        return EXIT_INVALID if counts[Outcome.INVALID] else code


def _crashed(report: pytest.TestReport) -> TestRecord:
    reason = f"the process that ran the test died: {report.longreprtext}"
    return TestRecord(report.nodeid, Outcome.LAB_FAULT, lab_fault=reason, message=reason)


RECORDING = pytest.StashKey[Recording]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep a record in the process that sees all tests."""
    if hasattr(config, "workerinput"):
        return
    settings = config.stash[SETTINGS]
    simulated = declares_simulation(settings.fabric)
    recording = Recording(Recorder(settings, tool_versions(settings.fabric), simulated=simulated))
    config.stash[RECORDING] = recording
    config.pluginmanager.register(recording, "harness-recording")
