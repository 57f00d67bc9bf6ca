"""The seam of all report formats: a record goes in, one file comes out whole or not at all."""

from __future__ import annotations

import importlib
import os
import pkgutil
import tempfile
from pathlib import Path
from typing import Protocol, TextIO

import reports
from harness.core.errors import ConfigError
from harness.core.record import RunRecord


class Reporter(Protocol):
    """One format. A module `reports/<name>.py` offers it as `reporter`."""

    report_type: str
    suffix: str

    def write(self, record: RunRecord, out: TextIO) -> None:
        """Print the whole document into `out`."""
        ...


def load(name: str) -> Reporter:
    """Find a format by the name of its module; ConfigError names those that exist."""
    known = names()
    if name not in known:
        raise ConfigError("unknown report format", value=name, hint=f"there are {', '.join(known)}")
    reporter: Reporter = importlib.import_module(f"reports.{name}").reporter
    return reporter


def names() -> list[str]:
    """All formats, in alphabetical order."""
    found = (module.name for module in pkgutil.iter_modules(reports.__path__))
    return [name for name in found if hasattr(importlib.import_module(f"reports.{name}"), "reporter")]


def write_report(reporter: Reporter, record: RunRecord, path: Path) -> Path:
    """Write `record` as `path`, making its folder; a reader sees the finished file or the one before it.

    Raises ConfigError when the place cannot be written to. On any error nothing of the new file is left.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ConfigError(
            f"cannot write the {reporter.report_type} report: {error.strerror}", value=str(path)
        ) from error
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as out:
            reporter.write(record, out)
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise ConfigError(
            f"cannot write the {reporter.report_type} report: {error.strerror}", value=str(path)
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return path
