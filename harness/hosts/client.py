"""The near side of one agent: requests and answers by number, events to whoever runs the fabric.

A thread reads what the agent says. An agent that is gone (its process, its connection, or its senses) is lost
for good: every request that waits, and every later one, raises AgentLost with the host and the cause, and one
event of kind `lost` is passed on.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.errors import (
    AgentFailed,
    AgentLost,
    CommandFailed,
    CommandTimeout,
    ConnectionLost,
    HarnessError,
    NoProgress,
    PeerMismatch,
    TransportError,
    one_line,
)
from harness.hosts.failures import exit_text, refusal
from harness.transport.remote import RemoteProcess

PROTOCOL = 1
"""Version of the protocol that is spoken here."""

HELLO_TIMEOUT_S = 30.0
"""From start to the first line: Python of a cold guest without hardware acceleration takes some seconds."""

PING_AFTER_S = 5.0
"""An agent that was silent for so long while something is expected of it is asked for its clock."""

SILENCE_S = 10.0
"""An agent that was silent for so long, pings included, is lost.

A machine that hangs is known sooner, for its connection then breaks; this is for an agent that hangs.
"""

DEAF_OPS = frozenset({"devices", "counters", "clock"})
"""Requests that the agent's reading thread works on: while it does, it hears no ping."""

READ_TIMEOUT_S = 3600.0
"""The reading thread waits in such steps; it ends with the process."""

LAST_WORDS_S = 1.0
"""How long the exit code of an agent that closed its output is waited for."""

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """Something an agent said unasked; `kind` is `lost` when it will say nothing more (see `client.lost`)."""

    host: str
    kind: str
    data: Message


class Reply:
    """The answer to one request, once it is there."""

    def __init__(self, client: AgentClient, op: str) -> None:
        self._client = client
        self._op = op
        self._there = threading.Event()
        self._answer: Message = {}

    def give(self, answer: Message) -> None:
        """Hand over the answer (or, without one, wake who waits)."""
        self._answer = answer
        self._there.set()

    def wait(self, timeout_s: float) -> Message:
        """Return the answer.

        Raises:
            AgentFailed: the agent answered that it cannot.
            AgentLost: it is gone, or silent for `SILENCE_S`, or has not answered within `timeout_s`.
        """
        end = time.monotonic() + timeout_s
        while not self._there.wait(max(0.0, min(end - time.monotonic(), PING_AFTER_S / 2))):
            if time.monotonic() >= end:
                raise self._client.lose(f"did not answer {self._op!r} within {timeout_s:g} s")
            if self._client.lost is not None:
                raise self._client.lost
            if self._op not in DEAF_OPS:
                self._client.check_pulse()
        if self._client.lost is not None and not self._answer:
            raise self._client.lost
        if self._answer.get("ok") is True:
            return self._answer
        raise refusal(self._client.host, self._op, self._answer.get("error"))


