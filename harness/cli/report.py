"""``roce report``: a document from the record of a test session."""

from __future__ import annotations

from pathlib import Path

import click


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
    from harness.core.record import RunRecord
    from reports.reporter import load, write_report

    written = write_report(load(kind), RunRecord.load(record), output)
    click.echo(f"wrote {written}")
