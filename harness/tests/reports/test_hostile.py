"""Text that means harm, in every format there is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.core import record_files
from harness.core.record import Outcome
from harness.tests.reports import hostile
from reports import reporter
from reports.joined import join
from reports.table import display_width
from reports.terminal import TerminalReporter

# What would command a terminal, or show text in another order than it is in.
COMMANDS = ("\x1b", "\x07", "\x00", "\x9b", "\u202e", "\u2066", "\ufeff", "\ud800")
# JSON is for programs, and has them as escapes or as they are.
FOR_PEOPLE = [name for name in reporter.names() if name != "json"]


def written(name: str, record, place: Path) -> str:
    path = reporter.write_report(reporter.load(name), record, place / name)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize("name", FOR_PEOPLE)
def test_nothing_commands_a_terminal_or_turns_text_around(name: str, tmp_path: Path) -> None:
    one = hostile.record(hostile.HARM)
    for number, record in enumerate((one, join([(hostile.HARM, one), ("", one)]))):
        text = written(name, record, tmp_path / str(number))
        assert hostile.MARKER in text
        assert [command for command in COMMANDS if command in text] == []


def test_json_reads_back_whole(tmp_path: Path) -> None:
    text = hostile.HARM.replace(
        "\ud800", ""
    )  # half a character, which the plugin replaces before it is recorded
    record = hostile.record(text)
    path = reporter.write_report(reporter.load("json"), record, tmp_path / "record.json")
    assert record_files.load(path) == record


@pytest.mark.parametrize("name", reporter.names())
def test_a_megabyte_is_bearable(name: str, tmp_path: Path) -> None:
    begin = time.perf_counter()
    text = written(name, hostile.record(hostile.MEGABYTE, (Outcome.FAIL, Outcome.INVALID)), tmp_path)
    assert hostile.MARKER in text
    assert time.perf_counter() - begin < 60  # a loop that is quadratic in the text takes hours


@pytest.mark.parametrize("width", [40, 80, 140])
@pytest.mark.parametrize("text", [hostile.HARM, hostile.MEGABYTE], ids=["harm", "megabyte"])
def test_a_terminal_keeps_its_width_and_few_lines(text: str, width: int) -> None:
    lines = list(TerminalReporter(width=width, tables=False).lines(hostile.record(text)))
    assert max(map(display_width, lines)) <= width
    assert len(lines) < 400
