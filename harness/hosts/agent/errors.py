"""What an agent answers when a request cannot be done.

AgentError       one of the kinds of the protocol
└── BadRequest   the request itself is wrong: names the key, its value and what would do
"""

from __future__ import annotations

import errno as errno_names
import os
from typing import Any

KINDS = frozenset(
    {
        "no_pyverbs",
        "no_device",
        "no_gid",
        "port_down",
        "no_resources",
        "bad_request",
        "unsupported",
        "os",
        "internal",
    }
)
"""Kinds of error the protocol knows."""

_SCARCE = frozenset({errno_names.ENOMEM, errno_names.ENOSPC, errno_names.EMFILE, errno_names.EAGAIN})


class AgentError(Exception):
    """A request could not be done. `kind` is one of KINDS, `detail` is data for the controller."""

    def __init__(self, kind: str, message: str, detail: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = " ".join(message.split())
        self.detail = detail

    def to_json(self) -> dict[str, Any]:
        """Return the `error` object of an answer."""
        return {"kind": self.kind, "message": self.message, "detail": self.detail}


class BadRequest(AgentError):
    """A key of the request is missing, unknown or has a value that will not do."""

    def __init__(self, key: str, value: object, expected: str) -> None:
        detail = {"key": key, "value": _plain(value), "expected": expected}
        super().__init__("bad_request", f"{key}: {_shown(value)}; expected {expected}", detail)


def of_verbs(error: BaseException, doing: str, **detail: object) -> AgentError:
    """Return the AgentError for what pyverbs or the system raised while `doing` something."""
    number = getattr(error, "error_code", None) or getattr(error, "errno", None)
    known = isinstance(number, int) and number > 0
    facts: dict[str, Any] = {**detail, "errno": number if known else None}
    name = errno_names.errorcode.get(number, str(number)) if known and number else "no errno"
    reason = os.strerror(number) if known and number else str(error)
    kind = "no_resources" if number in _SCARCE else "unsupported" if number in _ABSENT else "os"
    return AgentError(kind, f"{doing}: {reason} ({name})", facts)


_ABSENT = frozenset({errno_names.EOPNOTSUPP, errno_names.ENOSYS})


def _plain(value: object) -> Any:
    """Return a value that JSON can carry, long ones cut."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _shown(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "..."
