"""``roce doctor --site``: look at the hosts of a lab, stage by stage."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.console import EXIT_DIFFERS

if TYPE_CHECKING:
    from rich.table import Table

    from harness.hosts.preflight import Options, Report
    from harness.hosts.preflight.findings import Cell

COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}
MARKS = {"ok": "", "warning": "warning ", "failed": "FAILED ", "skipped": "-"}
"""In front of the note of a cell, so that the table reads without colours, too."""


def examine_site(site_file: Path, topology: str | None, options: Options, *, as_json: bool) -> int:
    """Examine a site and print what was found; 1 when something failed, 0 otherwise (warnings too).

    Raises:
        ConfigError: the site or the topology cannot be read, or do not fit.
    """
    from harness.core.site import Site
    from harness.core.topology import Topology
    from harness.hosts.preflight import preflight

    site = Site.load(site_file)
    shape = Topology.load(topology or site.topology)
    report = preflight(site, shape, options, say=_say)
    if as_json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        _print(report)
    return 0 if report.healthy else EXIT_DIFFERS


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print(report: Report) -> None:
    from rich.markup import escape

    from harness.cli.console import stdout

    console = stdout()
    console.print(table_of(report))
    if report.problems:
        console.print()
    for problem in report.problems:
        colour = COLOURS[problem.state.value]
        console.print(
            f"[{colour}]{problem.state.value}[/] {problem.stage}: {escape(problem.line)}", soft_wrap=True
        )
    console.print(f"\n{summary_of(report)}")


def table_of(report: Report) -> Table:
    """Return nodes by stages; columns nobody got to are left out."""
    from rich.table import Table

    nodes = (*report.hosts, *report.switches)
    reached = [
        stage
        for stage in report.stages
        if any(report.cell(node, stage).state.value != "skipped" for node in nodes)
    ]
    table = Table("node", *reached, box=None, padding=(0, 1), pad_edge=False)
    for node in nodes:
        table.add_row(node, *(_cell(report.cell(node, stage)) for stage in reached))
    return table


def _cell(cell: Cell) -> str:
    from rich.markup import escape

    state = cell.state.value
    note = cell.note or ("ok" if state == "ok" else "")
    return f"[{COLOURS[state]}]{MARKS[state]}{escape(note)}[/]"


def summary_of(report: Report) -> str:
    """Return one line: how many hosts are fit, and how many are not."""
    from harness.hosts.preflight import State

    nodes = (*report.hosts, *report.switches)
    failed = [
        node
        for node in nodes
        if any(report.cell(node, stage).state is State.FAILED for stage in report.stages)
    ]
    warnings = sum(problem.state is State.WARNING for problem in report.problems)
    told = f", {warnings} warning{'s' if warnings != 1 else ''}" if warnings else ""
    if not failed:
        return f"{report.topology}: {len(report.hosts)} hosts are fit{told}"
    return f"{report.topology}: {len(failed)} of {len(nodes)} nodes failed ({', '.join(failed)}){told}"
