"""The verdict and what belongs to it as properties in pytest's own `--junitxml`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.pytest_plugin.record_item import Finished
from harness.pytest_plugin.verdict import RECORD
from reports.junit import facts_of

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the properties to the last report of a test, from which pytest writes them; xdist carries them along."""
    report = yield
    text = getattr(report, RECORD, None)
    if text is not None:
        report.user_properties += facts_of(Finished.from_text(text).test)
    return report
