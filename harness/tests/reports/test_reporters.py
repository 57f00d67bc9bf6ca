from __future__ import annotations

import io
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from harness import ConfigError
from harness.core import record_files
from harness.tests.reports import sample
from reports import reporter
from reports.joined import join
from reports.table import display_width
from reports.terminal import TerminalReporter


def test_formats_are_found_by_name() -> None:
    assert {"allure", "html", "json", "junit", "md", "terminal"} <= set(reporter.names())
    with pytest.raises(
        ConfigError, match=r"unknown report format \(value 'pdf'\); there are allure, bounds, html, json"
    ):
        reporter.load("pdf")


@pytest.mark.parametrize("name", reporter.names())
def test_every_format_writes_every_record(name: str, tmp_path: Path) -> None:
    one = sample.record()
    two = join([("A", one), ("B", sample.record(finished=None))])
    for number, record in enumerate((one, sample.record(tests=()), two)):
        path = reporter.write_report(
            reporter.load(name), record, tmp_path / "new" / f"report-{name}-{number}"
        )
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        assert all(file.stat().st_size > 0 and stat.S_IMODE(file.stat().st_mode) == 0o644 for file in files)
        assert any("sim" in file.read_text().lower() for file in files)


def test_a_folder_is_replaced_whole_and_only_where_it_is_a_report(tmp_path: Path) -> None:
    allure = reporter.load("allure")
    folder = reporter.write_report(allure, sample.record(), tmp_path / "results")
    assert len(list(folder.glob("*-result.json"))) == len(sample.record().tests)
    reporter.write_report(allure, sample.record(tests=sample.record().tests[:1]), folder)
    assert len(list(folder.glob("*-result.json"))) == 1
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"would replace what is not its own: thesis\.tex"):
        reporter.write_report(allure, sample.record(), folder)
    assert (folder / "thesis.tex").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


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
    for line in TerminalReporter(width=width, tables=tables).lines(sample.record()):
        assert display_width(line) <= width, line


def test_the_terminal_report_without_colour_has_no_escapes_and_with_colour_the_same_text() -> None:
    plain = list(TerminalReporter(colour=False).lines(sample.record()))
    coloured = list(TerminalReporter(colour=True).lines(sample.record()))
    assert not any("\x1b" in line for line in plain)
    assert any("\x1b[31m" in line for line in coloured)
    uncoloured = coloured
    for sgr in (0, 1, 31, 32, 33, 35, 36):
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
    record = sample.record(tests=(bad, *[good] * 60))
    text = "\n".join(TerminalReporter(tables=False).lines(record))
    assert "FAIL       incast stays full [8]" in text
    assert "PASS       good" not in text
    assert "PASS 60" in text
    assert "PASS       good" in "\n".join(TerminalReporter(tables=True).lines(record))


def test_margins_stand_worst_first_and_what_is_invalid_says_why() -> None:
    lines = list(TerminalReporter(tables=False).lines(sample.record()))
    start = lines.index("margins, worst first")
    assert [line.split("  ")[1:3] for line in lines[start + 1 : start + 3]] == [
        ["-7.2 %", "goodput: incast stays full [8]"],
        ["+1.1 %", "goodput: near"],
    ]
    assert lines[start + 3] == ""  # a negative control fails on purpose and has no margin to speak of
    why = lines.index("INVALID, and why")
    assert lines[why + 1 : why + 3] == ["  gone", "    CNPs handled: no data: no such counter here"]


def test_many_reasons_are_counted_and_not_all_printed() -> None:
    gone = sample.record().tests[3]
    many = replace(gone, measurements=gone.measurements * 9)
    text = "\n".join(TerminalReporter(tables=False).lines(sample.record(tests=(many, *[gone] * 29))))
    assert "    and 4 more\n" in text
    assert "  and 10 more\n" in text


def test_several_sessions_say_where_they_differ() -> None:
    bad, good, *_ = sample.record().tests
    healed = replace(bad, outcome=good.outcome)
    record = join([("old", sample.record(tests=(bad, good))), ("new", sample.record(tests=(healed,)))])
    lines = list(TerminalReporter(tables=False).lines(record))
    start = lines.index("verdicts that differ: old, new")
    assert lines[start + 1 : start + 4] == [
        "  FAIL, PASS: incast stays full [8]",
        "  PASS, did not run: good",
        "",
    ]


def test_a_terminal_says_what_is_missing() -> None:
    text = "\n".join(
        TerminalReporter().lines(sample.record(finished=None, problems=("the last line is cut",)))
    )
    assert "! the last line is cut" in text
    assert "The session was cut short." in text
    cut = "\n".join(TerminalReporter(width=200).lines(sample.record(finished=None)))
    assert "! session 2026-01-02T03-04-05 was cut short: tests after the last one are missing" in cut
