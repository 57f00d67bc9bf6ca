"""The two fixtures of a suite: `fabric` to run scenarios on, `expect` to judge what came back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.core.measure import Measurement, doubted, measure
from harness.pytest_plugin.journal import Journal
from harness.pytest_plugin.markers import fabric_of
from harness.pytest_plugin.observed import ObservedFabric
from harness.pytest_plugin.verdict import JOURNAL

if TYPE_CHECKING:
    from harness.core.evidence import Missing
    from harness.core.measure import Limit


@pytest.fixture
def fabric(request: pytest.FixtureRequest) -> ObservedFabric:
    """The fabric of this test's topology, shared by the tests of this process.

    Every run on it becomes evidence of the test. A reservation that fails is an error of the lab (LAB FAULT).
    """
    return ObservedFabric(fabric_of(request.node), request.node.stash[JOURNAL])


@pytest.fixture
def expect(request: pytest.FixtureRequest) -> Expect:
    """Judge a measured value: `expect(name, value, limit, unit)`; the verdict comes after the body of the test."""
    return Expect(request.node.stash[JOURNAL])


class Expect:
    """Collects the measurements of one test; never raises for a value, so that every number is recorded."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __call__(
        self,
        name: str,
        value: float | Missing | None,
        limit: Limit,
        unit: str = "",
        *,
        evidence: str | None = None,
        source: str | None = None,
    ) -> Measurement:
        """Record `value` (in `unit`) under `name` and judge it against `limit`.

        No data (None, NaN, Missing) is INVALID, and so is a FAIL that a host may explain which held its generator back
        in a run so far. `evidence` says where the value comes from, by default the latest run
        of this test; `source` says where the limit comes from, by default what the limit itself says.
        """
        measurement = measure(
            name, value, limit, unit, evidence=evidence or self._latest_run(), source=source
        )
        measurement = doubted(measurement, self._journal.bottlenecks)
        self._journal.measurements.append(measurement)
        return measurement

    def _latest_run(self) -> str:
        runs = len(self._journal.runs)
        return f"run {runs}" if runs else "the test itself, no run"
