"""Writing files and folders whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.core.errors import ConfigError


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as ``path``, making its folder; a reader sees the old file or the new one, never half.

    Raises:
        ConfigError: the place cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _umask() -> int:
    """The process's umask; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
