"""A fabric of real hosts: agents make the traffic, switch drivers the faults, clocks the time.

Used from one thread. Whatever goes wrong with lab or agents is a HarnessError that names the machine and the
cause, raised when everybody else has been stopped and the switches are as they were.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from harness.core.capability import Capability
from harness.core.engine import Engine
from harness.core.errors import HarnessError
from harness.core.job import expand, job_of
from harness.core.result import JOB_FILE, RESULT_FILE, RunResult
from harness.core.run_folder import Scratch, run_folder, write_json
from harness.core.scenario import Scenario
from harness.core.site import Site
from harness.core.topology import Topology
from harness.hosts.abilities import abilities
from harness.hosts.collect import result_of_hosts
from harness.hosts.crew import Crew, Dialer, HostPower, dialer
from harness.hosts.demands import refuse_what_is_missing
from harness.hosts.execution import Execution
from harness.hosts.gear import Nics, Switches
from harness.hosts.pause import can_pause
from harness.hosts.rig import Rig, raise_first
from harness.hosts.traffic import Progress

log = logging.getLogger(__name__)

CLOSE_RESTORE_S = 10.0
"""For switches to be put back when the fabric is closed."""


class HostFabric:
    """A fabric whose executors are agents on the hosts of a site.

    `dial` opens connections (None: SSH, as the site says); it is called for all nodes at first, and again for
    those whose connection was lost. `host_power` switches hosts off and on. `capabilities` is what the fabric
    offers beyond what its devices do. `engine` is what makes the traffic of hosts. Without `may_disturb` nothing
    is asked of switches but counters, and scenarios that change the fabric are refused. `on_close` is called
    once, at the end of `close`.

    Raises:
        ConfigError: the site does not fit the topology.
        TransportError: a node cannot be reached or commanded.
        EngineError: a host has no agent, engine, device, port or GID that serves.
    """

    simulated = False

    def __init__(
        self,
        name: str,
        topology: Topology,
        site: Site,
        seed: int,
        *,
        dial: Dialer | None = None,
        host_power: HostPower | None = None,
        capabilities: frozenset[Capability] = frozenset(),
        may_disturb: bool = True,
        engine: Engine = Engine.AUTO,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        site.check(topology)
        self.name = name
        self.topology = topology
        self.site = site
        self.seed = seed
        self.progress: Progress | None = None
        self.capabilities = capabilities
        self._withheld: frozenset[Capability] = frozenset()
        self._on_close: Callable[[], None] | None = None
        self._scratch = Scratch("roce-hosts-")
        crew = Crew(site, dial or dialer(site), power=host_power)
        self._rig = Rig(site, crew, Switches(topology, site), Nics(), may_disturb, engine=engine)
        try:
            self._open(power=host_power is not None)
        except BaseException:
            crew.close()
            raise
        self._on_close = on_close

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
        """Execute a scenario and return the result.

        With `output` the folder of the run gets that name, replacing that of an earlier run; otherwise it
        lives until `close`. It holds `job.json`, `result.json`, and the series. After an error nothing is
        left of it, traffic is stopped and switches are restored; the next run replaces what was lost.

        Raises:
            ConfigError: the scenario does not fit the topology or asks for what the fabric does not offer.
            TransportError: a machine cannot be reached or commanded.
            EngineError: an agent is lost or cannot.
            DriverError: a switch does not answer as expected or was not restored.
        """
        place = self._scratch.place() if output is None else output
        expansion = expand(scenario, self.topology, self.seed)
        with run_folder(place) as partial:
            job = job_of(scenario, self.topology, expansion, self.seed, partial, trace)
            refuse_what_is_missing(self.name, self.capabilities, self._withheld, scenario, job)
            self._rig.make_ready()
            log.info("running %s on %s, seed %d", job["name"] or "a scenario", self.name, self.seed)
            seen = Execution(self._rig, job, progress or self.progress).run()
            raw = result_of_hosts(job, seen, self.site, _version(), partial)
            write_json(partial / JOB_FILE, job, "job")
            write_json(partial / RESULT_FILE, raw, "result")
        return RunResult(job, raw, place, scenario, expansion)

    def close(self) -> None:
        """Restore, end the agents, power on what was powered off, hang up; may be called twice.

        Raises HarnessError, after everything else is done, when a switch is not as it was before.
        """
        crew, done = self._rig.crew, self._on_close
        self._on_close = None
        left: dict[str, Exception] = {}
        try:
            left = self._rig.restore_switches(CLOSE_RESTORE_S)
            if not left:
                self._rig.release_guards()
            crew.light_up()
        except HarnessError as error:
            log.warning("while closing fabric %s: %s", self.name, error)
        finally:
            crew.close()
            self._scratch.close()
            if done is not None:
                done()
        raise_first(left)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, *, power: bool) -> None:
        """Connect to everything and find out what it can do."""
        crew, rig = self._rig.crew, self._rig
        rig.make_ready()
        hello = [crew.client(host).hello for host in crew.hosts]
        found, self._withheld = abilities(
            hello,
            rig.endpoints,
            rig.nics,
            rig.switches,
            power=power,
            pause=can_pause(rig),
            may_disturb=rig.may_configure,
        )
        if all(native.path is not None for native in rig.natives.values()):
            self.capabilities |= {Capability.LOAD_OPTIONS}
        for host, native in rig.natives.items():
            log.info("%s: native generator: %s", host, native.why)
        self.capabilities |= found
        for end in rig.endpoints.values():
            log.info("%s is %s port %d, GID %s", end.name, end.device_name, end.port_number, end.words)


def _version() -> str:
    try:
        return version("roce-validation-harness")
    except PackageNotFoundError:
        return "unknown"


__all__ = ["Dialer", "HostFabric", "HostPower"]
