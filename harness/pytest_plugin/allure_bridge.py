"""Attachments and labels for Allure, when its plugin is there and in use (`--alluredir`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.pytest_plugin.markers import plan_ids_of
from harness.pytest_plugin.verdict import JOURNAL
from reports.measurements import measurement_views
from reports.table import measurement_table

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.pytest_plugin.journal import Journal

_TABLE_WIDTH = 120


def pytest_configure(config: pytest.Config) -> None:
    """Attach nothing unless a folder for Allure's results was given."""
    if config.getoption("allure_report_dir", None) and config.pluginmanager.hasplugin("allure_pytest"):
        config.pluginmanager.register(AllureBridge(), "harness-allure")


class AllureBridge:
    """Adds to each test what Allure cannot know: plan IDs, criterion, measurements, scenarios."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Attach within the call phase, the only one whose attachments belong to the test itself."""
        import allure  # noqa: PLC0415 - optional: present when its plugin is

        journal = item.stash.get(JOURNAL, None)
        if journal is None:
            return (yield)
        for plan_id in plan_ids_of(item):
            allure.dynamic.label("plan", plan_id)
            allure.dynamic.tag(plan_id)
        try:
            return (yield)
        finally:
            _attach(journal)


def _attach(journal: Journal) -> None:
    import allure  # noqa: PLC0415 - optional: present when its plugin is

    stamp = " (SIMULATED)" if journal.simulated else ""
    if journal.simulated:
        allure.dynamic.tag("SIMULATED")
    table = measurement_table(measurement_views(journal.measurements), _TABLE_WIDTH)
    if table:
        allure.attach("\n".join(table), f"measurements{stamp}", allure.attachment_type.TEXT)
    for run in journal.runs:
        allure.attach(run.scenario, f"run {run.number}: {run.title}{stamp}", allure.attachment_type.YAML)
    if journal.doubts:
        allure.attach("\n".join(journal.doubts), "not valid as evidence", allure.attachment_type.TEXT)
