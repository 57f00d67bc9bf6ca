"""``roce defects``: which test notices which defect of the simulated devices."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.console import EXIT_DIFFERS
from harness.cli.run import MAX_SEED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.cli.defect_sessions import Done
    from harness.core.defects import Defect
    from harness.core.record import RunRecord
    from reports.defect_matrix import Matrix


@click.command(
    short_help="Show which test notices which defect.",
    epilog="""\b
Examples:
  roce defects --list                              what can be wrong with the simulated devices
  roce defects                                     every suite against every defect; minutes
  roce defects --quick                             only the tests that say they catch a defect
  roce defects --suite ecn --suite cnp             two families of suites
  roce defects --defect marking_off --out out/one  one defect, its records and pages in out/one
""",
)
@click.option(
    "--suite", "families", multiple=True, metavar="FAMILY", help="A folder of the suites; repeatable."
)
@click.option("--defect", "chosen", multiple=True, metavar="NAME", help="A defect; repeatable. Default: all.")
@click.option("--list", "listing", is_flag=True, help="Only list the defects.")
@click.option("--quick", is_flag=True, help="Only the tests that say they catch the defect.")
@click.option(
    "--all-cases", is_flag=True, help="All cases of every test, not only the first; takes thrice as long."
)
@click.option(
    "--suites",
    "root",
    default="suites",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where suites are.",
)
@click.option(
    "--out", default="runs/defects", show_default=True, metavar="DIR", type=click.Path(path_type=Path),
    help="Folder of records and of matrix.json, .html, .txt and .md.",
)  # fmt: skip
@click.option("--continue", "go_on", is_flag=True, help="Keep the sessions that --out already has whole.")
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=os.cpu_count() or 1, show_default=True, metavar="N"
)
@click.option("--seed", type=click.IntRange(0, MAX_SEED), default=1, show_default=True, metavar="N")
def defects(
    families: tuple[str, ...],
    chosen: tuple[str, ...],
    listing: bool,
    quick: bool,
    all_cases: bool,
    root: Path,
    out: Path,
    go_on: bool,
    jobs: int,
    seed: int,
) -> int:
    """Run suites on simulated devices with defects and print the matrix of defects and tests.

    First the suites run on healthy devices, where everything must pass; then once for each defect: the first case of
    each test, and all cases of those that say they catch it. A defect is caught when a test that names it (marker
    `catches`) fails by the measurement it names. A test that no defect makes fail is unproven. Negative controls are
    left out: they are broken on purpose already.

    Exit code 1 when a defect is not caught (by all suites), a test is unproven (by all defects), a marker says what is
    not so, or something is wrong without any defect.
    """
    from harness.bindings.sim import find_simulator
    from harness.bindings.sim.defects import check_names, list_defects
    from harness.cli.console import stdout
    from harness.cli.defect_sessions import Plan, Sessions
    from reports.defect_pages import as_text

    program = find_simulator()
    known = list_defects(program)
    if listing:
        return _list(known)
    check_names(program, chosen)
    wanted = [defect for defect in known if not chosen or defect.name in chosen]
    cases = "catching" if quick else "all" if all_cases else "first"
    plan = Plan(_targets(root, families), out, seed, cases=cases, again=not go_on)
    names = [*([] if quick else [None]), *(defect.name for defect in wanted)]
    records = Sessions(plan, jobs, _reporter(len(names))).run(names)
    matrix = _matrix(wanted, records, partial=quick or bool(chosen))
    _write(matrix, out)
    console = stdout()
    console.print(as_text(matrix), markup=False, soft_wrap=True)
    console.print(f"matrix: {out.absolute() / 'matrix.html'}", markup=False, soft_wrap=True)
    return EXIT_DIFFERS if _is_bad(matrix, all_suites=not families) else 0


def _list(known: Sequence[Defect]) -> int:
    from rich.table import Table

    from harness.cli.console import stdout

    table = Table("defect", "in", "what it does", box=None, pad_edge=False)
    for defect in known:
        table.add_row(defect.name, defect.part, defect.what)
    stdout().print(table)
    return 0


def _targets(root: Path, families: Sequence[str]) -> tuple[Path, ...]:
    """Return the folders to run; ConfigError names the families that exist."""
    from harness.core.errors import ConfigError, suggestion

    if not root.is_dir():
        raise ConfigError(
            "no such folder", key="--suites", value=str(root), hint="run it where the suites are"
        )
    known = sorted(folder.name for folder in root.iterdir() if any(folder.glob("test_*.py")))
    for family in families:
        if family not in known:
            raise ConfigError(
                "no such family of suites",
                key="--suite",
                value=family,
                hint=suggestion(family, known, "there are"),
            )
    return tuple(root / family for family in families) or (root,)


def _reporter(sessions: int) -> Done:
    """Return what prints a line on standard error for each session that ends."""
    from harness.cli.console import stderr
    from harness.core.record import Outcome

    console, ended = stderr(), 0

    def done(defect: str | None, record: RunRecord | None, seconds: float) -> None:
        nonlocal ended
        ended += 1
        counts = {} if record is None else record.counts()
        told = ", ".join(f"{number} {outcome.value}" for outcome, number in counts.items() if number)
        told = told or f"no {Outcome.PASS.value}: no test ran"
        console.print(
            f"[{ended}/{sessions}] {defect or 'without defects'}: {told} ({seconds:.0f} s)", markup=False
        )

    return done


def _matrix(
    wanted: Sequence[Defect], records: dict[str | None, RunRecord | None], *, partial: bool
) -> Matrix:
    from harness.core.record import RunRecord
    from reports.defect_matrix import matrix_of

    nothing = RunRecord(run_id="none", started="", fabric="sim", simulated=True)
    sessions = [(defect, records[defect.name] or nothing) for defect in wanted]
    return matrix_of(records.get(None), sessions, partial=partial)


def _write(matrix: Matrix, out: Path) -> None:
    from harness.cli.files import write_text
    from reports.defect_pages import as_html, as_json, as_markdown, as_text

    for suffix, text in (("json", as_json), ("html", as_html), ("txt", as_text), ("md", as_markdown)):
        write_text(out / f"matrix.{suffix}", text(matrix))


def _is_bad(matrix: Matrix, *, all_suites: bool) -> bool:
    """Some suites alone need not catch every defect, but their tests must all be proven and say what is so."""
    amiss = bool(matrix.healthy or matrix.broken_promises or matrix.unproven)
    return amiss or (all_suites and bool(matrix.uncaught))
