"""Everything the harness raises on purpose.

    HarnessError                a problem of lab, file or tool; never a verdict
    ├── ConfigError             a file or an argument that people wrote (also a ValueError)
    │   └── TopologyNotOffered  a fabric that is of another shape
    ├── TransportError          a machine that cannot be reached or commanded
    │   ├── HostUnreachable
    │   ├── AuthenticationFailed
    │   ├── HostKeyRejected
    │   ├── CommandFailed
    │   ├── CommandTimeout
    │   ├── NoProgress
    │   └── ConnectionLost
    ├── DriverError             a NIC or switch that answers otherwise than its driver expects
    │   ├── CounterUnavailable
    │   └── UnexpectedOutput
    ├── EngineError             the traffic generator on a host
    │   ├── AgentLost
    │   ├── AgentFailed
    │   ├── CompletionError
    │   └── PeerMismatch
    └── SimError                the simulator's process

A message says what failed, where, with which value, and what exists instead, in one line.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_VALUE_TEXT = 60
"""Longest text of an offending value that a message repeats; more is cut with an ellipsis."""

_UNSET = object()


class HarnessError(Exception):
    """Root of all errors of the harness."""


class ConfigError(HarnessError, ValueError):
    """A file or an argument is wrong.

    It is a ValueError so that pydantic validators may raise it; `harness.core.validation` then adds the
    file, the line and the key. `value` is only shown when given (None is a value).
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        key: str | None = None,
        value: object = _UNSET,
        hint: str | None = None,
    ) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.line = line
        self.key = key
        self.has_value = value is not _UNSET
        self.value = value if self.has_value else None
        self.hint = hint
        super().__init__(message)

    def __str__(self) -> str:
        where = "" if self.file is None else f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        key = f"{self.key}: " if self.key else ""
        value = f" (value {shown(self.value)})" if self.has_value else ""
        hint = f"; {self.hint}" if self.hint else ""
        return one_line(f"{where}{key}{self.message}{value}{hint}")

    def located(self, *, file: str | None, line: int | None, key: str | None) -> ConfigError:
        """Return the same error with a place; what it already knows of file and line stays."""
        return ConfigError(
            self.message,
            file=self.file if self.file is not None else file,
            line=self.line if self.file is not None else line,
            key=key,
            value=self.value if self.has_value else _UNSET,
            hint=self.hint,
        )


class TopologyNotOffered(ConfigError):
    """The fabric cannot take this shape; tests that need it are skipped, as for any capability it lacks."""


class TransportError(HarnessError):
    """A command could not be run on a lab machine.

    `host` is its name in the topology, or its address where it has none.
    """

    def __init__(self, message: str, *, host: str) -> None:
        self.message = message
        self.host = host
        super().__init__(message)

    def __str__(self) -> str:
        return one_line(f"{self.host}: {self.message}")


class HostUnreachable(TransportError):
    """The machine does not answer: no route, refused, no name, or silence until the connect time-out."""


class AuthenticationFailed(TransportError):
    """The machine answers and refuses the keys that were offered."""


class HostKeyRejected(TransportError):
    """The machine's host key is unknown or not the one that is known."""


class CommandFailed(TransportError):
    """The command ran and ended with an error: `exit_code` (negative: signal) and the end of what it said."""

    def __init__(self, message: str, *, host: str, exit_code: int, detail: str = "") -> None:
        super().__init__(message, host=host)
        self.exit_code = exit_code
        self.detail = detail

    def __str__(self) -> str:
        said = f": {self.detail}" if self.detail else ""
        return one_line(f"{self.host}: {self.message} (exit code {self.exit_code}){said}")


class CommandTimeout(TransportError):
    """The command did not end in time."""


class NoProgress(TransportError):
    """The command or transfer said nothing for longer than it may."""


class ConnectionLost(TransportError):
    """The connection broke while it was in use."""


class DriverError(HarnessError):
    """A NIC or switch driver cannot do its work."""


class CounterUnavailable(DriverError):
    """The device does not offer this counter."""


class UnexpectedOutput(DriverError):
    """The device printed something the driver does not know."""


class EngineError(HarnessError):
    """The traffic generator failed on a host."""


class AgentLost(EngineError):
    """The agent's process or its connection is gone."""


class AgentFailed(EngineError):
    """The agent answered that it cannot: no pyverbs, no device, no GID, a QP refused."""


class CompletionError(EngineError):
    """A work request completed with an error status."""


class PeerMismatch(EngineError):
    """Two agents do not agree on what to exchange."""


class SimError(HarnessError):
    """The simulator did not produce a result.

    `exit_code` is that of its process, negative for a signal, None when it never ran; `detail` is what it
    said.
    """

    def __init__(self, message: str, *, exit_code: int | None = None, detail: str | None = None) -> None:
        self.message = message
        self.exit_code = exit_code
        self.detail = detail
        super().__init__(message)

    def __str__(self) -> str:
        code = "" if self.exit_code is None else f" (exit code {self.exit_code})"
        detail = f": {self.detail}" if self.detail else ""
        return one_line(f"{self.message}{code}{detail}")


def one_line(text: str) -> str:
    """Replace line breaks and runs of blanks by single blanks."""
    return " ".join(text.split())


def shown(value: object) -> str:
    """Return the value as a message shows it: its repr, cut when long."""
    text = repr(value)
    return text if len(text) <= MAX_VALUE_TEXT else f"{text[: MAX_VALUE_TEXT - 1]}…"


def suggestion(name: object, known: Iterable[object], what: str = "known") -> str:
    """Say what exists instead of `name`: the closest match first, then the whole list when it is short."""
    names = [str(item) for item in known]
    close = get_close_matches(str(name), names, n=1)
    did_you_mean = f"did you mean {close[0]!r}? " if close else ""
    if not names:
        return f"{did_you_mean}{what}: none"
    listed = ", ".join(names[:40]) + (f", … ({len(names)} in all)" if len(names) > 40 else "")
    return f"{did_you_mean}{what}: {listed}"
