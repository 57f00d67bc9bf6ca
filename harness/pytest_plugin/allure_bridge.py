"""What Allure cannot know of a test, while tests run (`--alluredir`), when its plugin is there.

The parts are those that `roce report --format allure` makes from a record (`reports.allure`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.core.record import Outcome, RunRecord, TestRecord
from harness.pytest_plugin.options import SETTINGS
from harness.pytest_plugin.record_item import Finished, finished_test
from harness.pytest_plugin.recording import RECORDING
from harness.pytest_plugin.verdict import JOURNAL, RECORD
from reports import allure
from reports.digest import what_is_missing

if TYPE_CHECKING:
    from collections.abc import Generator

# What the plugin of Allure finds out by itself, and better: when a test ran, and which one it is from run to run.
_ALLURES_OWN = ("start", "stop", "historyId", "testCaseId", "fullName", "stage")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Add nothing unless a folder for Allure's results was given; its plugin must have been configured before."""
    folder = config.getoption("allure_report_dir", None)
    listener = config.pluginmanager.get_plugin("allure_listener")
    if folder and listener is not None:
        config.pluginmanager.register(AllureBridge(config, Path(folder), listener), "harness-allure")


class AllureBridge:
    """Adds to each result of Allure's plugin: verdict, criterion, plan IDs, measurements, runs with their series."""

    def __init__(self, config: pytest.Config, folder: Path, listener: Any) -> None:
        self._config = config
        self._folder = folder
        self._results = listener.allure_logger

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Complete a result after tear-down, in the process that ran the test: Allure's plugin writes it next."""
        text = getattr(report, RECORD, None)
        result = self._results.get_test(None)
        if text is not None and result is not None:
            self._complete(result, Finished.from_text(text).test)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """A test that Ctrl-C interrupts would be "skipped" for Allure; it showed nothing, which is INVALID."""
        try:
            return (yield)
        except (KeyboardInterrupt, pytest.exit.Exception):
            journal, result = item.stash.get(JOURNAL, None), self._results.get_test(None)
            if journal is not None and result is not None:
                self._complete(result, finished_test(item, journal).test)
            raise

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Write what is about the whole session, and what no process was left to write, in the one that keeps it."""
        yield
        recording = session.config.stash.get(RECORDING, None)
        if recording is not None and recording.record is not None:
            _write_rest(recording.record, self._folder)

    def _complete(self, result: Any, test: TestRecord) -> None:
        from allure_commons import model2  # noqa: PLC0415 - optional: present when its plugin is

        ours = allure.result_of(self._session(test), test, allure.Attachments(self._folder, result.uuid))
        # what Allure's plugin has said of suites and language stays; of tags there may be many
        known = {label.name for label in result.labels} - {"tag"}
        labels = ours.pop("labels")
        result.labels += [model2.Label(**label) for label in labels if label["name"] not in known]
        result.parameters = [model2.Parameter(**each) for each in ours.pop("parameters")]
        result.links += [model2.Link(**link) for link in ours.pop("links")]
        result.statusDetails = model2.StatusDetails(**ours.pop("statusDetails"))
        # plain dictionaries: Allure writes them as they are
        result.steps += ours.pop("steps")
        result.attachments += ours.pop("attachments")
        for name in ours.keys() - set(_ALLURES_OWN):
            setattr(result, name, ours[name])

    def _session(self, test: TestRecord) -> RunRecord:
        """What is known of a session while it runs."""
        settings = self._config.stash[SETTINGS]
        return RunRecord(
            run_id=settings.folder.name,
            started=test.started,
            fabric=settings.fabric,
            simulated=test.simulated,
            topology=settings.topology,
            seed=settings.seed,
            defects=settings.defects,
        )


def _write_rest(record: RunRecord, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    allure.write_surroundings(record, folder)
    for test in record.tests:
        if (
            test.outcome is Outcome.LAB_FAULT and not test.durations_s
        ):  # its process died before any phase ended
            allure.write_result(record, test, folder)
    allure.write_missing(record, what_is_missing(record), folder)
