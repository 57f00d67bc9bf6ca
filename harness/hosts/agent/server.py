"""The process: reads requests, answers them, and ends with its standard input, however busy it is."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import queue
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from . import clock, counters, devices, programs, reduction, verbs
from .errors import AgentError, BadRequest
from .programs import Children
from .request import Fields
from .session import Operation, Session

PROTOCOL = 1
LAST_SECONDS = 1.5
"""How long closing may take when the input has ended; then the process just ends."""

LONGEST_LINE = 64 << 20
BUSY_SWITCH_S = 0.001
"""How soon the reading thread gets a turn from a busy engine; Python's default of 5 ms would blur clocks."""


class Output:
    """Standard output, one JSON object a line, from any thread."""

    def __init__(self, file: int) -> None:
        self._file, self._lock = file, threading.Lock()
        self._polling = select.poll()
        self._polling.register(file, select.POLLOUT)

    def write(self, message: dict[str, Any], *, droppable: bool = False) -> None:
        """Write one message; a droppable one is left out when the reader is behind."""
        line = json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with self._lock:
            if droppable and not self._polling.poll(0):
                return
            done = 0
            while done < len(line):
                done += os.write(self._file, line[done:])


class Reader(threading.Thread):
    """Reads requests; answers those that need no engine at once, and hands on the others."""

    def __init__(self, server: Server) -> None:
        super().__init__(name="requests", daemon=True)
        self._server = server

    def run(self) -> None:
        """Read until the input ends."""
        buffered = b""
        while True:
            try:
                data = os.read(0, 1 << 16)
            except OSError:
                data = b""
            if not data:
                break
            *lines, buffered = (buffered + data).split(b"\n")
            for line in lines:
                if line.strip():
                    self._server.receive(line)
            if len(buffered) > LONGEST_LINE:
                self._server.receive(buffered)
                buffered = b""
        self._server.leave()


class Worker(threading.Thread):
    """Answers what may take seconds and touches no flow: devices, and counters of other programs."""

    def __init__(self, server: Server) -> None:
        super().__init__(name="facts", daemon=True)
        self._server = server
        self.requests: queue.SimpleQueue[Fields] = queue.SimpleQueue()

    def run(self) -> None:
        """Answer one request after the other."""
        while True:
            fields = self.requests.get()
            self._server.answer(fields.values["id"], self._server.facts[fields.values["op"]], fields)


