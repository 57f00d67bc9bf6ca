"""What the VM lab raises: every problem is a LabError, and its message says what to do."""

from __future__ import annotations

from harness.core.errors import HarnessError


class LabError(HarnessError):
    """The VM lab cannot be built, started or used."""


class LabBusy(LabError):
    """Another process uses this lab or is changing it."""


class GuestError(LabError):
    """One guest does not start, answer or do what it was asked; `node` names it."""

    def __init__(self, node: str, message: str) -> None:
        self.node = node
        super().__init__(f"guest {node}: {message}")
