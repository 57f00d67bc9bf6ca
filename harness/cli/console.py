"""Where commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

EXIT_DIFFERS = 1
EXIT_WRONG = 2
EXIT_INTERRUPTED = 130

PIPED_WIDTH = 120
"""Columns of tables that are not printed on a terminal."""


def stdout() -> Console:
    """The console of results; piped output gets a fixed width so that tables do not fold."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)


def stderr() -> Console:
    """The console of progress and remarks."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def complain(message: str) -> None:
    """Print one line of error, in the form that every command uses."""
    print(f"roce: error: {message}", file=sys.stderr)
