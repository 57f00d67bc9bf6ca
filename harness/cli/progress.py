"""How far a run is: a bar on a terminal, a line every few seconds elsewhere. Always on standard error."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

LINE_EVERY_S = 5.0

Advance = Callable[[float, int], None]
"""Told the part that is done (0 to 1) and the time of the fabric in ps."""


@contextlib.contextmanager
def progress_display(title: str) -> Iterator[Advance]:
    """Show progress while the block runs; give the function to call."""
    if sys.stderr.isatty():
        with _bar(title) as advance:
            yield advance
    else:
        yield _lines(title)


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Advance]:
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from harness.cli.console import stderr

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[at]}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=stderr(), transient=True) as progress:
        task = progress.add_task(escape(title), total=1.0, at="")

        def advance(fraction: float, sim_ps: int) -> None:
            progress.update(task, completed=fraction, at=f"{sim_ps / 1e9:.3f} ms simulated")

        yield advance


def _lines(title: str) -> Advance:
    last = time.monotonic()

    def advance(fraction: float, sim_ps: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_EVERY_S:
            last = now
            print(f"{title}: {fraction:.0%}, {sim_ps / 1e9:.3f} ms simulated", file=sys.stderr, flush=True)

    return advance
