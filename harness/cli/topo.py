"""``roce topo``: list and draw topologies."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from harness.cli.console import PIPED_WIDTH


@click.group(
    epilog="""\b
Examples:
  roce topo list
  roce topo show leaf-spine-16
  roce topo show my/topology.yaml --svg topology.svg
"""
)
def topo() -> None:
    """List and draw topologies."""


@topo.command("list", epilog="Example: roce topo list")
def list_topologies() -> None:
    """Print every topology that can be named, with its size."""
    from rich.markup import escape
    from rich.table import Table

    from harness.cli.console import stdout
    from harness.core.errors import ConfigError
    from harness.core.topology import Topology, available
    from harness.drawing.graph import graph_of

    table = Table("topology", "what it is", box=None, padding=(0, 2), pad_edge=False)
    for name in available():
        try:
            table.add_row(name, graph_of(Topology.load(name)).summary)
        except ConfigError as error:
            table.add_row(name, f"[red]cannot be read:[/red] {escape(str(error))}")
    stdout().print(table)


@topo.command(
    "show",
    epilog="""\b
Examples:
  roce topo show star-9
  roce topo show topologies/leaf-spine-16.yaml --svg leaf-spine.svg
""",
)
@click.argument("topology", metavar="NAME|FILE")
@click.option(
    "--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write an SVG drawing to this file."
)
def show(topology: str, svg: Path | None) -> None:
    """Draw a topology: its tiers, its links and their rates."""
    from harness.cli.files import write_text
    from harness.core.topology import Topology
    from harness.drawing.graph import graph_of
    from harness.drawing.svg import draw_svg
    from harness.drawing.text import draw_text

    graph = graph_of(Topology.load(topology))
    if svg is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED_WIDTH
        click.echo(draw_text(graph, width), nl=False)
        return
    write_text(svg, draw_svg(graph))
    click.echo(f"drew {graph.name} ({graph.summary}) as {svg}")
