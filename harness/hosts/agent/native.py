"""The native generator, roce-load, as a child of the agent: requests go to it, answers and events come back.

It makes all traffic of a run; clocks, devices and counters stay with the agent. It speaks the agent's protocol. One
that ends or falls silent is an error that says how it ended and its last words; nothing waits for it for ever.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import npy
from .errors import KINDS, AgentError, BadRequest
from .programs import Children
from .request import Fields

Event = dict[str, Any]

PROTOCOL = 1
HELLO_S = 20.0
"""From start to its first line: a cold, emulated host needs seconds to load a program."""

ANSWER_S = 110.0
"""For an answer; shorter than the controller waits for ours, so that the guilty one is named."""

TEARDOWN_S, LEAVE_S = 1.5, 0.5
"""For it to close everything, and then to end; the controller gives the whole of it 3 s."""

PING_AFTER_S, SILENCE_S = 3.0, 8.0
"""During a run: a child that said nothing for so long is asked for its clock, and given up."""

LONGEST_LINE = 256 << 20
KEPT_WORDS = 4096
"""Bytes of the end of its standard error that are kept."""

MOST_SERIES = 16 << 20
"""Bytes of one answer to `series`, before they are packed."""

FORWARDED = frozenset({"connect", "start", "stop", "verify", "recover", "resume"})
RUNS = frozenset({"start", "resume"})


class Child:
    """The process. `on_event` gets what it says unasked; `lost` says why it will say nothing more."""

    def __init__(self, path: str, children: Children, on_event: Callable[[Event], None]) -> None:
        self.lost: AgentError | None = None
        self.heard = time.monotonic()
        self.hello: Event | None = None
        self._children, self._on_event = children, on_event
        self._process = _start(path, children)
        self._input, self._output, self._errors = _files(self._process)
        self._pipes = [self._errors, self._output]  # last words are taken before the end is seen
        self._partial, self._out, self._words = bytearray(), bytearray(), bytearray()
        self._answers: dict[int, Event] = {}
        self._awaited: set[int] = set()
        self._number = 0
        self._greet()

    def _greet(self) -> None:
        until = time.monotonic() + HELLO_S
        while self.hello is None and self.lost is None:
            if time.monotonic() > until:
                self.lose(f"said nothing within {HELLO_S:g} s of its start")
            self.pump(0.2)
        if self.lost is not None:
            raise self.lost
        if self.hello is not None and self.hello.get("protocol") != PROTOCOL:
            raise self.lose(f"speaks version {self.hello.get('protocol')} of the protocol, not {PROTOCOL}")

    def send(self, op: str, keys: dict[str, Any]) -> int:
        """Send a request and return its number."""
        self._number += 1
        message = {"id": self._number, "op": op, **keys}
        self._out += json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        return self._number

    def ask(self, op: str, keys: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send a request and return the keys of its answer; raise AgentError when it cannot, or is lost."""
        number, until = self.send(op, keys), time.monotonic() + timeout_s
        self._awaited.add(number)
        while number not in self._answers:
            if self.lost is not None:
                raise self.lost
            left = until - time.monotonic()
            if left <= 0:
                raise self.lose(f"did not answer {op!r} within {timeout_s:g} s")
            self.pump(min(left, 0.5))
        self._awaited.discard(number)
        answer = self._answers.pop(number)
        if answer.get("ok") is not True:
            raise _refusal(answer.get("error"))
        return {key: value for key, value in answer.items() if key not in {"id", "ok"}}

    def ping(self) -> None:
        """Ask for a sign of life; the answer is dropped."""
        self.send("clock", {})

    def pump(self, wait_s: float, also: tuple[int, ...] = ()) -> None:
        """Wait for the child, or for one of the files `also`, and take what it says."""
        if self.lost is not None:
            return
        waiting = select.poll()
        for file in (*self._pipes, *also):
            waiting.register(file, select.POLLIN)
        if self._out:
            waiting.register(self._input, select.POLLOUT)
        ready = {file for file, _ in waiting.poll(max(0, int(wait_s * 1000)))}
        if self._input in ready:
            self._write()
        for file in [file for file in self._pipes if file in ready]:
            if self.lost is None:
                self._read(file)

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # its end is seen where it is read
            sent = os.write(self._input, self._out[: 1 << 16])
            del self._out[:sent]
            return
        if self._process.poll() is not None:
            self._out.clear()

    def _read(self, file: int) -> None:
        try:
            data = os.read(file, 1 << 20)
        except BlockingIOError:
            return
        if not data:
            self._pipes.remove(file)
            if file == self._output:
                self._closed()
        elif file == self._output:
            self._hear(data)
        else:
            self._words += data
            del self._words[:-KEPT_WORDS]

    def _hear(self, data: bytes) -> None:
        self.heard = time.monotonic()
        self._partial += data
        lines: list[bytearray] = []
        if b"\n" in data:
            *lines, self._partial = self._partial.split(b"\n")
        for line in lines:
            if line.strip() and self.lost is None:
                self._take(bytes(line))
        if len(self._partial) > LONGEST_LINE:
            self.lose("said a line without an end")

    def _take(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            self.lose(f"said {line[:60].decode('utf-8', 'replace')!r}, which is no JSON object")
        elif said.get("event") == "hello":
            self.hello = said
        elif "event" in said:
            self._on_event(said)
        elif isinstance(said.get("id"), int):
            if said["id"] in self._awaited:  # nobody waits for those to pings
                self._answers[said["id"]] = said
        else:
            self.lose(f"rejected a line: {_refusal(said.get('error')).message}")

    def _closed(self) -> None:
        """Its output has ended: say how it did, with its last words."""
        try:
            code: int | None = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            code = None
        if self._errors in self._pipes:
            with contextlib.suppress(BlockingIOError):
                self._words += os.read(self._errors, 1 << 16)
        self.lose(_how(code))

    def lose(self, cause: str) -> AgentError:
        """Give the child up: end it, and return the error that says why. The first cause stays."""
        if self.lost is None:
            words = bytes(self._words).decode("utf-8", "replace").strip().splitlines()
            said = f": {words[-1]}" if words else ""
            self.lost = AgentError("os", f"the native generator {cause}{said}", {"program": "roce-load"})
            self._end()
        return self.lost

    def close(self) -> dict[str, Any]:
        """Let it close everything and end; return what it says of that."""
        if self.lost is not None:
            return {"closed": 0, "errors": []}
        try:
            answer = self.ask("teardown", {}, TEARDOWN_S)
        except AgentError as error:
            answer = {"closed": 0, "errors": [error.message]}
        if self.lost is None and self._process.stdin is not None:
            self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LEAVE_S)
        self.lose("was ended")
        return answer

    def _end(self) -> None:
        self._children.kill(self._process)
        self._pipes.clear()
        self._out.clear()


