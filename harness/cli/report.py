"""``roce report``: a document from the record of a test session."""

from __future__ import annotations

from pathlib import Path

import click

RECORD_FILE = "record.jsonl"
"""Name of the record in the folder of a session."""


@click.command(
    epilog="""\b
Examples:
  roce report runs/latest -o report.html
  roce report runs/2026-01-31T09-00-00 --format html -o report.html
"""
)
@click.argument("record", metavar="RECORD", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The file to write.")
@click.option(
    "--format", "kind", default="html", show_default=True, help="A report format: a module of reports."
)
def report(record: Path, output: Path, kind: str) -> None:
    """Write a report of a recorded test session.

    RECORD is the folder of a session (below runs/ unless --record said otherwise) or the record file in it.
    A record that ends in mid-line, because the session was killed, is read up to there; the report says so.
    """
    from harness.core import record_files
    from reports import reporter

    file = record / RECORD_FILE if record.is_dir() else record
    written = reporter.write_report(reporter.load(kind), record_files.load(file), output)
    click.echo(f"wrote {written}")
