"""The record of a session while it grows, and the documents made of it at the end."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness.core import record_files
from harness.core.record import Outcome, RunRecord, TestRecord
from harness.core.record_files import RecordWriter
from harness.pytest_plugin.evidence_counts import summed
from reports.html import HtmlReporter
from reports.reporter import write_report

if TYPE_CHECKING:
    from pathlib import Path

    from harness.pytest_plugin.record_item import Finished
    from harness.pytest_plugin.settings import Settings

JOURNAL_FILE, DOCUMENT_FILE = "record.jsonl", "record.json"
"""Names in the folder of a session (docs/record-format.md)."""


class Recorder:
    """Keeps the tests of a session in the order they finish; its folder appears with the first of them.

    A session without a test of a fabric (unit tests) leaves nothing on disk. `simulated` says what is known of the
    fabric before the first test.
    """

    def __init__(self, settings: Settings, versions: dict[str, str], *, simulated: bool) -> None:
        self._settings = settings
        self._versions = versions
        self._simulated = simulated
        self._started = _now()
        self._writer: RecordWriter | None = None
        self._tests: list[TestRecord] = []

    def add(self, finished: Finished) -> None:
        """Append a test; it is on disk when this returns. Raises ConfigError when the folder cannot be written to."""
        self._versions = {**self._versions, **finished.versions}
        if self._writer is None:
            self._simulated = self._simulated or finished.test.simulated
            self._writer = RecordWriter(self._settings.folder / JOURNAL_FILE, self._header())
            self._link_latest()
        self._writer.add(finished.test)
        self._tests.append(finished.test)

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many tests ended with each outcome so far."""
        return {outcome: sum(test.outcome is outcome for test in self._tests) for outcome in Outcome}

    def finish(self, *, whole: bool) -> RunRecord | None:
        """Close the journal and return the record, None when there was nothing to record.

        `whole` is False for a session that was cut short: the record then has no end and says so.
        """
        if self._writer is None:
            return None
        if whole:
            self._writer.finish(_now())
        else:
            self._writer.close()
        record = record_files.load(self._writer.path)
        simulated = self._simulated or any(test.simulated for test in record.tests)
        # the first test may have been skipped: what the fabric is made of is known since a later one
        evidence = summed([test.evidence for test in record.tests])
        return replace(record, simulated=simulated, versions=self._versions, evidence=evidence)

    def write_documents(self, record: RunRecord) -> Path | None:
        """Write the record as one document and as a page; return the path of the page, None without one."""
        record_files.save(record, self._settings.folder / DOCUMENT_FILE)
        if self._settings.html is None:
            return None
        return write_report(HtmlReporter(), record, self._settings.html)

    def _header(self) -> RunRecord:
        return RunRecord(
            run_id=self._settings.folder.name,
            started=self._started,
            fabric=self._settings.fabric,
            simulated=self._simulated,
            topology=self._settings.topology,
            seed=self._settings.seed,
            versions=self._versions,
            command=("pytest", *sys.argv[1:]),
            defects=self._settings.defects,
        )

    def _link_latest(self) -> None:
        """Let `runs/latest` name the session; something else of that name is left alone."""
        link = self._settings.latest
        if link is None or (link.exists() and not link.is_symlink()):
            return
        fresh = link.with_name(f".{link.name}.{self._settings.folder.name}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self._settings.folder.name)
        fresh.replace(link)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
