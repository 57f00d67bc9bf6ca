"""Where the programs that come with the harness are: roce-sim and roce-load."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.core.errors import ConfigError


def find_program(name: str, variable: str) -> Path | None:
    """Return a program: that of the variable, else beside Python, on PATH, or in the build folder; None: nowhere.

    Raises ConfigError when the variable names no program.
    """
    named = os.environ.get(variable)
    if named:
        if not _is_program(Path(named)):
            raise ConfigError(f"{variable} names no program", key=variable, value=named)
        return Path(named).absolute()
    return next((candidate for candidate in _candidates(name) if _is_program(candidate)), None)


def _candidates(name: str) -> Iterator[Path]:
    yield Path(sys.executable).parent / name
    on_path = shutil.which(name)
    if on_path is not None:
        yield Path(on_path)
    # CMake leaves it some folders deep, under the name of the platform
    yield from sorted((Path(__file__).resolve().parents[2] / "build").glob(f"**/{name}"))


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
