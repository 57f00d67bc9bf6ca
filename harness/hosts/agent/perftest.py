"""perftest as the engine of a flow: an outside witness that drives the same devices.

A target starts the program as a server and waits until it listens; a source runs the client. Both are
children that die with the agent. Their tables are read defensively: the columns are found by the header.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from . import clock, ibv, results, sysfs
from .end import DONE, FAILED, NEVER, RUNNING, WAITING, End
from .errors import AgentError, BadRequest
from .layout import Layout
from .pairs import Place, Remote
from .programs import Children, find

_PROGRAMS = {"write": "write", "read": "read", "send": "send", "atomic": "atomic", "fetch_add": "atomic"}
LISTEN_S = 15.0
"""How long a server may take to listen: emulated hosts need seconds to load it."""

LEAST_ITERATIONS = 5
DEPTH = 128
_TAIL = 2000
_UNITS = {"MiB/sec": 8 * 2**20, "MB/sec": 8 * 2**20, "Gb/sec": 10**9, "GB/sec": 8 * 10**9}
"""Bits a second by the unit in the header; before 4.5 perftest wrote MB/sec for MiB/s."""


class PerftestEnd(End):
    """Either end of a flow that perftest drives."""

    def __init__(self, place: Place, children: Children, duration_ns: int | None) -> None:
        super().__init__(place, Layout())
        self._duration_s = _duration_s(place, duration_ns)
        self._children = children
        self._program = _program(place)
        self._child: subprocess.Popen[bytes] | None = None
        self._output = b""
        self._port = 0 if self.spec.is_source else _free_port()
        self._remote: Remote | None = None
        self.found: dict[str, Any] = {}
        self.start_ns: int | None = None
        place.stack.push(f"perftest {self.spec.id}", self._kill)

    def describe(self) -> list[dict[str, Any]]:
        """Return where the server listens; there are no queue pairs of ours."""
        gid = self.place.gid
        place = {"gid": gid["gid"], "gid_index": gid["index"], "address": sysfs.address(gid["gid"])}
        none = {"qpn": 0, "psn": 0, "rkey": 0, "addr": 0, "bytes": 0, "slots": 0, "stride": 0, "period": 1}
        return [{**none, **place, "mtu": self.place.mtu, "srqn": None, "tcp_port": self._port or None}]

    def files(self) -> list[int]:
        """Return the output of the program."""
        return [self._child.stdout.fileno()] if self._child and self._child.stdout else []

    def connect(self, remotes: list[Remote], path: str) -> None:
        """Start the server, or remember where it is."""
        if len(remotes) != 1:
            raise BadRequest(path, len(remotes), "one peer")
        self._remote = remotes[0]
        if self._remote.mtu != self.place.mtu:
            raise BadRequest(f"{path}[0].mtu", self._remote.mtu, str(self.place.mtu))
        if not self.spec.is_source:
            self._start([])
            self._await_listening()

    def recover(self) -> None:
        """There is nothing to bring back."""
        raise AgentError(
            "unsupported", f"end {self.spec.id}: perftest has no recovery", {"feature": "recover"}
        )

    def _start(self, peer: list[str]) -> None:
        self._argv = arguments(self._program, self.place, self._server_port(), self._duration_s, peer)
        self._output, self.start_ns = b"", clock.now_ns()
        self._child = self._children.start(self._argv)

    def _server_port(self) -> int:
        return self._port or (self._remote.tcp_port if self._remote and self._remote.tcp_port else 18515)

    def _await_listening(self) -> None:
        until = time.monotonic() + LISTEN_S
        while not _listens(self._port):
            if self._child is None or self._child.poll() is not None or time.monotonic() > until:
                self._drain()
                raise AgentError("os", f"end {self.spec.id}: {self._program} does not listen: {self._said()}")
            time.sleep(0.02)

    # --- run -------------------------------------------------------------------------------------

    def begin(self, zero_ns: int) -> None:
        """Start a run; the server is there already."""
        super().begin(zero_ns)
        self._ready_ns = zero_ns + self.spec.flow.start_ns
        if not self.spec.is_source:
            self.status = RUNNING

    def release(self, name: str, now: int) -> None:
        """A flow this one waits for is complete."""
        if name in self.waits_for:
            self.waits_for.discard(name)
            self._ready_ns = max(self._ready_ns, now + self.spec.flow.after_delay_ns)

    def pump(self, now: int) -> int | None:
        """Start the client when it is time; look whether the program has ended."""
        if self.status == WAITING and not self.waits_for and not self.stopping:
            if now < self._ready_ns:
                return self._ready_ns
            self.status = RUNNING
            self._start([self._remote.address if self._remote and self._remote.address else ""])
        if self._child is None:
            return NEVER
        self._look()
        return now + 20_000_000

    def handle(self) -> None:
        """Take output of the program."""
        self._look()

    def _look(self) -> None:
        if self._child is None:
            return
        self._drain()
        if self._child.poll() is not None:
            self._drain()
            self._over(self._child.returncode)

    def _drain(self) -> None:
        if self._child is None or self._child.stdout is None:
            return
        os.set_blocking(self._child.stdout.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            while True:
                data = os.read(self._child.stdout.fileno(), 1 << 16)
                if not data:
                    return
                self._output += data

    def _over(self, code: int) -> None:
        self.end_ns = clock.now_ns()
        text = self._output.decode("utf-8", "replace")
        self.found = {
            "program": self._program, "argv": self._argv, "exit_code": code, "stdout_tail": text[-_TAIL:], **parse(text)
        }  # fmt: skip
        size = self.spec.flow.message_bytes
        iterations = self.found["iterations"]
        good = code == 0 and (iterations is not None or not self.spec.is_source)
        self.status, self.error = (DONE, None) if good else (FAILED, self._status_name(text))
        if iterations and good:
            self.bytes_acked = iterations * size * self._lanes()
            self._set_times()
        self.ended = True
        self._kill()

    def _lanes(self) -> int:
        """Iterations of bandwidth programs are per QP."""
        return 1 if self._program.endswith("_lat") else self.spec.flow.qps

    def _set_times(self) -> None:
        """Leave the program's own set-up out: its traffic took bytes over average rate."""
        average = self.found["bw_average_bps"]
        if average and self.end_ns:
            self.start_ns = self.end_ns - int(self.bytes_acked * 8e9 / average)

    @staticmethod
    def _status_name(text: str) -> str:
        found = re.search(r"Failed status (\d+)", text)
        return ibv.status_name(int(found.group(1))) if found else "PERFTEST_FAILED"

    def _said(self) -> str:
        lines = self._output.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it says nothing"

    def cut(self) -> None:
        """End the program."""
        super().cut()
        self._kill()

    def _kill(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            self._children.kill(child)

    # --- result ----------------------------------------------------------------------------------

    def result(self) -> dict[str, Any]:
        """Return the result, with what the program printed."""
        if not self.spec.is_source:
            return {**results.of_target(self), "recv_completions": 0, "perftest": self.found or None}
        count = self.bytes_acked // self.spec.flow.message_bytes
        return {
            **results.of_source(self),
            "start_mono_ns": self.start_ns,
            "messages_posted": count,
            "messages_completed": count,
            "bytes_sent": self.bytes_acked,
            "posted": [],
            "completed": [],
            "latencies": self.found.get("latency"),
            "qps": [],
            "perftest": self.found or None,
        }


def _program(place: Place) -> str:
    flow = place.spec.flow
    if 0 < flow.messages < LEAST_ITERATIONS:
        expected = f"at least {LEAST_ITERATIONS}, which is perftest's own least, or 0"
        raise BadRequest(f"flow {flow.name}: messages", flow.messages, expected)
    if flow.verb not in _PROGRAMS or flow.transport == "xrc":
        raise AgentError(
            "unsupported", f"flow {flow.name}: perftest has no {flow.verb}", {"feature": "perftest"}
        )
    name = f"ib_{_PROGRAMS[flow.verb]}_{'lat' if flow.options.ping_pong else 'bw'}"
    if find(name) is None:
        raise AgentError("unsupported", f"{name} is not installed; install perftest", {"feature": "perftest"})
    return name


def _duration_s(place: Place, duration_ns: int | None) -> int | None:
    """Return whole seconds for a flow without a number of messages; None for one with it."""
    if place.spec.flow.messages:
        return None
    if duration_ns is None:
        raise BadRequest(
            "duration_ns", None, f"a duration: perftest flow {place.spec.flow.name} has messages 0"
        )
    return max(1, round(duration_ns / 1e9))


def arguments(program: str, place: Place, port: int, duration_s: int | None, peer: list[str]) -> list[str]:
    """Return the command line of either side; both must be given the same."""
    flow, spec, qos = place.spec.flow, place.spec, place.qos
    iterations = flow.messages
    options: dict[str, object] = {
        "--ib-dev": spec.device, "--ib-port": spec.port, "--gid-index": place.gid["index"], "--port": port,
        "--mtu": place.mtu, "--sl": spec.sl, "--tclass": spec.tos, "--connection": flow.transport.upper(),
        "--qp-timeout": qos.ack_timeout_exponent,
    }  # fmt: skip
    if "atomic" not in program:
        options["--size"] = flow.message_bytes
    if duration_s is None:
        options["--iters"] = iterations
    else:
        options["--duration"] = duration_s
    if program.endswith("_bw"):
        options.update({"--qp": flow.qps, "--tx-depth": min(DEPTH, iterations) if flow.messages else DEPTH})
    if "read" in program:
        options["--outs"] = qos.max_rd_atomic  # its own default asks for all at once what the device can hold
    argv = [find(program) or program, *(str(item) for pair in options.items() for item in pair), "-F"]
    return [*argv, *peer]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


_LISTENING = "0A"  # TCP_LISTEN, include/net/tcp_states.h


def _listens(port: int) -> bool:
    """Tell whether something listens on a TCP port, without connecting to it: perftest takes one peer alone."""
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for line in table.read_text("ascii").splitlines()[1:]:
                columns = line.split()
                if columns[3] == _LISTENING and int(columns[1].rsplit(":", 1)[1], 16) == port:
                    return True
    return False


def parse(text: str) -> dict[str, Any]:
    """Return what the table of a perftest program says; null for what it does not."""
    none: dict[str, Any] = dict.fromkeys(
        ("bytes", "iterations", "bw_average_bps", "bw_peak_bps", "message_rate_hz", "latency")
    )
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.strip().startswith("#bytes"):
            row = _row(lines[number + 1 :])
            if row:
                return {**none, **_bandwidth(line, row), **_latency(line, row)}
    return none


def _row(lines: list[str]) -> list[float] | None:
    """Return the first line of numbers."""
    for line in lines:
        fields = line.split()
        if len(fields) >= 3 and all(re.fullmatch(r"-?\d+(\.\d+)?(e[-+]?\d+)?", field) for field in fields):
            return [float(field) for field in fields]
    return None


def _columns(header: str) -> list[str]:
    """Return the names of the columns; some have a blank, so they are split at their units or known words."""
    return re.findall(
        r"#\w+|BW \w+\[[^\]]*\]|MsgRate\[[^\]]*\]|t_\w+\[[^\]]*\]|[\d.]+% percentile\[[^\]]*\]", header
    )


def _bandwidth(header: str, row: list[float]) -> dict[str, Any]:
    table = dict(zip(_columns(header), row))  # noqa: B905 - strict came with Python 3.10
    values: dict[str, Any] = {
        "bytes": int(table["#bytes"]),
        "iterations": int(table.get("#iterations", 0)) or None,
    }
    for name, value in table.items():
        found = re.match(r"BW (peak|average)\[(.*)\]", name)
        if found and found.group(2) in _UNITS:
            values[f"bw_{found.group(1)}_bps"] = value * _UNITS[found.group(2)]
        elif name.startswith("MsgRate[Mpps]"):
            values["message_rate_hz"] = value * 1e6
    return values


_LATENCIES = {
    "t_min": "min_ps", "t_max": "max_ps", "t_typical": "p50_ps", "t_avg": "mean_ps",
    "99% percentile": "p99_ps", "99.9% percentile": "p999_ps",
}  # fmt: skip


def _latency(header: str, row: list[float]) -> dict[str, Any]:
    """Return the latency of a *_lat program: half the round trip, in ps; its `typical` is the median."""
    table = dict(zip(_columns(header), row))  # noqa: B905 - strict came with Python 3.10
    found: dict[str, Any] = {}
    for name, value in table.items():
        key = _LATENCIES.get(name.replace("[usec]", ""))
        if key:
            found[key] = int(value * 1_000_000)
    if not found:
        return {}
    return {"latency": {"count": int(table.get("#iterations", 0)), "p90_ps": None, **found}}
