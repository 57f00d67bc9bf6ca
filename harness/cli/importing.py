"""``roce import``: files of other tools become scenarios."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("import", short_help="Turn files of other tools into a scenario.")
def import_group() -> None:
    """Turn files of other tools into a scenario for `roce run`."""


@import_group.command(
    epilog="""\b
Examples:
  roce import hpcc config.cfg -o scenario.yaml
  roce run scenario.yaml --trace --out results/hpcc
  roce compare reference/ results/hpcc
"""
)
@click.argument("config", metavar="FILE.cfg", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The scenario file to write."
)
@click.option("--force", is_flag=True, help="Replace a file that was not imported.")
def hpcc(config: Path, output: Path, force: bool) -> None:
    """Read a configuration of the HPCC ns-3 simulator, with the topology and flow files it names.

    The scenario selects the semantics of that model, so that a run can be held against its output.
    """
    from harness.cli.files import write_text
    from harness.core.errors import ConfigError
    from harness.importers.hpcc import scenario_text

    if output.exists() and not force and not _is_imported(output):
        raise ConfigError(
            f"{output} exists and was not written by an import",
            hint="give another name, or --force to replace it",
        )
    write_text(output, scenario_text(config))
    click.echo(f"wrote {output}; run it with: roce run {output} --trace --out DIR")


def _is_imported(path: Path) -> bool:
    """Whether a file is an earlier import, which may be made again without asking."""
    try:
        with path.open(encoding="utf-8", errors="replace") as text:
            return text.readline().startswith("# Imported from ")
    except OSError:
        return False
