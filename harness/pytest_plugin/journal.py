"""What happens within one test, written down as it happens."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.core.measure import Measurement
    from harness.core.record import ScenarioRecord
    from harness.pytest_plugin.conclusion import Conclusion


class Trouble(enum.Enum):
    """Why a test came to no verdict of its own."""

    SKIPPED = "skipped"
    LAB_FAULT = "lab fault"
    ERROR = "error"
    FAILED = "failed"
    """An assertion of the test failed or it called pytest.fail: its author says that the product is wrong."""


@dataclass(slots=True)
class Journal:
    """Runs and measurements of one test, in order, and how it ended.

    `conclusion` is there when the body ran to its end; `trouble` with its `reason` when something else decided. The
    first trouble stays: an error of tear-down does not hide why the body failed. `details` is a traceback, where
    one helps; `doubts` say why runs are no evidence, `bottlenecks` which generators their hosts held back;
    `durations_s` is by phase; `versions` are those of the tools that made results; `deviations` are those that the
    drivers of the fabric know, subject → sentence. `simulated` is that of the fabric, once there is one. `evidence`
    says what was tried to show that the test passes on evidence only.
    """

    runs: list[ScenarioRecord] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    bottlenecks: list[str] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    simulated: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    deviations: dict[str, str] = field(default_factory=dict)
    conclusion: Conclusion | None = None
    trouble: Trouble | None = None
    reason: str = ""
    details: str = ""
    durations_s: dict[str, float] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))

    def give_up(self, trouble: Trouble, reason: str, details: str = "") -> None:
        """Note what kept the test from its verdict, unless something did before."""
        if self.trouble is None:
            self.trouble, self.reason, self.details = trouble, reason, details
