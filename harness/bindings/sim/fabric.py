"""The simulated fabric: every scenario becomes a job for `roce-sim`, run as a process of its own.

A crash of the simulator is an exit code here, never a crash of the tests. A run writes into a folder with
`.partial` in its name, which gets its real name only when the result is whole.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from harness.bindings.sim.defects import check_names, list_defects
from harness.bindings.sim.process import SimProcess, find_simulator
from harness.core.capability import Capability
from harness.core.errors import ConfigError, SimError
from harness.core.events import HostDown
from harness.core.flow import HOST_KEYS, MODELLED_VERBS, Flow, Transport
from harness.core.job import Expansion, expand, job_of
from harness.core.result import JOB_FILE, RESULT_FILE, RunResult
from harness.core.run_folder import Scratch, run_folder, write_json
from harness.core.scenario import Scenario
from harness.core.topology import Topology
from harness.core.verbs import VerbsOptions

log = logging.getLogger(__name__)

Progress = Callable[[float, int], None]
"""Called with the part of the run that is done (0 to 1) and the simulated time in ps."""

CAPABILITIES = frozenset(Capability) - {
    Capability.CAPTURE,
    Capability.REAL_TIME,
    Capability.REAL_VERBS,
    Capability.WITNESS,
    Capability.SRQ,
    Capability.XRC,
    Capability.LOAD_OPTIONS,
    Capability.HOST_DOWN,
}
"""The model has everything but packets to capture, a real clock, and what only devices and machines have."""


def reserve(
    topology: Topology, site: Path | None = None, seed: int = 1, defects: Sequence[str] = ()
) -> SimFabric:
    """Return a simulated fabric of this shape, whose devices have these defects.

    Raises:
        ConfigError: a site was given (a simulated fabric is nowhere), or a defect that there is not.
        SimError: there is no roce-sim.
    """
    if site is not None:
        raise ConfigError("the simulated fabric needs no site", key="--site", value=str(site))
    program = find_simulator()
    check_names(program, defects)
    return SimFabric(topology, seed, program, defects=defects)


def known_defects() -> list[str]:
    """Return the names of the defects that `reserve` takes; raise SimError when there is no roce-sim."""
    return [defect.name for defect in list_defects(find_simulator())]


class SimFabric:
    """A fabric whose executor is `roce-sim`.

    `progress` is called as runs proceed. `timeout_s` kills a run that takes longer by the wall clock; None
    waits. `defects` name the ways in which its devices misbehave. Folders of runs that were not given a place
    are removed by `close`.
    """

    name = "sim"
    simulated = True
    capabilities = CAPABILITIES

    def __init__(
        self,
        topology: Topology,
        seed: int,
        program: Path,
        *,
        timeout_s: float | None = None,
        defects: Sequence[str] = (),
    ) -> None:
        self.topology = topology
        self.seed = seed
        self.program = program
        self.timeout_s = timeout_s
        self.defects = tuple(defects)
        self.progress: Progress | None = None
        self._scratch = Scratch("roce-sim-")

    @property
    def line_rate_gbps(self) -> float:
        """Rate of the slowest host port, in Gb/s of wire bits."""
        return self.topology.line_rate_gbps

    def run(
        self,
        scenario: Scenario,
        *,
        output: Path | None = None,
        trace: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> RunResult:
        """Simulate a scenario and return the result.

        With `output` the folder of the run gets that name, replacing that of an earlier run; otherwise it
        lives until `close`. It holds `job.json`, `result.json`, and the series and traces. After an error
        nothing is left of it.

        Raises:
            ConfigError: the scenario does not fit the topology, or `output` cannot be written.
            SimError: the simulator refused the job, failed or died.
        """
        place = self._scratch.place() if output is None else output
        expansion = expand(scenario, self.topology, self.seed)
        refuse_what_hosts_have(scenario, expansion)
        with run_folder(place) as partial:
            job = job_of(scenario, self.topology, expansion, self.seed, partial, trace)
            if self.defects:
                job["defects"] = list(self.defects)
            raw = self._execute(job, partial, progress or self.progress)
        return RunResult(job, raw, place, scenario, expansion)

    def close(self) -> None:
        """Remove the folders of all runs that were not given a place; may be called twice."""
        self._scratch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _execute(
        self, job: Mapping[str, object], folder: Path, progress: Progress | None
    ) -> Mapping[str, Any]:
        job_file, result_file = folder / JOB_FILE, folder / RESULT_FILE
        write_json(job_file, modelled(job), "job")
        log.info("simulating %s on %s, seed %d", job["name"] or "a scenario", self.topology.name, self.seed)
        process = SimProcess(self.program, job_file, result_file, progress, self.timeout_s)
        process.run()
        raw = _read_result(result_file, process.exit_code)
        process.check(raw)
        return raw


def refuse_what_hosts_have(scenario: Scenario, expansion: Expansion) -> None:
    """Raise ConfigError for a flow or an event that only hosts can carry out."""
    for flow in expansion.flows:
        found = _beyond_the_model(flow)
        if found is not None:
            key, value = found
            raise ConfigError(
                f"flow {flow.name!r}: the simulator does not model this",
                key=key,
                value=value,
                hint="real verbs need hosts: --fabric vmlab or --fabric hardware",
            )
    for index, event in enumerate(scenario.events):
        if isinstance(event, HostDown):
            raise ConfigError(
                "the simulator does not model hosts that lose power",
                key=f"events[{index}]",
                value=event.host,
                hint="use --fabric vmlab, or a link_down",
            )


def _beyond_the_model(flow: Flow) -> tuple[str, object] | None:
    """Return the key and value of what is not modelled; a check of payload holds by construction here."""
    if flow.verb not in MODELLED_VERBS:
        return "verb", flow.verb.value
    if flow.transport is Transport.XRC:
        return "transport", flow.transport.value
    changed = None if flow.verbs is None else dataclasses.replace(flow.verbs, check_payload=True)
    for field in dataclasses.fields(VerbsOptions) if changed is not None else ():
        value = getattr(changed, field.name)
        if value != field.default:
            return f"verbs.{field.name}", value
    return None if flow.load is None else ("load", dataclasses.asdict(flow.load))


def modelled(job: Mapping[str, object]) -> dict[str, object]:
    """Return the job without the keys of flows that roce-sim does not know."""
    flows = job["flows"]
    if not isinstance(flows, list):
        raise ConfigError("not a list", key="flows", value=flows)
    kept = [{key: value for key, value in flow.items() if key not in HOST_KEYS} for flow in flows]
    return {**job, "flows": kept}


def _read_result(path: Path, exit_code: int) -> Mapping[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            found = json.load(file)
    except (ValueError, RecursionError) as error:
        raise SimError(
            "roce-sim printed no result that can be read", exit_code=exit_code, detail=str(error)
        ) from None
    if not isinstance(found, dict) or found.get("format") != 1:
        raise SimError("roce-sim printed something that is no result of format 1", exit_code=exit_code)
    return found
