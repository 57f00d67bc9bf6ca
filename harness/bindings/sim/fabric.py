"""The simulated fabric: every scenario becomes a job for `roce-sim`, run as a process of its own.

A crash of the simulator is an exit code here, never a crash of the tests. A run writes into a folder with
`.partial` in its name, which gets its real name only when the result is whole.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from harness.bindings.sim.process import SimProcess, find_simulator
from harness.core.capability import Capability
from harness.core.errors import ConfigError, SimError
from harness.core.job import expand, job_of
from harness.core.result import JOB_FILE, RESULT_FILE, RunResult
from harness.core.scenario import Scenario
from harness.core.topology import Topology

log = logging.getLogger(__name__)

Progress = Callable[[float, int], None]
"""Called with the part of the run that is done (0 to 1) and the simulated time in ps."""

CAPABILITIES = frozenset(Capability) - {Capability.CAPTURE, Capability.REAL_TIME}
"""The model has everything but packets to capture and a real clock."""


def reserve(topology: Topology, site: Path | None = None, seed: int = 1) -> SimFabric:
    """Return a simulated fabric of this shape.

    Raises:
        ConfigError: a site was given; a simulated fabric is nowhere.
        SimError: there is no roce-sim.
    """
    if site is not None:
        raise ConfigError("the simulated fabric needs no site", key="--site", value=str(site))
    return SimFabric(topology, seed, find_simulator())


class SimFabric:
    """A fabric whose executor is `roce-sim`.

    `progress` is called as runs proceed. `timeout_s` kills a run that takes longer by the wall clock; None
    waits. Folders of runs that were not given a place are removed by `close`.
    """

    name = "sim"
    simulated = True
    capabilities = CAPABILITIES

    def __init__(
        self, topology: Topology, seed: int, program: Path, *, timeout_s: float | None = None
    ) -> None:
        self.topology = topology
        self.seed = seed
        self.program = program
        self.timeout_s = timeout_s
        self.progress: Progress | None = None
        self._scratch: Path | None = None
        self._runs = 0

    @property
    def line_rate_gbps(self) -> float:
        """Rate of the slowest host port, in Gb/s of wire bits."""
        return min(self.topology.line_rate_bps(port) for port in self.topology.host_ports) / 10**9

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
        place = self._place() if output is None else output
        expansion = expand(scenario, self.topology, self.seed)
        partial = _make_partial(place)
        try:
            job = job_of(scenario, self.topology, expansion, self.seed, partial, trace)
            raw = self._execute(job, partial, progress or self.progress)
            _publish(partial, place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return RunResult(job, raw, place, scenario, expansion)

    def close(self) -> None:
        """Remove the folders of all runs that were not given a place; may be called twice."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _place(self) -> Path:
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="roce-sim-"))
        self._runs += 1
        return self._scratch / f"run-{self._runs}"

    def _execute(
        self, job: Mapping[str, object], folder: Path, progress: Progress | None
    ) -> Mapping[str, Any]:
        job_file, result_file = folder / JOB_FILE, folder / RESULT_FILE
        _write_json(job_file, job)
        log.info("simulating %s on %s, seed %d", job["name"] or "a scenario", self.topology.name, self.seed)
        process = SimProcess(self.program, job_file, result_file, progress, self.timeout_s)
        process.run()
        raw = _read_result(result_file, process.exit_code)
        process.check(raw)
        return raw


def _make_partial(place: Path) -> Path:
    """Make the folder that a run writes into, beside the one it will become."""
    _check_replaceable(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{place.name}.partial-", dir=place.parent))
    except OSError as error:
        raise ConfigError(f"cannot write the output folder: {error.strerror}", file=place) from None


def _check_replaceable(place: Path) -> None:
    """Refuse to put a run where something else is: only an empty folder or an earlier run is replaced."""
    if not place.exists():
        return
    if not place.is_dir():
        raise ConfigError("the output folder is a file", file=place)
    try:
        occupied = any(place.iterdir()) and not (place / RESULT_FILE).is_file()
    except OSError as error:
        raise ConfigError(f"cannot read the output folder: {error.strerror}", file=place) from None
    if occupied:
        raise ConfigError(
            "the output folder holds something that is no run", file=place, hint="give another name"
        )
    if not os.access(place.parent, os.W_OK):
        raise ConfigError("cannot write the output folder: its parent is read-only", file=place)


def _publish(partial: Path, place: Path) -> None:
    """Give a whole run its name; an earlier run of that name goes."""
    old = partial.with_name(f"{partial.name}.old")
    try:
        partial.chmod(0o755)  # mkdtemp makes it private
        if place.exists():
            place.rename(old)
        partial.rename(place)
    except OSError as error:
        raise ConfigError(f"cannot write the output folder: {error.strerror}", file=place) from None
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _write_json(path: Path, data: Mapping[str, object]) -> None:
    try:
        with path.open("w", encoding="utf-8") as file:
            json.dump(data, file, allow_nan=False)
    except OSError as error:
        raise ConfigError(f"cannot write the job: {error.strerror}", file=path) from None


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
