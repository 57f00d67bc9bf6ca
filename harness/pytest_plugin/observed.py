"""The fabric that a test holds: the real one, with a witness."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from harness.core.errors import HarnessError
from harness.pytest_plugin.host_facts import deviations_of
from harness.pytest_plugin.run_record import Place, failed_run, finished_run, tool_of

if TYPE_CHECKING:
    from harness.core.capability import Capability
    from harness.core.fabric import Fabric
    from harness.core.result import RunResult
    from harness.core.scenario import Scenario
    from harness.core.topology import Topology
    from harness.pytest_plugin.journal import Journal


class ObservedFabric:
    """The fabric of a test: behaves as the real one and writes every run into the test's journal.

    It is what the `fabric` fixture hands out. Closing it does nothing; the session owns the real fabric.
    """

    def __init__(self, fabric: Fabric, journal: Journal) -> None:
        self._fabric = fabric
        self._journal = journal
        journal.simulated = fabric.simulated

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
        """Run the scenario and keep it as evidence; a HarnessError passes through and is a lab fault.

        What a report needs is taken from the result at once, so that no test holds on to large results.
        """
        place = Place(len(self._journal.runs) + 1, self.topology.name, self.simulated)
        started = time.perf_counter()
        try:
            result = self._fabric.run(scenario)
        except HarnessError as error:
            self._journal.runs.append(failed_run(place, scenario, error, time.perf_counter() - started))
            raise
        run = finished_run(place, scenario, result, time.perf_counter() - started)
        self._journal.runs.append(run)
        self._journal.doubts += [f"run {run.number}: {reason}" for reason in run.invalid_reasons]
        self._journal.bottlenecks += [f"run {run.number}: {reason}" for reason in result.bottlenecks]
        self._journal.versions |= tool_of(result)
        self._journal.deviations |= deviations_of(result)
        return result

    def close(self) -> None:
        """Leave the fabric as it is: other tests share it."""
