"""What a person at the terminal sees of the lab: one header, one summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.pytest_plugin.options import SETTINGS
from harness.pytest_plugin.recording import RECORDING
from harness.pytest_plugin.versions import declares_simulation, tool_versions
from reports.page import STAMP
from reports.terminal import TerminalReporter

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter as PytestTerminal


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Name the fabric and the tools; xdist prints it once, in the controller."""
    settings = config.stash[SETTINGS]
    stamp = f"{STAMP} " if declares_simulation(settings.fabric) else ""
    site = f", site {settings.site}" if settings.site else ""
    versions = ", ".join(f"{name} {version}" for name, version in tool_versions(settings.fabric).items())
    defects = [f"DEFECTIVE on purpose: {', '.join(settings.defects)}"] if settings.defects else []
    return [
        *defects,
        f"{stamp}fabric: {settings.fabric}, topology {settings.topology}{site}, seed {settings.seed}",
        f"versions: {versions}",
    ]


def pytest_terminal_summary(terminalreporter: PytestTerminal, config: pytest.Config) -> None:
    """Print verdicts, the measurements that matter, and where the page is; nothing for a session of unit tests."""
    recording = config.stash.get(RECORDING, None)
    if recording is None or (recording.record is None and not recording.problem):
        return
    terminalreporter.section("fabric validation")
    if recording.problem:
        terminalreporter.line(f"problem: {recording.problem}", red=True)
    if recording.record is not None:
        reporter = TerminalReporter(
            width=terminalreporter._tw.fullwidth,  # noqa: SLF001 - the only place that knows the width in use
            colour=terminalreporter.hasmarkup,
            # pytest prints the tables of failed tests itself, unless it was told not to.
            tables=terminalreporter.verbosity > 0 or config.getoption("tbstyle") == "no",
        )
        for line in reporter.lines(recording.record):
            terminalreporter.write_line(line)
    if recording.page is not None:
        terminalreporter.write_line(f"report: {recording.page}")
    if recording.record is not None:
        terminalreporter.write_line(f"record: {config.stash[SETTINGS].folder}")
