"""``roce report``: documents from the records of test sessions, without the fabric."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.core.record import RunRecord
    from reports.reporter import FolderReporter, Reporter

JOURNAL_FILE, DOCUMENT_FILE = "record.jsonl", "record.json"
"""Names of the record in the folder of a session."""

STANDARD_OUTPUT = Path("-")


@click.command(
    short_help="Write a report of recorded test sessions.",
    epilog="""\b
Examples:
  roce report runs/latest -o report.html
  roce report runs/latest
  roce report runs/latest --format md >> "$GITHUB_STEP_SUMMARY"
  roce report runs/latest --format junit -o junit.xml
  roce report runs/latest --format allure -o allure-results
  allure generate --config allure-results/allurerc.json allure-results

\b
Several sessions in one report, each under a name of your own:
  roce report fw-28.39=runs/monday fw-28.42=runs/tuesday -o firmware.html
""",
)
@click.argument("records", metavar="[NAME=]RECORD...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=STANDARD_OUTPUT,
    help="The file to write, a folder for allure; - is standard output.",
)
@click.option(
    "--format",
    "kind",
    default=None,
    help="html, allure, junit, json, md, bounds, terminal. Default: by the end of the file's name, else html; "
    "terminal without a file.",
)
def report(records: tuple[str, ...], output: Path, kind: str | None) -> None:
    """Write a report of one or more recorded test sessions.

    RECORD is the folder of a session (below runs/ unless --record said otherwise) or the record file in it,
    record.json or record.jsonl. A record that ends in mid-line, because the session was killed, is read up to there;
    the report says so.

    Tests of several sessions stand side by side, each with the NAME of its session (by default the name of its
    folder): two firmwares, two fabrics, the same fabric before and after.
    """
    from reports import reporter
    from reports.joined import join

    chosen = reporter.load(kind or _kind_of(output))
    named = [_split(text) for text in records]
    _refuse_own_input(output, [file for _, file in named])
    _write(chosen, join([(name, _load(file)) for name, file in named]), output)


def _kind_of(output: Path) -> str:
    """The format that a name asks for: JUnit and Allure have no ending of their own and are named."""
    if output == STANDARD_OUTPUT:
        return "terminal"
    return {".md": "md", ".json": "json", ".txt": "terminal"}.get(output.suffix, "html")


def _split(text: str) -> tuple[str, Path]:
    """`NAME=RECORD`, unless a file or folder has the whole text as its name."""
    name, sign, path = text.partition("=")
    return ("", Path(text)) if not sign or Path(text).exists() else (name, Path(path))


def _load(place: Path) -> RunRecord:
    from harness.core import record_files

    return record_files.load(_file_in(place) if place.is_dir() else place)


def _file_in(folder: Path) -> Path:
    """The document, which knows most, unless the journal is newer: then the session that wrote it was killed."""
    journal, document = folder / JOURNAL_FILE, folder / DOCUMENT_FILE
    if not document.exists():
        return journal
    fresh = not journal.exists() or document.stat().st_mtime_ns >= journal.stat().st_mtime_ns
    return document if fresh else journal


def _refuse_own_input(output: Path, records: list[Path]) -> None:
    read = {
        file.resolve() for place in records for file in (place, place / JOURNAL_FILE, place / DOCUMENT_FILE)
    }
    if output != STANDARD_OUTPUT and output.resolve() in read:
        raise click.UsageError(f"--output {output} would replace the record that it is made from")


def _write(chosen: Reporter | FolderReporter, record: RunRecord, output: Path) -> None:
    from reports.reporter import FolderReporter, write_report

    if output != STANDARD_OUTPUT:
        click.echo(f"wrote {write_report(chosen, record, output)}")
    elif isinstance(chosen, FolderReporter):
        raise click.UsageError(f"the {chosen.report_type} report is a folder: name it with -o")
    else:
        _for_this_terminal(chosen).write(record, sys.stdout)


def _for_this_terminal(chosen: Reporter) -> Reporter:
    """The terminal report in the width and with the colours of where it is printed."""
    import os
    import shutil
    from dataclasses import replace

    from reports.terminal import TerminalReporter

    if not isinstance(chosen, TerminalReporter) or not sys.stdout.isatty():
        return chosen
    return replace(chosen, width=shutil.get_terminal_size().columns, colour="NO_COLOR" not in os.environ)