class Server:
    """Ties input, engine and output together."""

    def __init__(self) -> None:
        self.output = Output(1)
        self.children = Children()
        self.session = Session(self._emit, self.children)
        self._requests: queue.SimpleQueue[Fields] = queue.SimpleQueue()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        self._leaving = threading.Event()
        self.facts: dict[str, Operation] = {"devices": self._devices, "counters": self._counters}
        self._worker = Worker(self)
        self._worker.start()

    def _emit(self, event: dict[str, Any], *, droppable: bool = False) -> None:
        if event["event"] == "finished" and self.session.is_own:
            event["usage"].update(interpreter())
        self.output.write(event, droppable=droppable)

    # --- the reading thread ----------------------------------------------------------------------

    def receive(self, line: bytes) -> None:
        """Take one line of input: answer it, or hand it to the thread that will."""
        number = None
        try:
            fields = Fields(_parse(line), "")
            number = fields.integer("id", 0, 2**63 - 1)
            op = fields.choice("op", ("clock", *self.facts, *self.session.operations))
        except AgentError as error:
            self._write({"id": number, "ok": False, "error": error.to_json()})
            return
        if op == "clock":
            self.answer(number, self._clock, fields)
        elif op in self.facts:
            self._worker.requests.put(fields)
        else:
            self._requests.put(fields)
            os.write(self._wake_write, b"x")

    def answer(self, number: int, operation: Operation, fields: Fields) -> None:
        """Do what a request asks and write the answer; a bug in one request does not end the others."""
        try:
            message = {"id": number, "ok": True, **operation(fields)}
        except AgentError as error:
            message = {"id": number, "ok": False, "error": error.to_json()}
        except Exception as error:  # noqa: BLE001 - see above
            message = {"id": number, "ok": False, "error": _internal(error).to_json()}
        self._write(message)

    def _write(self, message: dict[str, Any]) -> None:
        """Write an answer; when nobody reads any more, the process ends."""
        try:
            self.output.write(message)
        except BrokenPipeError:
            self.leave()

    @staticmethod
    def _clock(fields: Fields) -> dict[str, Any]:
        fields.only("id", "op", "samples")
        return clock.read()

    def _devices(self, fields: Fields) -> dict[str, Any]:
        fields.only("id", "op")
        return devices.describe(self.session.sysfs)

    def _counters(self, fields: Fields) -> dict[str, Any]:
        fields.only("id", "op", "ports")
        found = []
        for item in fields.objects("ports"):
            item.only("device", "port", "netdev")
            netdev = item.values.get("netdev")
            where = item.text("device"), item.integer("port", 1, 255), item.text("netdev") if netdev else None
            found.append(counters.of_port(*where, self.session.sysfs))
        return {"ports": found, "mono_ns": clock.now_ns()}

    def leave(self) -> None:
        """Make the process end: soon by itself, or at once when it does not."""
        if not self._leaving.is_set():
            self._leaving.set()
            threading.Thread(target=self._give_up, name="watchdog", daemon=True).start()
            os.write(self._wake_write, b"x")

    def _give_up(self) -> None:
        time.sleep(LAST_SECONDS)
        self.children.kill_all()
        os._exit(0)

    # --- the engine's thread ---------------------------------------------------------------------

    def run(self) -> int:
        """Serve until the input ends, a signal comes, or quit."""
        self.output.write(hello())
        waiting = select.poll()
        waiting.register(self._wake_read, select.POLLIN)
        try:
            while not self._leaving.is_set() and not self.session.quitting:
                if self.session.run is None:
                    waiting.poll()
                self._serve()
                self._step()
        except BrokenPipeError:
            self.leave()
        self.children.kill_all()
        self.session.teardown(Fields({}, ""))
        return 0

    def _serve(self) -> None:
        """Answer the requests that are waiting."""
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            return
        while not self._requests.empty():
            self._answer(self._requests.get())

    def _answer(self, fields: Fields) -> None:
        began = self.session.run
        self.answer(fields.values["id"], self.session.operations[fields.values["op"]], fields)
        if self.session.run is not None and self.session.run is not began:
            self.session.run.listen(self._wake_read)

    def _step(self) -> None:
        run = self.session.run
        if run is None:
            return
        try:
            run.step()
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - the run is lost, the agent is not
            self.session.run = None
            self.output.write({"event": "failed", "error": _told(error).to_json(), "mono_ns": clock.now_ns()})
            return
        if run.over and self.session.run is run:
            self.session.run = None


def _parse(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:
        raise BadRequest("line", line[:200].decode("utf-8", "replace"), "one JSON object") from None


def _told(error: Exception) -> AgentError:
    return error if isinstance(error, AgentError) else _internal(error)


def _internal(error: Exception) -> AgentError:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return AgentError("internal", f"{type(error).__name__}: {error}", {"at": place})


def interpreter() -> dict[str, Any]:
    """Return what bounds a traffic generator written in Python."""
    enabled = getattr(sys, "_is_gil_enabled", None)
    return {"gil": bool(enabled()) if enabled else True, "numpy": reduction.numpy is not None}


def hello() -> dict[str, Any]:
    """Return the first line."""
    _library, reason = verbs.try_load()
    return {
        "event": "hello",
        "protocol": PROTOCOL,
        "version": version(),
        "python": platform.python_version(),
        "pyverbs": verbs.version(),
        "pyverbs_error": reason,
        "kernel": platform.release(),
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "cpus": len(os.sched_getaffinity(0)),
        "perftest": programs.find("ib_write_bw") is not None,
        **interpreter(),
    }


def version() -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the archive, or of the sources when there is none."""
    specification = sys.modules[__name__].__spec__
    archive = getattr(specification and specification.loader, "archive", None)  # of a zipimporter
    if archive:
        content = Path(archive).read_bytes()
    else:
        content = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return hashlib.sha256(content).hexdigest()[:16]


def _await_signal(server: Server) -> None:
    signal.sigwait(programs.STOPPING)
    server.leave()


def main() -> int:
    """Run the agent on standard input and output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted controller closes our input
    signal.pthread_sigmask(signal.SIG_BLOCK, programs.STOPPING)
    sys.setswitchinterval(BUSY_SWITCH_S)
    server = Server()
    threading.Thread(target=_await_signal, args=(server,), name="signals", daemon=True).start()
    Reader(server).start()
    code = server.run()
    sys.stdout.flush()
    os._exit(code)  # not through the garbage collector, which would close verbs objects in its own order
