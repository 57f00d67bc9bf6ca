"""``roce run``: a scenario file, without pytest."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from harness.cli.console import EXIT_DIFFERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.core.result import RunResult
    from harness.core.scenario import Scenario

MAX_SEED = 2**63 - 1


class RecordingFabric(Protocol):
    """A fabric that writes a run into its caller's folder, with event traces, and tells how far it is."""

    def run(
        self,
        scenario: Scenario,
        *,
        output: Path,
        trace: Sequence[str],
        progress: Callable[[float, int], None],
    ) -> RunResult:
        """Execute the scenario; `output` holds the whole result afterwards, or nothing."""
        ...

    def close(self) -> None:
        """Give back what was reserved."""
        ...


@click.command(
    short_help="Run a scenario file and write its result.",
    epilog="""\b
Examples:
  roce run incast.yaml --out results/incast
  roce run incast.yaml --seed 7 --out results/incast-7
  roce run incast.yaml --trace --out results/incast --force
  roce run pair.yaml --fabric vmlab --out results/pair
""",
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder of the result."
)
@click.option("--force", is_flag=True, help="Replace the result that is there.")
@click.option(
    "--seed", type=click.IntRange(0, MAX_SEED), metavar="N", help="Instead of the seed in the file."
)
@click.option("--trace", is_flag=True, help="Also write every congestion-control and pause event.")
@click.option("--fabric", "kind", default="sim", show_default=True, metavar="NAME", help="Kind of fabric.")
@click.option(
    "--site", type=click.Path(path_type=Path), help="Where the nodes are, for fabrics that are real."
)
@click.option(
    "--engine",
    metavar="NAME",
    help="What makes the traffic of real hosts: auto, pyverbs or native. [default: $ROCE_ENGINE, else auto]",
)
@click.option(
    "--i-own-this-fabric", "owned", is_flag=True, help="Allow what disturbs others on a real fabric."
)
def run(
    file: Path,
    out: Path,
    force: bool,
    seed: int | None,
    trace: bool,
    kind: str,
    site: Path | None,
    engine: str | None,
    owned: bool,
) -> int:
    """Run a scenario file, print a summary and write the result into DIR.

    DIR gets result.json, job.json, flows.csv and the time series; with --trace also cc_events.csv and
    pfc_events.csv. It appears when the run is over and whole. Exit code 1 when the run is no evidence: a flow
    did not complete, a generator did not reach its load.
    """
    from harness.analysis.traces import FLOWS_FILE, flows_csv, sizes_of
    from harness.cli.files import write_text
    from harness.cli.outcome import result_folder
    from harness.core.errors import ConfigError
    from harness.core.scenario import Scenario
    from harness.core.site import MAY_DISTURB
    from harness.core.yamlio import load_yaml

    if owned:
        os.environ[MAY_DISTURB] = "1"
    document = load_yaml(file)
    try:
        scenario = Scenario.from_document(document)
        with (
            contextlib.closing(_reserve(scenario, kind, site, seed, engine)) as fabric,
            result_folder(out, force=force) as part,
        ):
            result = _execute(fabric, scenario, part, trace=trace)
            reasons = result.invalid_reasons  # while the series are where the result knows them
            write_text(part / FLOWS_FILE, flows_csv(result.raw, sizes_of(result.job)))
    except ConfigError as error:
        raise document.place(error) from None
    return _tell(result, reasons, out)


def _reserve(
    scenario: Scenario, kind: str, site: Path | None, seed: int | None, engine: str | None
) -> RecordingFabric:
    """Reserve what the file asks for; the binding is found by its name.

    Raises:
        ConfigError: no such kind of fabric, or it has no such engine.
    """
    import importlib
    import pkgutil

    import harness.bindings
    from harness.core.errors import ConfigError, suggestion

    kinds = [module.name for module in pkgutil.iter_modules(harness.bindings.__path__)]
    if kind not in kinds:
        hint = suggestion(kind, kinds, "there are")
        raise ConfigError("no such kind of fabric", key="--fabric", value=kind, hint=hint)
    chosen = next((value for value in (seed, scenario.seed) if value is not None), 1)
    binding = importlib.import_module(f"harness.bindings.{kind}")
    more = harness.bindings.engine_option(binding, kind, engine)
    fabric: RecordingFabric = binding.reserve(scenario.resolved_topology(), site, chosen, **more)
    return fabric


def _execute(fabric: RecordingFabric, scenario: Scenario, part: Path, *, trace: bool) -> RunResult:
    from harness.cli.progress import progress_display

    with progress_display(scenario.name or "running") as advance:
        return fabric.run(scenario, output=part, trace=("cc", "pfc") if trace else (), progress=advance)


def _tell(result: RunResult, reasons: Sequence[str], out: Path) -> int:
    """Print the summary; say why when the run is no evidence."""
    from harness.analysis.traces import sizes_of
    from harness.cli.console import stdout
    from harness.cli.summary import print_summary

    console = stdout()
    print_summary(result.raw, sizes_of(result.job), console)
    for reason in reasons:
        console.print(f"INVALID: {reason}", style="bold red", markup=False)
    for bottleneck in result.bottlenecks:
        console.print(f"NOTE: {bottleneck}", style="yellow", markup=False)
    console.print(f"wrote {out}", markup=False)
    return EXIT_DIFFERS if reasons else 0
