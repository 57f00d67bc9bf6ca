"""What a test's measurements and troubles mean for pytest: passed, failed, error or skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.core.errors import HarnessError, one_line
from harness.core.evidence import NoDataError
from harness.core.measure import Verdict
from harness.pytest_plugin.conclusion import conclude
from harness.pytest_plugin.journal import Journal, Trouble
from harness.pytest_plugin.markers import control_of, deviation_of, is_lab_test
from harness.pytest_plugin.pool import FabricNotReserved
from harness.pytest_plugin.record_item import finished_test, outcome_of
from reports.measurements import measurement_views
from reports.table import measurement_table

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

JOURNAL = pytest.StashKey[Journal]()

OUTCOME, RECORD = "harness_outcome", "harness_record"
"""Attributes of a report: how the test stands after this phase, and, on the last one, its whole record."""

# The table is a message that other tools (JUnit, logs) fold in their own way: a width that fits most of them.
_TABLE_WIDTH = 100


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Open a fresh journal for each execution of a test."""
    if is_lab_test(item):
        item.stash[JOURNAL] = Journal()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Judge after the body: FAIL and INVALID fail the test, with every measurement in the message.

    A FAIL that the drivers of the fabric know as a deviation of their devices is skipped, as an xfail is.
    """
    journal = item.stash.get(JOURNAL, None)
    result = None
    try:
        result = yield
    except Exception as error:
        if journal is None or not lacks_evidence(error, journal.doubts):
            raise
        journal.doubts.append(
            f"the test could not go on without it: {type(error).__name__}: {_first_line(error)}"
        )
    if journal is not None:
        journal.conclusion = conclude(journal.measurements, control_of(item), journal.doubts)
        known = deviation_of(item, journal.deviations)
        if journal.conclusion.verdict is Verdict.FAIL and known is not None:
            pytest.xfail(f"known deviation: {known} ({journal.conclusion.headline})")
        if journal.conclusion.verdict in (Verdict.FAIL, Verdict.INVALID):
            pytest.fail(_message(journal), pytrace=False)
    return result


def lacks_evidence(error: Exception, doubts: Sequence[str]) -> bool:
    """Tell whether a body broke for want of evidence: it asked Missing for a value, or the run is no evidence anyway.

    An assertion is the author's own word, and a HarnessError a fault of the lab, whatever the run is worth.
    """
    if isinstance(error, NoDataError):
        return True
    return bool(doubts) and not isinstance(error, AssertionError | HarnessError)


def _message(journal: Journal) -> str:
    if journal.conclusion is None:
        return ""
    simulated = " (SIMULATED)" if journal.simulated else ""
    headline = f"{journal.conclusion.verdict.name}{simulated}: {journal.conclusion.headline}"
    table = measurement_table(measurement_views(journal.measurements), _TABLE_WIDTH)
    return "\n".join([headline, "", *table]).rstrip()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how each phase ended, turn a lab fault into an error, and attach the finished record to the last report."""
    report = yield
    journal = item.stash.get(JOURNAL, None)
    if journal is None:
        return report
    journal.durations_s[call.when] = call.duration
    _observe(journal, report, call, item.config)
    # Attributes of a report travel with it from an xdist worker; text is what every transport can carry.
    vars(report)[OUTCOME] = outcome_of(journal).value
    if call.when == "teardown":
        vars(report)[RECORD] = finished_test(item, journal).to_text()
        del item.stash[JOURNAL]  # items live until the end of the session, what they measured need not
    return report


def _observe(
    journal: Journal, report: pytest.TestReport, call: pytest.CallInfo[None], config: pytest.Config
) -> None:
    """Sort the exception of a phase into the troubles of a test."""
    error = None if call.excinfo is None else call.excinfo.value
    if report.skipped:
        journal.give_up(Trouble.SKIPPED, _skip_reason(report))
    elif not report.failed or _is_verdict(journal, call):
        return
    elif isinstance(error, HarnessError):
        _lab_fault(journal, report, error, config)
    elif error is None:  # a test marked as a known deviation passed
        journal.give_up(Trouble.FAILED, one_line(report.longreprtext))
    elif call.when == "call" and isinstance(error, AssertionError | pytest.fail.Exception):
        journal.give_up(Trouble.FAILED, _first_line(error), report.longreprtext)
    else:
        journal.give_up(Trouble.ERROR, f"{type(error).__name__}: {_first_line(error)}", report.longreprtext)


def _is_verdict(journal: Journal, call: pytest.CallInfo[None]) -> bool:
    """Whether the failure of the body is the one that `pytest_runtest_call` raised for the measurements."""
    failed = journal.conclusion is not None and not journal.conclusion.verdict.passed
    return failed and call.when == "call"


def _first_line(error: BaseException) -> str:
    return one_line((str(error) or type(error).__name__).split("\n")[0])


def _lab_fault(
    journal: Journal, report: pytest.TestReport, error: HarnessError, config: pytest.Config
) -> None:
    """Report a problem of lab, file or tool as pytest's error: the product is not to blame."""
    reason = one_line(
        str(error) if isinstance(error, FabricNotReserved) else f"{type(error).__name__}: {error}"
    )
    journal.give_up(Trouble.LAB_FAULT, reason)
    if report.when == "call":
        # pytest and JUnit count what fails outside the body as an error; "setup" is the phase they know for that.
        report.when = "setup"
    if config.getoption("tbstyle") != "long" and not config.getoption("fulltrace"):
        report.longrepr = f"LAB FAULT: {reason}"


def _skip_reason(report: pytest.TestReport) -> str:
    expected = getattr(report, "wasxfail", None)
    if expected is not None:
        return f"expected to fail: {expected}" if expected else "expected to fail"
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def pytest_report_teststatus(
    report: pytest.TestReport,
) -> tuple[str, str, str | tuple[str, Mapping[str, bool]]] | None:
    """Print the verdict where it is not pytest's own word; the categories stay pytest's, so its tools keep working."""
    word = getattr(report, OUTCOME, None)
    if word == "MARGINAL" and report.when == "call" and report.passed:
        return "passed", "m", ("MARGINAL", {"yellow": True})
    if word == "INVALID" and report.when == "call" and report.failed:
        return "failed", "I", ("INVALID", {"purple": True, "bold": True})
    if word == "LAB FAULT" and report.failed:
        return "error", "L", ("LAB FAULT", {"red": True, "bold": True})
    return None
