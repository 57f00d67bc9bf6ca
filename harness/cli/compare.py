"""``roce compare``: hold a run against another simulator's output, event for event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.console import EXIT_DIFFERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.analysis.oracle_compare import Comparison


@click.command(
    short_help="Compare a run with a reference run, event for event.",
    epilog="""\b
Examples:
  roce run scenario.yaml --trace --out results/incast8
  roce compare reference/ results/incast8
  roce compare reference/ results/incast8 --name hpcc_s5_step_mlx_incast8_10MB_ps
""",
)
@click.argument(
    "reference", metavar="REFERENCE", type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--name", help="Which reference run; without it, the one named like the run or its folder.")
def compare(reference: Path, run: Path, name: str | None) -> int:
    """Compare a run with a reference run and count the events that differ.

    REFERENCE is a folder with NAME_fct.csv, NAME_ccevents.csv and NAME_pfc.csv (or .csv.gz); RUN is a folder
    written by `roce run --trace`. Exit code 1 when anything differs.
    """
    from harness.analysis.oracle_compare import compare_run

    rows = compare_run(run, reference, name or _name(reference, run))
    _print(rows)
    return 0 if all(row.equal for row in rows) else EXIT_DIFFERS


def _name(reference: Path, run: Path) -> str:
    """Find the reference run that this run repeats: named like its job or its folder, or the only one.

    Raises:
        ConfigError: none of these names a reference run.
    """
    from harness.core.errors import ConfigError, suggestion

    names = _names(reference)
    wanted = [_job_name(run), run.resolve().name]
    for name in wanted:
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    hint = f"choose one with --name; {suggestion(wanted[1], names, 'there are')}"
    raise ConfigError(f"no reference run in {reference} is named like this run", value=wanted[1], hint=hint)


def _names(reference: Path) -> list[str]:
    """The names of the reference runs in a folder."""
    from harness.analysis.oracle_compare import KINDS

    found = {
        path.name.removesuffix(suffix)
        for kind in KINDS
        for suffix in kind.suffixes
        for path in reference.glob(f"*{suffix}")
    }
    return sorted(found)


def _job_name(run: Path) -> str:
    """The name that the scenario of a run gave itself; empty when the result cannot be read."""
    try:
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        return str(result["job"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _print(rows: Iterable[Comparison]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from harness.cli.console import stdout

    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for heading in ("run", "events"):
        table.add_column(heading)
    for heading in ("reference", "ours", "differing"):
        table.add_column(heading, justify="right")
    table.add_column("first difference")
    for row in rows:
        colour = "green" if row.equal else "red"
        counts = (str(row.reference), str(row.ours), f"[{colour}]{row.differing}[/]")
        table.add_row(escape(row.run), row.kind, *counts, escape(str(row.first or "")))
    stdout().print(table)
