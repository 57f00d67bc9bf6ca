"""The result of a run (docs/job-format.md), and whether it may be judged at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.core.errors import ConfigError
from harness.core.evidence import Missing
from harness.core.flow_results import Durations, FlowResult, FlowSet, Known, flow_result
from harness.core.job import FORMAT, Expansion, expand
from harness.core.port_counters import CounterTable
from harness.core.scenario import Scenario
from harness.core.series import SeriesSet
from harness.core.topology import Topology
from harness.core.validity import invalid_reasons

RESULT_FILE, JOB_FILE = "result.json", "job.json"
"""Names in the folder of a run."""


@dataclass(frozen=True)
class RunResult:
    """What a fabric measured in one run. Whatever is absent is Missing, never 0.

    `job` is the job that was run, `raw` the result as it was read, `folder` where its files are (None: kept
    nowhere). `expansion` and `scenario` are None for a result that was read back from a folder.
    """

    job: Mapping[str, Any]
    raw: Mapping[str, Any]
    folder: Path | None = None
    scenario: Scenario | None = None
    expansion: Expansion | None = None

    def __post_init__(self) -> None:
        if self.raw.get("format") != FORMAT:
            raise ConfigError("not a result of this format", key="format", value=self.raw.get("format"))

    @classmethod
    def load(cls, folder: str | Path) -> RunResult:
        """Read the result of a run from its folder; raise ConfigError when it is not there or not whole."""
        place = Path(folder)
        return cls(_read(place / JOB_FILE), _read(place / RESULT_FILE), place)

    @property
    def ended(self) -> str:
        """`done`, `duration`, `limit` (not done in time) or `error`."""
        return str(self.raw.get("ended", "error"))

    @property
    def error(self) -> str | None:
        """What made the run fail; None when nothing did."""
        found = self.raw.get("error")
        if found is None:
            return None
        return f"{found.get('kind')}: {found.get('message')}" if isinstance(found, dict) else str(found)

    @property
    def simulated(self) -> bool:
        """Whether the figures come from a model; a result that does not say so is taken for one."""
        return self.raw.get("simulated") is not False

    @property
    def end_ps(self) -> Known:
        """When the run ended, in ps of its own time."""
        value = self.raw.get("end_ps")
        return value if isinstance(value, int) else Missing("the result has no end_ps")

    @cached_property
    def flows(self) -> FlowSet:
        """All flows, in the job's order."""
        items = tuple(flow_result(data, self.end_ps) for data in self.raw.get("flows") or ())
        patterns = () if self.scenario is None else self.scenario.patterns
        groups = () if self.expansion is None else self.expansion.groups
        return FlowSet(items, patterns, groups)

    def flow(self, name: str) -> FlowResult:
        """Return one flow; raise ConfigError when there is none of that name."""
        return self.flows.named(name)

    @cached_property
    def counters(self) -> CounterTable:
        """Counters over all ports; narrow it with `at`, `hosts`, `switches` and `priority`."""
        nodes = self.job.get("nodes") or ()
        hosts = {node["name"] for node in nodes if node.get("kind") == "host"}
        ports: Mapping[str, Any] = self.raw.get("ports") or {}
        host_ports = frozenset(port for port in ports if port.partition(":")[0] in hosts)
        return CounterTable(ports, host_ports, reason="the result has no counters")

    @cached_property
    def series(self) -> SeriesSet:
        """Time series by name, loaded when they are looked at; one that is absent gives Missing figures."""
        return SeriesSet.of_result(self.raw.get("series"), self.folder)

    @property
    def goodput_gbps(self) -> float | Missing:
        """Payload delivered to all receivers per busy time of the run, in Gb/s."""
        return self.flows.goodput_gbps if self.flows else Missing("the result has no flows")

    @property
    def fct(self) -> Durations:
        """Completion times of all flows."""
        return self.flows.fct

    def jain(self) -> float | Missing:
        """Return Jain's fairness index of all flows' goodputs."""
        return self.flows.jain() if self.flows else Missing("the result has no flows")

    @cached_property
    def bottlenecks(self) -> tuple[str, ...]:
        """Which generators their hosts held back, and how: a FAIL that this may explain is INVALID."""
        hosts = self.raw.get("hosts")
        agents = hosts.get("agents") if isinstance(hosts, dict) else None
        return tuple(
            f"the generator of {host} was the bottleneck: {agent.get('limited_why') or 'it does not say why'}"
            for host, agent in (agents or {}).items()
            if isinstance(agent, dict) and agent.get("host_limited") is True
        )

    @cached_property
    def invalid_reasons(self) -> tuple[str, ...]:
        """Why this run is no evidence; empty when it is. Verdicts on such a run are INVALID."""
        return invalid_reasons(
            self.job,
            self.raw,
            self.flows,
            () if self.scenario is None else self.scenario.may_fail,
            self.series,
        )


def result_of(
    scenario: Scenario,
    topology: Topology,
    seed: int,
    job: Mapping[str, Any],
    raw: Mapping[str, Any],
    folder: Path | None,
) -> RunResult:
    """Join a result with the scenario it came from."""
    return RunResult(job, raw, folder, scenario, expand(scenario, topology, seed))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            found = json.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read the result: {error.strerror}", file=path) from error
    except ValueError as error:
        raise ConfigError(f"not JSON: {error}", file=path) from error
    if not isinstance(found, dict):
        raise ConfigError("not a result: a JSON object is expected", file=path)
    return found
