from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest

from harness import ConfigError
from harness.core import record_files
from harness.tests.reports import sample
from reports import reporter
from reports.page import page_view
from reports.table import display_width
from reports.terminal import TerminalReporter


def test_formats_are_found_by_name() -> None:
    assert {"html", "json", "terminal"} <= set(reporter.names())
    with pytest.raises(
        ConfigError, match=r"unknown report format \(value 'pdf'\); there are bounds, html, json"
    ):
        reporter.load("pdf")


@pytest.mark.parametrize("name", reporter.names())
def test_every_format_writes_every_record(name: str, tmp_path: Path) -> None:
    for record in (sample.record(), sample.record(tests=())):
        path = reporter.write_report(reporter.load(name), record, tmp_path / "new" / f"report-{name}")
        assert path.stat().st_size > 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert "sim" in path.read_text().lower()


def test_json_reads_back_as_the_same_record(tmp_path: Path) -> None:
    path = reporter.write_report(reporter.load("json"), sample.record(), tmp_path / "record.json")
    assert record_files.load(path) == sample.record()
    assert json.loads(path.read_text())["simulated"] is True


class Broken:
    report_type = "broken"
    suffix = ".x"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def write(self, record, out) -> None:
        out.write("half of it")
        out.flush()
        raise self.error


@pytest.mark.parametrize(
    "error", [RuntimeError("bug"), KeyboardInterrupt(), OSError(28, "No space left on device")]
)
def test_a_half_written_report_is_never_left(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "report.html"
    path.write_text("the one before")
    with pytest.raises((type(error), ConfigError)):
        reporter.write_report(Broken(error), sample.record(), path)
    assert path.read_text() == "the one before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write the HTML report: Not a directory"):
        reporter.write_report(reporter.load("html"), sample.record(), tmp_path / "file" / "a" / "report.html")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("tables", [True, False])
def test_the_terminal_report_fits_its_width(width: int, tables: bool) -> None:
    for line in TerminalReporter(width=width, tables=tables).lines(page_view(sample.record())):
        assert display_width(line) <= width, line


def test_the_terminal_report_without_colour_has_no_escapes_and_with_colour_the_same_text() -> None:
    page = page_view(sample.record())
    plain = list(TerminalReporter(colour=False).lines(page))
    coloured = list(TerminalReporter(colour=True).lines(page))
    assert not any("\x1b" in line for line in plain)
    assert any("\x1b[31m" in line for line in coloured)
    uncoloured = coloured
    for sgr in (0, 31, 32, 33, 35, 36):
        uncoloured = [line.replace(f"\x1b[{sgr}m", "") for line in uncoloured]
    assert uncoloured == plain


def test_the_terminal_report_counts_every_outcome_apart() -> None:
    out = io.StringIO()
    TerminalReporter().write(sample.record(), out)
    assert "PASS 2 · MARGINAL 1 · FAIL 1 · INVALID 1 · LAB FAULT 1 · ERROR 1 · SKIPPED 1" in out.getvalue()
    assert out.getvalue().startswith("SIMULATED")
    assert "no data: no such counter here" in out.getvalue()


def test_a_long_session_lists_what_did_not_simply_pass() -> None:
    bad, good, *_ = sample.record().tests
    page = page_view(sample.record(tests=(bad, *[good] * 60)))
    text = "\n".join(TerminalReporter(tables=False).lines(page))
    assert "incast stays full [8]" in text
    assert "PASS       good" not in text
    assert "PASS 60" in text
    assert "PASS       good" in "\n".join(TerminalReporter(tables=True).lines(page))
