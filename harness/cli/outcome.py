"""The folder of a result: written as ``DIR.part``, renamed to ``DIR`` when whole, gone when it never is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.core.errors import ConfigError

RESULT_FILE = "result.json"


@contextlib.contextmanager
def result_folder(out: Path, *, force: bool) -> Iterator[Path]:
    """Give a folder to write into; on leaving without an error it becomes ``out``.

    Whatever is refused is refused before anything runs. On any error, and on Ctrl-C, nothing of the new
    result is left and an old one stays as it was.

    Raises:
        ConfigError: ``out`` exists and is not to be replaced, or is no result, or cannot be written.
    """
    _refuse_existing(out, force=force)
    part = out.with_name(f"{out.name}.part")
    with _made(part) as lock:
        try:
            yield part
            _promote(part, out)
        finally:
            os.close(lock)
            shutil.rmtree(part, ignore_errors=True)


def _refuse_existing(out: Path, *, force: bool) -> None:
    if not out.name:
        raise ConfigError("not a folder name", key="--out", value=str(out), hint="name a new folder")
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigError("is a file", key="--out", value=str(out), hint="name a new folder")
    if not any(out.iterdir()):
        return
    if not (out / RESULT_FILE).is_file():
        hint = "name a new folder"
        raise ConfigError(
            "the folder holds something else than a result", key="--out", value=str(out), hint=hint
        )
    if not force:
        hint = "name another folder, or replace it with --force"
        raise ConfigError("the folder holds a result already", key="--out", value=str(out), hint=hint)


@contextlib.contextmanager
def _made(part: Path) -> Iterator[int]:
    """Make the folder and lock it; what a killed run left there is removed, a live run is not disturbed."""
    try:
        part.mkdir(parents=True, exist_ok=True)
        lock = os.open(part, os.O_RDONLY | os.O_DIRECTORY)
        probe = part / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"cannot write: {error.strerror}", key="--out", value=str(part)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigError("another run is writing there", key="--out", value=str(part)) from None
    for left in part.iterdir():
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    yield lock


def _promote(part: Path, out: Path) -> None:
    """Rename ``part`` to ``out``; an old result steps aside first and is deleted last."""
    try:
        old = out.with_name(f"{out.name}.old")
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)
            out.rename(old)
        part.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise ConfigError(f"cannot write: {error.strerror}", key="--out", value=str(out)) from error
