"""``roce run``: a scenario file, without pytest."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def run(file: Path) -> int:
    """Run a scenario."""
    raise NotImplementedError
