"""roce-load on null devices: jobs in few words, runs that cannot hang, and its line protocol as the agent speaks it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from typing import Any, Self

from harness.core.programs import find_program

PROGRAM = find_program("roce-load", "ROCE_LOAD")
assert PROGRAM is not None, "no roce-load: `make setup` builds it, everywhere"

LIMIT_S = 60.0
"""No run of these tests is nearly as long."""

Flow = dict[str, Any]


def flow(name: str = "f", src: str = "h1:p0", dst: str = "h2:p0", **keys: Any) -> Flow:
    return {"name": name, "src": src, "dst": dst, "message_bytes": 256, "messages": 300, **keys}


def job_of(*flows: Flow, **keys: Any) -> dict[str, Any]:
    return {"name": "test", "until": "done", "nic": {"mtu_bytes": 1024}, "flows": list(flows), **keys}


def endless(*flows: Flow, seconds: float = 30, **keys: Any) -> dict[str, Any]:
    """Return a job whose flows send until the time is over."""
    duration = int(seconds * 1e12)
    return job_of(
        *({**each, "messages": 0} for each in flows), until="duration", duration_ps=duration, **keys
    )


def start(job: dict[str, Any] | bytes, *options: str, **keys: Any) -> subprocess.Popen[bytes]:
    """Start it with its job on standard input, which is closed; of the outputs `keys` may say something else."""
    keys = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **keys}
    process = subprocess.Popen([str(PROGRAM), *(options or ("--null",))], stdin=subprocess.PIPE, **keys)
    with contextlib.suppress(BrokenPipeError):  # it may have refused its options by now
        process.stdin.write(job if isinstance(job, bytes) else json.dumps(job).encode())
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.stdin = None
    return process


def finish(process: subprocess.Popen[bytes], limit_s: float = LIMIT_S) -> tuple[int, bytes, bytes]:
    """Wait for its end; one that does not end is killed, and the test fails."""
    try:
        out, err = process.communicate(timeout=limit_s)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    return process.returncode, out, err


def refuse_constant(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")


def strict(text: bytes | str) -> Any:
    """Read JSON as its standard has it, without NaN and Infinity."""
    return json.loads(text, parse_constant=refuse_constant)


def result_of(
    job: dict[str, Any], *options: str, code: int = 0, limit_s: float = LIMIT_S, **keys: Any
) -> dict[str, Any]:
    status, out, err = finish(start(job, *options, **keys), limit_s)
    assert status == code, (status, out[-300:], err[-300:])
    return strict(out)


def one(*options: str, code: int = 0, job: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """Run a single flow and return what became of it."""
    return result_of(job_of(flow(**keys), **(job or {})), *options, code=code)["flows"][0]


class Served:
    """`roce-load --serve`, and both ends of flows in it."""

    def __init__(self, *options: str, program: str | None = None) -> None:
        self._process = subprocess.Popen(
            [program or str(PROGRAM), "--serve", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pid = self._process.pid
        self._buffer = b""
        self._number = 0
        self.hello = self.line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            stream.close()

    def line(self, limit_s: float = 20) -> dict[str, Any]:
        """Return the next line that it says."""
        end = time.monotonic() + limit_s
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0, end - time.monotonic()))
            assert ready, f"it says nothing for {limit_s} s"
            more = os.read(self._process.stdout.fileno(), 1 << 16)
            assert more, "it has ended"
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        return strict(line)

    def send(self, text: bytes) -> None:
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Return the answer, good or bad; events that come before it are dropped."""
        self._number += 1
        self.send(json.dumps({"id": self._number, "op": op, **fields}).encode() + b"\n")
        while True:
            said = self.line()
            if "ok" in said:
                assert said["id"] == self._number
                return said

    def good(self, op: str, **fields: Any) -> dict[str, Any]:
        answer = self.ask(op, **fields)
        assert answer["ok"], answer
        return answer

    def prepare(self, *flows: Flow, device: str = "null0", **fields: Any) -> dict[str, Any]:
        """Prepare both ends of each flow and connect them; returns the queue pairs of each end."""
        ends = [
            {"id": f"{each['name']}/{role}", "role": role, "device": device, "port": 1, "flow": each}
            for each in flows
            for role in ("src", "dst")
        ]
        made = self.good("prepare", run="r", ends=ends, **fields)["ends"]
        self.connect(made)
        return made

    def connect(self, made: dict[str, Any]) -> None:
        """Tell each end of its peer's queue pairs: targets first."""
        for mine, theirs in (("dst", "src"), ("src", "dst")):
            peers = {
                f"{name}/{mine}": made[f"{name}/{theirs}"] for name, role in map(split, made) if role == mine
            }
            self.good("connect", ends=peers)

    def event(self, name: str) -> dict[str, Any]:
        """Wait for an event."""
        while True:
            said = self.line()
            if said.get("event") == name:
                return said

    def close(self) -> None:
        """End its input."""
        self._process.stdin.close()

    def wait(self, limit_s: float) -> int:
        return self._process.wait(limit_s)


def split(end: str) -> tuple[str, str]:
    """Return flow and role of the id of an end."""
    name, _, role = end.rpartition("/")
    return name, role
