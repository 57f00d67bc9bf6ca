"""Records on disk: a journal of JSON lines while tests run, one JSON document at the end.

docs/record-format.md describes both. A journal that ends in the middle of a line is read up to there, and
the record says so in `problems`.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.core.errors import ConfigError
from harness.core.record import RunRecord, TestRecord


class RecordWriter:
    """Appends to a journal as tests finish; each line is on disk when `add` returns.

    Use it as a context manager or call `close`. Raises ConfigError when the place cannot be written to.
    """

    def __init__(self, path: Path, run: RunRecord) -> None:
        self.path = path
        self._run = replace(run, tests=())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._out = path.open("w", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write the record: {error.strerror}", file=path) from error
        header = self._run.to_json()
        del header["tests"], header["problems"], header["finished"]
        self._append({"record": "run", **header})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, test: TestRecord) -> None:
        """Append a finished test."""
        self._run = replace(self._run, tests=(*self._run.tests, test))
        self._append({"record": "test", **test.to_json()})

    def finish(self, finished: str) -> RunRecord:
        """Append the end of the session (`finished` is ISO 8601), close, and return the whole record."""
        self._run = replace(self._run, finished=finished)
        self._append({"record": "end", "finished": finished, "tests": len(self._run.tests)})
        self.close()
        return self._run

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._out.close()

    def _append(self, data: dict[str, Any]) -> None:
        try:
            self._out.write(_json(data) + "\n")
            self._out.flush()
        except OSError as error:
            raise ConfigError(f"cannot write the record: {error.strerror}", file=self.path) from error


def save(record: RunRecord, path: Path) -> None:
    """Write the whole record as one JSON document; a reader sees the old file or the new one, never half."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(_json(record.to_json()) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write the record: {error.strerror}", file=path) from error
    finally:
        with suppress(OSError):  # it is gone already, or never was
            partial.unlink()


def load(path: Path) -> RunRecord:
    """Read a record or a journal; what is lost of a damaged journal is told in `problems`.

    Raises:
        ConfigError: not a record at all, of another format, or a document (not a journal) that is damaged.
    """
    text = _read(path)
    lines = text.split("\n")
    first = _object(lines[0])
    if first is not None and first.get("record") == "run":
        return _journal(path, first, lines[1:])
    try:
        return RunRecord.from_json(_parsed(text))
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise error.located(file=str(path), line=None, key=error.key) from None
        raise ConfigError("not a record: neither a JSON document nor a journal", file=path) from None


def _journal(path: Path, header: dict[str, Any], lines: list[str]) -> RunRecord:
    tests: list[TestRecord] = []
    problems: list[str] = []
    finished: str | None = None
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        entry = _object(line)
        if entry is None:
            problems.append(_damage(number, line, is_last=number == len(lines) + 1))
        elif entry.pop("record", None) == "test":
            tests.append(_test(path, number, entry))
        elif "finished" in entry:
            finished = str(entry["finished"])
            if entry.get("tests") != len(tests):
                problems.append(f"{entry.get('tests')} tests finished, {len(tests)} are in the file")
    if finished is None:
        problems.append("the session did not come to its end: tests after the last one here are missing")
    run = {key: value for key, value in header.items() if key != "record"}
    run |= {"tests": [], "problems": problems, "finished": finished}
    try:
        return replace(RunRecord.from_json(run), tests=tuple(tests))
    except ConfigError as error:
        raise error.located(file=str(path), line=1, key=error.key) from None


def _test(path: Path, line: int, entry: dict[str, Any]) -> TestRecord:
    try:
        return TestRecord.from_json(entry)
    except ConfigError as error:
        raise error.located(file=str(path), line=line, key=error.key) from None


def _damage(number: int, line: str, *, is_last: bool) -> str:
    if is_last:
        return f"the last line is cut after {len(line)} characters: one test is lost"
    return f"line {number} is not JSON: what it held is lost"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"cannot read the record: {error.strerror}", file=path) from error


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = _parsed(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _parsed(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
