"""What agents and processes say when they fail, in words for people."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from harness.core.errors import AgentFailed, one_line

HINTS = {
    "no_pyverbs": "install python3-pyverbs on the host, or name its Python in the site file (python)",
    "no_device": "see `rdma link` on the host, and `device` of the port in the site file",
    "port_down": "see `rdma link` on the host, and the cable",
    "no_gid": "see `roce` and `family` of the port in the site file",
    "no_resources": "fewer QPs or smaller messages need less; see `ulimit -l` and `rdma resource` on the host",
}
"""What to do, by kind of error."""


class AgentRefused(AgentFailed):
    """The agent answered that it cannot; `kind` and `detail` are its own words."""

    def __init__(self, message: str, *, kind: str, detail: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.kind = kind
        self.detail = detail


def refusal(host: str, op: str, error: object) -> AgentRefused:
    """Return the error of an answer that is not ok."""
    said = error if isinstance(error, dict) else {}
    kind, detail = str(said.get("kind", "internal")), said.get("detail")
    detail = detail if isinstance(detail, dict) else {}
    place = "".join(f" of {detail[key]}" for key in ("end", "key") if isinstance(detail.get(key), str))
    hint = f"; {HINTS[kind]}" if kind in HINTS else ""
    message = f"{host}: {op}{place}: {said.get('message', 'failed and does not say why')} ({kind}){hint}"
    return AgentRefused(one_line(message), kind=kind, detail=detail)


def exit_text(code: int) -> str:
    """Say how a process ended: `was killed by SIGKILL`, `ended with exit code 1`."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"