class Run:
    """A run of the child, from its start to `finished`: what the server steps through."""

    def __init__(self, child: Child) -> None:
        self.over = False
        self._child = child
        self._files: tuple[int, ...] = ()
        self._pinged = 0.0

    def listen(self, file: int) -> None:
        """Let requests wake the loop."""
        self._files = (*self._files, file)

    def step(self) -> None:
        """Wait for the child or a request; raise AgentError when the child is lost."""
        if self.over:
            return
        if self._child.lost is not None:
            raise self._child.lost
        self._child.pump(0.5, self._files)
        silent = time.monotonic() - self._child.heard
        if silent >= SILENCE_S:
            self._child.lose(f"said nothing for {silent:.0f} s")
        elif silent >= PING_AFTER_S and self._pinged < self._child.heard:
            self._pinged = time.monotonic()
            self._child.ping()


class Relay:
    """One run of the native generator on this host. `run` is there while traffic is under way."""

    def __init__(self, native: Fields, children: Children, emit: Callable[..., None]) -> None:
        native.only("path", "series", "sample_ns")
        self.run: Run | None = None
        self._emit = emit
        self._folder = None if native.values.get("series") is None else Path(native.text("series"))
        self._sample_ns = native.integer_or_none("sample_ns", 1, 2**63 - 1)
        path = native.text("path")
        self._make_folder()
        try:
            self._child = Child(path, children, self._take)
        except BaseException:
            self._remove()
            raise

    def prepare(self, fields: Fields) -> dict[str, Any]:
        """Let the child make what the ends need; after an error nothing of it is left."""
        keys = {key: value for key, value in fields.values.items() if key not in {"id", "op", "native"}}
        keys.update(series=None if self._folder is None else str(self._folder), sample_ns=self._sample_ns)
        try:
            return self._child.ask("prepare", keys, ANSWER_S)
        except BaseException:
            self.close()
            raise

    def forward(self, op: str, fields: Fields) -> dict[str, Any]:
        """Let the child do what a request asks."""
        keys = {key: value for key, value in fields.values.items() if key not in {"id", "op"}}
        if op not in RUNS:
            return self._child.ask(op, keys, ANSWER_S)
        before, self.run = self.run, Run(self._child)
        try:
            return self._child.ask(op, keys, ANSWER_S)
        except BaseException:
            self.run = before
            raise

    def _take(self, event: Event) -> None:
        """Pass an event on; the last one of a run ends it."""
        self._emit(event, droppable=event["event"] == "progress")
        if event["event"] in {"finished", "failed"} and self.run is not None:
            self.run.over = True

    def series(self, fields: Fields) -> dict[str, Any]:
        """Return rows of the series of a source: every `every`-th of `rows`, from row `first` on, packed."""
        fields.only("id", "op", "file", "time_file", "first", "rows", "every")
        if self._folder is None:
            raise BadRequest("op", "series", "a run that was prepared with series")
        first, every = fields.integer("first", 0, 2**62), fields.integer("every", 1, 2**31)
        chosen = range(first, first + fields.integer("rows", 1, 2**31) * every, every)
        tables = {
            key: npy.Table(self._folder / _plain_name(fields, name))
            for key, name in (("time", "time_file"), ("bytes", "file"))
        }
        chosen = range(chosen.start, min(chosen.stop, tables["bytes"].rows), every)
        if tables["time"].rows < tables["bytes"].rows:
            raise BadRequest(
                "time_file", tables["time"].rows, f"an instant for each of {tables['bytes'].rows} rows"
            )
        if len(chosen) * tables["bytes"].row_bytes > MOST_SERIES:
            raise BadRequest("rows", len(chosen), f"rows of {MOST_SERIES} bytes at most")
        return {"rows": len(chosen), **{key: table.packed(chosen) for key, table in tables.items()}}

    def close(self) -> dict[str, Any]:
        """End the child and remove the series."""
        self.run = None
        answer = self._child.close()
        self._remove()
        return answer

    def _make_folder(self) -> None:
        try:
            if self._folder is not None:
                self._folder.mkdir(0o700)
        except OSError as error:
            raise AgentError("os", f"cannot make {self._folder}: {error.strerror}") from None

    def _remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _start(path: str, children: Children) -> subprocess.Popen[bytes]:
    try:
        return children.talk([path, "--serve"])
    except OSError as error:
        raise AgentError("os", f"cannot start {path}: {error.strerror}", {"path": path}) from None


def _files(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the near ends of input, output and errors, which never block."""
    files = [pipe.fileno() for pipe in (process.stdin, process.stdout, process.stderr) if pipe is not None]
    for file in files:
        os.set_blocking(file, False)
    return files


def _plain_name(fields: Fields, key: str) -> str:
    name = fields.text(key)
    if "/" in name or name in {".", ".."}:
        raise BadRequest(fields.key(key), name, "the name of a file")
    return name


def _refusal(error: object) -> AgentError:
    said = error if isinstance(error, dict) else {}
    kind, detail = str(said.get("kind")), said.get("detail")
    message = str(said.get("message") or "the native generator refuses and does not say why")
    return AgentError(
        kind if kind in KINDS else "internal", message, detail if isinstance(detail, dict) else None
    )


def _how(code: int | None) -> str:
    if code is None:
        return "closed its output and still runs"
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"
