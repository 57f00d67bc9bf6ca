"""Rows of the tables of 64-bit integers that the native generator writes (NumPy's .npy), without NumPy."""

from __future__ import annotations

import ast
import base64
import zlib
from pathlib import Path
from typing import Any

from .errors import AgentError

_MAGIC = b"\x93NUMPY"
_ITEM = 8
_FAST = 1
"""Level of compression: counts that only grow shrink well at any, and hosts may be slow."""


class Table:
    """A file that holds rows × columns of int64 or uint64, least byte first; one dimension is one column.

    Raises AgentError when it is something else, or shorter than its header says.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                self._start, header = _header(file.read(1 << 16))
                size = file.seek(0, 2)
        except (OSError, ValueError, TypeError, SyntaxError, IndexError) as error:
            raise AgentError("os", f"{path}: no table: {error}", {"file": str(path)}) from None
        shape = header.get("shape")
        if header.get("descr") not in {"<i8", "<u8"} or header.get("fortran_order") is not False or not shape:
            raise AgentError("os", f"{path}: not rows of 64-bit integers: {header}", {"file": str(path)})
        self.rows, columns = int(shape[0]), int(shape[1]) if len(shape) > 1 else 1
        self.row_bytes = columns * _ITEM
        if size < self._start + self.rows * self.row_bytes:
            raise AgentError("os", f"{path}: shorter than its {self.rows} rows", {"file": str(path)})

    def packed(self, chosen: range) -> str:
        """Return the bytes of some rows, deflated (RFC 1950), as base64."""
        packer = zlib.compressobj(_FAST)
        parts = []
        with self._path.open("rb") as file:
            for row in _blocks(chosen):
                file.seek(self._start + row.start * self.row_bytes)
                parts.append(packer.compress(file.read(len(row) * self.row_bytes)))
        parts.append(packer.flush())
        return base64.b64encode(b"".join(parts)).decode("ascii")


def _blocks(chosen: range) -> list[range]:
    """Return what can be read at once: all of it, or single rows."""
    return [chosen] if chosen.step == 1 else [range(row, row + 1) for row in chosen]


def _header(data: bytes) -> tuple[int, dict[str, Any]]:
    """Return where the rows start, and the header (numpy.lib.format, versions 1 to 3)."""
    if data[:6] != _MAGIC:
        raise ValueError("no .npy file")
    wide = data[6] > 1
    start = 12 if wide else 10
    length = int.from_bytes(data[8:start], "little")
    header = ast.literal_eval(data[start : start + length].decode("latin-1").strip())
    return start + length, dict(header)
