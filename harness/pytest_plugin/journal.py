"""What happens within one test, written down as it happens."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.pytest_plugin.conclusion import Conclusion
    from harness.core.capability import Capability
    from harness.core.fabric import Fabric
    from harness.core.measure import Measurement
    from harness.core.result import RunResult
    from harness.core.scenario import Scenario
    from harness.core.topology import Topology


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """One `fabric.run` of a test: what was asked, what came back, wall-clock seconds it took."""

    number: int
    scenario: Scenario
    result: RunResult
    wall_s: float


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
    first trouble stays: an error of tear-down does not hide why the body failed. `details` is a traceback, where one helps;
    `durations_s` is by phase.
    """

    runs: list[ObservedRun] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    fabric: Fabric | None = None
    conclusion: Conclusion | None = None
    trouble: Trouble | None = None
    reason: str = ""
    details: str = ""
    durations_s: dict[str, float] = field(default_factory=dict)

    def give_up(self, trouble: Trouble, reason: str, details: str = "") -> None:
        """Note what kept the test from its verdict, unless something did before."""
        if self.trouble is None:
            self.trouble, self.reason, self.details = trouble, reason, details

    def doubts(self) -> list[str]:
        """Why runs of this test are no evidence; empty when all are."""
        return [f"run {run.number}: {reason}" for run in self.runs for reason in run.result.invalid_reasons]


class ObservedFabric:
    """The fabric of a test: behaves as the real one and writes every run into the test's journal.

    It is what the `fabric` fixture hands out. Closing it does nothing; the session owns the real fabric.
    """

    def __init__(self, fabric: Fabric, journal: Journal) -> None:
        self._fabric = fabric
        self._journal = journal
        journal.fabric = fabric

    @property
    def name(self) -> str:
        """Name of the binding."""
        return self._fabric.name

    @property
    def topology(self) -> Topology:
        """Hosts, switches and links."""
        return self._fabric.topology

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the fabric offers."""
        return self._fabric.capabilities

    @property
    def simulated(self) -> bool:
        """True when no frame crosses real hardware."""
        return self._fabric.simulated

    @property
    def line_rate_gbps(self) -> float:
        """Rate of the host ports in Gb/s."""
        return self._fabric.line_rate_gbps

    def run(self, scenario: Scenario) -> RunResult:
        """Run the scenario and keep its result as evidence; a HarnessError passes through and is a lab fault."""
        started = time.perf_counter()
        result = self._fabric.run(scenario)
        run = ObservedRun(len(self._journal.runs) + 1, scenario, result, time.perf_counter() - started)
        self._journal.runs.append(run)
        return result

    def close(self) -> None:
        """Leave the fabric as it is: other tests share it."""
