"""The folder of a run: written under a name with `.partial` in it, published only when the result is whole."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.core.errors import ConfigError
from harness.core.result import RESULT_FILE


class Scratch:
    """Places for runs that were not given one; `close` removes them all."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._root: Path | None = None
        self._runs = 0

    def place(self) -> Path:
        """Return a name for the folder of another run; its parent exists."""
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix=self._prefix))
        self._runs += 1
        return self._root / f"run-{self._runs}"

    def close(self) -> None:
        """Remove the folders of all runs; may be called twice."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = None


@contextmanager
def run_folder(place: Path) -> Iterator[Path]:
    """Give a folder to write a run into; it becomes `place` when the body ends without an exception.

    An earlier run of that name is replaced. After an exception nothing is left of the run.

    Raises:
        ConfigError: `place` holds something that is no run, or it cannot be written.
    """
    partial = _make_partial(place)
    try:
        yield partial
        _publish(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(path: Path, data: Mapping[str, object], what: str) -> None:
    """Write a file of a run; raise ConfigError ("cannot write the `what`") when that cannot be."""
    try:
        with path.open("w", encoding="utf-8") as file:
            json.dump(data, file, allow_nan=False)
    except OSError as error:
        raise ConfigError(f"cannot write the {what}: {error.strerror}", file=path) from None


def _make_partial(place: Path) -> Path:
    """Make the folder that a run writes into, beside the one it will become."""
    _check_replaceable(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{place.name}.partial-", dir=place.parent))
    except OSError as error:
        raise ConfigError(f"cannot write the output folder: {error.strerror}", file=place) from None


def _check_replaceable(place: Path) -> None:
    """Refuse to put a run where something else is: only an empty folder or an earlier run is replaced."""
    if not place.exists():
        return
    if not place.is_dir():
        raise ConfigError("the output folder is a file", file=place)
    try:
        occupied = any(place.iterdir()) and not (place / RESULT_FILE).is_file()
    except OSError as error:
        raise ConfigError(f"cannot read the output folder: {error.strerror}", file=place) from None
    if occupied:
        raise ConfigError(
            "the output folder holds something that is no run", file=place, hint="give another name"
        )
    if not os.access(place.parent, os.W_OK):
        raise ConfigError("cannot write the output folder: its parent is read-only", file=place)


def _publish(partial: Path, place: Path) -> None:
    """Give a whole run its name; an earlier run of that name goes."""
    old = partial.with_name(f"{partial.name}.old")
    try:
        partial.chmod(0o755)  # mkdtemp makes it private
        if place.exists():
            place.rename(old)
        partial.rename(place)
    except OSError as error:
        raise ConfigError(f"cannot write the output folder: {error.strerror}", file=place) from None
    finally:
        shutil.rmtree(old, ignore_errors=True)
