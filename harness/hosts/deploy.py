"""The agent as one archive that Python runs: the same sources always give the same bytes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib import resources

ARCHIVE = "agent.pyz"
"""Name of the archive in the cache of a host; its content's hash is appended."""

PACKAGE = "roce_agent"
"""Name of the agent's package inside the archive; the `harness` of a host, if any, is not in its way."""

MAIN = f'import runpy\n\nrunpy.run_module("{PACKAGE}", run_name="__main__", alter_sys=True)\n'
"""What Python runs first in the archive."""

FIRST_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest time stamp that a ZIP entry can carry."""


@cache
def agent_archive() -> bytes:
    """Return the archive of the agent's sources, as `python ARCHIVE` runs it."""
    return pack(_sources())


def pack(sources: Mapping[str, bytes]) -> bytes:
    """Return the archive of a package's modules (name → content); time and order leave no trace in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", MAIN.encode())
        for name in sorted(sources):
            _add(archive, f"{PACKAGE}/{name}", sources[name])
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, FIRST_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, wherever it was made
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


def _sources() -> dict[str, bytes]:
    folder = resources.files("harness.hosts") / "agent"
    return {item.name: item.read_bytes() for item in folder.iterdir() if item.name.endswith(".py")}
