"""Everything one run showed, before it becomes a result."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from harness.hosts.clock import ClockMap
from harness.hosts.devices import Endpoint
from harness.hosts.engines import Choice
from harness.hosts.events import Played
from harness.hosts.qp_series import QpSeries

Json = dict[str, Any]


@dataclass(slots=True)
class Observed:
    """What agents, switches and clocks said; whatever could not be asked is absent.

    `ends` holds the result of each end of a flow, `recovered` those of the second go of flows that failed and
    were brought back. `t0_ns` is the start of the run on the controller's clock; `asked` and `started` are each
    host's own clock when it was to start and when it did. `dark` are hosts that were powered off. `steps` says
    how long each step of the run took, in s. `engines` says what made the traffic of each host, `by_qp` has what
    native generators recorded of the QPs of a flow.
    """

    t0_ns: int = 0
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    hello: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prepared: Json = field(default_factory=dict)
    ends: dict[str, Json] = field(default_factory=dict)
    recovered: dict[str, Json] = field(default_factory=dict)
    started: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    usage: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    clocks: dict[str, ClockMap] = field(default_factory=dict)
    ports: dict[str, Json] = field(default_factory=dict)
    raw_counters: Json = field(default_factory=dict)
    reductions: Json = field(default_factory=dict)
    played: Sequence[Played] = ()
    dark: frozenset[str] = frozenset()
    not_offered: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unnamed: tuple[str, ...] = ()
    steps: dict[str, float] = field(default_factory=dict)
    deviations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    engines: Mapping[str, Choice] = field(default_factory=dict)
    by_qp: dict[str, QpSeries] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step of the run."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.steps[name] = round(self.steps.get(name, 0.0) + time.monotonic() - began, 3)
