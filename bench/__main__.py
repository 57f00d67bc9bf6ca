"""``python -m bench``: print the tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import ceiling, control_plane, generator, published, verdicts
from bench.cases import Case, growth_cases, job, published_cases
from bench.measure import BenchError, Speed, measure
from bench.protocols import Protocol, all_protocols, reference
from harness.bindings.sim import find_simulator

Row = tuple[Case, Protocol, Speed]


def main(arguments: list[str] | None = None) -> int:
    """Run the asked cases; 0 when all ran, 2 when the simulator is missing or failed."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["control-plane"]:
        return control_plane.main(words[1:])
    if words[:1] == ["verdicts"]:
        return verdicts.main(words[1:])
    if words[:1] == ["null"]:
        return ceiling.main(words[1:])
    if words[:1] == ["generator"]:
        return generator.main(words[1:])
    if words[:1] == ["traffic"]:
        from bench import traffic  # noqa: PLC0415 - boots virtual machines, which no other table does

        return traffic.main(words[1:])
    if words[:1] == ["report"]:
        from bench import report_page  # noqa: PLC0415 - needs a browser, which no other table does

        return report_page.main(words[1:])
    options = _options(words)
    # Piped into a file the table must not fold its rows at 80 columns.
    console = Console(width=None if sys.stdout.isatty() else 150)
    try:
        program = options.simulator or find_simulator()
        console.print(f"{program} on {_machine()}; one core, median of {options.runs} runs")
        rows = _run(_chosen(options), program, options.runs, console)
    except Exception as error:  # noqa: BLE001 - the border of the process: one line, no traceback
        print(f"bench: {error}", file=sys.stderr)
        return 2
    _print_tables(rows, console)
    if options.json:
        figures = [_as_json(row) for row in rows]
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.epilog = (
        "python -m bench control-plane measures SSH to many hosts instead, "
        "python -m bench verdicts runs the suites in several ways and compares, "
        "python -m bench generator counts the instructions that a message costs perftest and roce-load, "
        "python -m bench null tells how many messages a second roce-load makes without a device, "
        "python -m bench traffic runs both on virtual machines, "
        "python -m bench report measures the HTML page of a big session in a browser (see their --help)."
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each job; the median is shown (3)")
    parser.add_argument("--only", metavar="TEXT", help="cases whose key contains TEXT, e.g. perm-256")
    parser.add_argument("--quick", action="store_true", help="the reference protocol only, no growth tables")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    parser.add_argument(
        "--simulator", type=Path, metavar="PROGRAM", help="a roce-sim other than the installed"
    )
    return parser.parse_args(arguments)


def _chosen(options: argparse.Namespace) -> list[tuple[Case, Protocol]]:
    protocols = [reference()] if options.quick else all_protocols()
    pairs = [(case, protocol) for protocol in protocols for case in published_cases()]
    if not options.quick:
        pairs += [(case, reference()) for case in growth_cases()]
    chosen = [pair for pair in pairs if not options.only or options.only in pair[0].key]
    if not chosen:
        keys = ", ".join(dict.fromkeys(case.key for case, _ in pairs))
        raise BenchError(f"no case matches {options.only!r}; there are {keys}")
    return chosen


def _run(pairs: list[tuple[Case, Protocol]], program: Path, runs: int, console: Console) -> list[Row]:
    rows: list[Row] = []
    with console.status("starting") as status:
        for number, (case, protocol) in enumerate(pairs, 1):
            status.update(f"{number}/{len(pairs)} {case.title}, {protocol.title}")
            rows.append((case, protocol, measure(program, job(case, protocol), runs)))
    return rows


def _print_tables(rows: list[Row], console: Console) -> None:
    for protocol in all_protocols():
        mine = [row for row in rows if row[0].group == "published" and row[1].name == protocol.name]
        if mine:
            comparable = protocol.name == reference().name
            console.print(_table(f"DCQCN and PFC, {protocol.title}", mine, ratios=comparable))
    for group, title in (("hosts", "Growth with hosts: permutation, 2 MB"), ("flows", "Growth with flows")):
        mine = [row for row in rows if row[0].group == group]
        if mine:
            console.print(_table(title, mine, ratios=False))
    console.print(f"Published figures are from {published.MACHINE}; htsim runs without DCQCN.", style="dim")


def _table(title: str, rows: Iterable[Row], *, ratios: bool) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    table.add_column("case", no_wrap=True)
    for heading in ("hops", "M hops/s", "M events/s", "events/hop", "wall s", "± %", "memory MB"):
        table.add_column(heading, justify="right")
    if ratios:
        for heading in ("× ns-3", "× htsim", "memory ÷ ns-3"):
            table.add_column(heading, justify="right")
    for case, _, speed in rows:
        table.add_row(case.title, *_figures(speed), *(_ratios(case, speed) if ratios else []))
    return table


def _figures(speed: Speed) -> list[str]:
    return [
        f"{speed.hops / 1e6:.2f} M",
        f"{speed.hops_per_s / 1e6:.2f}",
        f"{speed.events_per_s / 1e6:.2f}",
        f"{speed.events / speed.hops:.2f}",
        f"{speed.wall_s:.2f}",
        f"{50 * speed.spread:.0f}",
        "–" if speed.rss_kb is None else f"{speed.rss_kb / 1024:.1f}",
    ]


def _ratios(case: Case, speed: Speed) -> list[str]:
    cells = []
    for simulator in ("ns-3", "htsim"):
        other = published.find(simulator, case.key)
        cells.append(f"{speed.hops_per_s / other.hops_per_s:.1f}" if other else "–")
    other = published.find("ns-3", case.key)
    cells.append(f"{speed.rss_kb / other.rss_kb:.2f}" if other and speed.rss_kb is not None else "–")
    return cells


def _as_json(row: Row) -> dict[str, object]:
    case, protocol, speed = row
    return {
        "case": case.key,
        "protocol": protocol.name,
        "link_hops": speed.hops,
        "events": speed.events,
        "wall_s": speed.wall_s,
        "hops_per_s": speed.hops_per_s,
        "events_per_s": speed.events_per_s,
        "max_rss_kb": speed.rss_kb,
    }


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{next(iter(models), 'unknown CPU')}, {os.cpu_count()} cores, {platform.machine()}"


if __name__ == "__main__":
    sys.exit(main())
