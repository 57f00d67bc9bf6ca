"""The seam of all report formats: a record goes in, one file comes out whole or not at all."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TextIO, runtime_checkable

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


@runtime_checkable
class FolderReporter(Protocol):
    """A format that is a folder of files, offered like any other."""

    report_type: str

    def fill(self, record: RunRecord, folder: Path) -> None:
        """Write the files into an empty folder."""
        ...

    def owns(self, path: Path) -> bool:
        """Tell whether a file or folder is one that this format writes, so that a new report may replace it."""
        ...


def load(name: str) -> Reporter | FolderReporter:
    """Find a format by the name of its module; ConfigError names those that exist."""
    known = names()
    if name not in known:
        raise ConfigError("unknown report format", value=name, hint=f"there are {', '.join(known)}")
    reporter: Reporter | FolderReporter = importlib.import_module(f"reports.{name}").reporter
    return reporter


def names() -> list[str]:
    """All formats, in alphabetical order."""
    found = (module.name for module in pkgutil.iter_modules(reports.__path__))
    return [name for name in found if hasattr(importlib.import_module(f"reports.{name}"), "reporter")]


def write_report(reporter: Reporter | FolderReporter, record: RunRecord, path: Path) -> Path:
    """Write `record` as `path`, making its folder; a reader sees the finished report or the one before it.

    Raises ConfigError when the place cannot be written to, or when a report that is a folder would replace files of
    another kind. On any error nothing of the new report is left.
    """
    with _told(reporter.report_type, path):
        if isinstance(reporter, FolderReporter):
            _refuse_others(reporter, path)
            _write_folder(reporter, record, path)
        else:
            _write_file(lambda out: reporter.write(record, out), path)
    return path


@contextmanager
def _told(report_type: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot write the {report_type} report: {error.strerror}", value=str(path)
        ) from error


def _write_file(write: Callable[[TextIO], None], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as out:
            write(out)
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_folder(reporter: FolderReporter, record: RunRecord, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    old = partial.with_name(f"{partial.name}.old")
    try:
        reporter.fill(record, partial)
        partial.chmod(0o755)
        if path.exists():
            path.rename(old)
        try:
            partial.rename(path)
        except OSError:
            old.rename(path)
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _refuse_others(reporter: FolderReporter, path: Path) -> None:
    """A mistyped folder must not cost anybody their files."""
    if not path.exists():
        return
    found = list(path.iterdir()) if path.is_dir() else [path]
    foreign = sorted(each.name for each in found if not reporter.owns(each))
    if foreign or not path.is_dir():
        raise ConfigError(
            f"the {reporter.report_type} report would replace what is not its own: {(foreign or [path.name])[0]}",
            value=str(path),
            hint="give a folder that is new, empty or an earlier report",
        )
