"""``roce schema``: JSON Schema of the files that people write, for editors, and of records, for tools."""

from __future__ import annotations

import json

import click


@click.command(
    short_help="Print the JSON Schema of scenario, topology, site or record files.",
    epilog="""\b
Examples:
  roce schema scenario > scenario.schema.json
  roce schema topology > topology.schema.json
  roce schema site > site.schema.json
  roce schema record > record.schema.json

In VS Code with the YAML extension, begin a file with
  # yaml-language-server: $schema=scenario.schema.json
""",
)
@click.argument("kind", type=click.Choice(["scenario", "topology", "site", "record"]), default="scenario")
def schema(kind: str) -> None:
    """Print the JSON Schema of a scenario, topology or site file, or of the record of a session."""
    click.echo(json.dumps(_schema(kind), indent=2))


def _schema(kind: str) -> dict[str, object]:
    if kind == "topology":
        from harness.core.topology import Topology

        return Topology.json_schema()
    if kind == "site":
        from harness.core.site import Site

        return Site.json_schema()
    if kind == "record":
        from harness.core.record_schema import record_schema

        return record_schema()
    from harness.core.scenario import Scenario

    return Scenario.json_schema()
