"""The seams between suites and whatever executes a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from harness.core.capability import Capability
    from harness.core.result import RunResult
    from harness.core.scenario import Scenario
    from harness.core.topology import Topology


class Fabric(Protocol):
    """A reserved topology on which scenarios run: the only handle a suite holds.

    It has no kind: suites ask for `capabilities`. Whoever reserved it closes it.
    """

    @property
    def name(self) -> str:
        """For headers of reports."""
        ...

    @property
    def topology(self) -> Topology:
        """The shape that was reserved."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this fabric offers."""
        ...

    @property
    def simulated(self) -> bool:
        """Whether results come from a model."""
        ...

    @property
    def line_rate_gbps(self) -> float:
        """Rate of the slowest host port, in Gb/s of wire bits."""
        ...

    def run(self, scenario: Scenario) -> RunResult:
        """Execute a scenario and return what was measured; raise HarnessError when there is no result."""
        ...

    def close(self) -> None:
        """Give back what was reserved; may be called twice."""
        ...


class Binding(Protocol):
    """A module of `harness.bindings`: realises a topology."""

    def reserve(self, topology: Topology, site: Path | None = None, seed: int = 1) -> Fabric:
        """Return a fabric of this shape; raise HarnessError early and in words when that cannot be."""
        ...