class AgentClient:
    """One running agent. `sink` gets its events, from the reading thread; `hello` is its first line.

    Raises:
        AgentLost: it ended or said nothing sensible before its first line.
        PeerMismatch: it speaks another version of the protocol.
    """

    def __init__(
        self,
        host: str,
        process: RemoteProcess,
        sink: Callable[[AgentEvent], None],
        *,
        hello_timeout_s: float = HELLO_TIMEOUT_S,
    ) -> None:
        self.host = host
        self.lost: AgentLost | None = None
        self._process = process
        self._sink = sink
        self._lock = threading.Lock()
        self._replies: dict[int, Reply] = {}
        self._last_id = 0
        self._heard = time.monotonic()
        self._asked = self._heard
        self._pinged: float | None = None
        self._closing = False
        self.hello = self._greet(hello_timeout_s)
        self._reader = threading.Thread(target=self._read, name=f"agent {host}", daemon=True)
        self._reader.start()

    def submit(self, op: str, **fields: object) -> Reply:
        """Send a request; raise AgentLost when that cannot be."""
        self._asked = time.monotonic()
        return self._send(op, fields)

    def _send(self, op: str, fields: Mapping[str, object]) -> Reply:
        with self._lock:
            if self.lost is not None:
                raise self.lost
            self._last_id += 1
            number = self._last_id
            reply = self._replies[number] = Reply(self, op)
        line = json.dumps({"id": number, "op": op, **fields}, allow_nan=False, separators=(",", ":"))
        try:
            self._process.write(line.encode() + b"\n")
        except TransportError as error:
            raise self.lose(self._why(error)) from None
        return reply

    def request(self, op: str, *, timeout_s: float, **fields: object) -> Message:
        """Send a request and return its answer; see `Reply.wait` for what it raises."""
        return self.submit(op, **fields).wait(timeout_s)

    def silent_s(self) -> float:
        """Return for how many seconds the agent has said nothing since it was last asked for something."""
        return time.monotonic() - max(self._heard, self._asked)

    def check_pulse(self) -> None:
        """Ping an agent that has been silent for long; raise AgentLost when it was for too long."""
        if self.lost is not None:
            raise self.lost
        silent = self.silent_s()
        if silent >= SILENCE_S:
            raise self.lose(f"said nothing for {silent:.0f} s")
        with self._lock:
            last = max(self._heard, self._asked)
            due = silent >= PING_AFTER_S and (self._pinged is None or self._pinged < last)
            if due:
                self._pinged = time.monotonic()
        if due:
            self._send("clock", {})

    def lose(self, cause: str) -> AgentLost:
        """Give the agent up: kill it, wake all who wait, and return the error that says why.

        The first cause stays.
        """
        with self._lock:
            if self.lost is not None:
                return self.lost
            self.lost = AgentLost(one_line(f"{self.host}: the agent {cause}"))
            waiting, self._replies = list(self._replies.values()), {}
        for reply in waiting:
            reply.give({})
        if not self._closing:
            self._sink(AgentEvent(self.host, "lost", {"message": str(self.lost)}))
        threading.Thread(target=self._process.kill, daemon=True).start()  # a dead connection may block it
        return self.lost

    def close(self, timeout_s: float = 2.0) -> None:
        """End the agent: the end of its input makes it tear everything down; SIGKILL when that takes long."""
        self._closing = True
        self._process.close_stdin()
        self._reader.join(timeout_s)  # it sees the end of what the agent says
        if self._reader.is_alive():
            self._process.kill()
        self.lose("was ended")

    def _greet(self, timeout_s: float) -> Message:
        try:
            line = self._process.readline(timeout_s)
            hello = self._hello(line)
        except NoProgress:
            raise self._gone(f"said nothing within {timeout_s:g} s of its start") from None
        except ConnectionLost as error:
            raise self._gone(self._why(error)) from None
        except HarnessError:
            self._process.kill()
            raise
        self._heard = time.monotonic()
        return hello

    def _hello(self, line: bytes) -> Message:
        if not line:
            raise self._gone(self._ending())
        hello = _object(line)
        if hello is None or hello.get("event") != "hello":
            raise self._gone(f"said {_shown(line)} instead of hello")
        if hello.get("protocol") != PROTOCOL:
            raise PeerMismatch(
                f"{self.host}: the agent speaks version {hello.get('protocol')} of the protocol, "
                f"this controller version {PROTOCOL}"
            )
        return hello

    def _gone(self, cause: str) -> AgentLost:
        self._closing = True  # nobody follows its events yet
        return self.lose(cause)

    def _read(self) -> None:
        while self.lost is None:
            try:
                line = self._process.readline(READ_TIMEOUT_S)
            except NoProgress:
                continue
            except TransportError as error:
                self.lose(self._why(error))
                return
            if not line:
                self.lose(self._ending())
                return
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        said = _object(line)
        if said is None:
            self.lose(f"said {_shown(line)}, which is no JSON object")
            return
        self._heard = time.monotonic()
        if "event" in said:
            self._sink(AgentEvent(self.host, str(said["event"]), said))
            return
        with self._lock:
            reply = self._replies.pop(said["id"], None) if isinstance(said.get("id"), int) else None
        if reply is not None:
            reply.give(said)
        elif said.get("ok") is not True:
            self.lose(f"rejected a line: {refusal(self.host, 'request', said.get('error'))}")

    def _ending(self) -> str:
        """Say how a process that closed its output ended, and its last words."""
        try:
            how = exit_text(self._process.wait(LAST_WORDS_S))
        except CommandTimeout:
            how = "closed its output and still runs"
        except TransportError as error:
            return self._why(error)
        words = self._process.stderr_tail().strip().splitlines()
        return f"{how}: {words[-1]}" if words else how

    def _why(self, error: TransportError) -> str:
        if isinstance(error, CommandFailed):
            return f"{exit_text(error.exit_code)}{f': {error.detail}' if error.detail else ''}"
        return f"is cut off: {error.message}"


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


__all__ = ["AgentClient", "AgentEvent", "AgentFailed", "Message", "Reply"]
