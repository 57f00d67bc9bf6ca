"""What a fabric of hosts consists of, and how its switches are put back even when a connection broke."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from harness.core.engine import Engine
from harness.core.errors import AgentFailed, DriverError, HarnessError, TransportError, one_line
from harness.core.site import Site
from harness.hosts.clock import ClockMap, HostTime, Reading, read_clock
from harness.hosts.crew import Crew
from harness.hosts.devices import Endpoint, endpoint
from harness.hosts.engines import check_engine
from harness.hosts.gather import attempt, each
from harness.hosts.gear import Nics, Switches
from harness.hosts.guard import Guard
from harness.hosts.native import EQUIP_S, Native, equip, our_kit
from harness.transport.remote import Remote

LOOK_S = 45.0
"""For a look at devices or counters: hundreds of files of sysfs and some programs; seconds on a busy guest."""

CLOCK_S = 15.0
"""For one look at a clock."""

GUARD_S = 15.0
"""For the guards of all switches to be posted, or to leave."""


@dataclass(frozen=True, slots=True)
class Rig:
    """Machines, agents and drivers. `may_configure`: switches and NICs may be changed.

    `endpoints` says what every host port is; hosts in `doubted` are looked at again before the next run. `guards`
    clean the switches when this process is killed. `engine` is what may make traffic; `equipped` has what was found
    of the native generator on each host, and the connection by which it was.
    """

    site: Site
    crew: Crew
    switches: Switches
    nics: Nics
    may_configure: bool
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    doubted: set[str] = field(default_factory=set)
    guards: dict[str, Guard] = field(default_factory=dict)
    engine: Engine = Engine.AUTO
    equipped: dict[str, tuple[Remote, Native]] = field(default_factory=dict)

    def make_ready(self) -> None:
        """Connect and start whatever is not there, and look at what is new or has failed.

        Raises the first HarnessError that stands in the way; it names the node.
        """
        fresh = self.crew.ready()
        self._attach(node for node in fresh if node in self.site.switches)
        self._equip()
        hosts = [host for host in self.crew.hosts if host in fresh or host in self.doubted]
        if hosts:
            self._survey(hosts)
        self.doubted.clear()

    @property
    def natives(self) -> dict[str, Native]:
        """What was found of the native generator, by host."""
        return {host: native for host, (_, native) in self.equipped.items()}

    def _equip(self) -> None:
        """Bring the native generator to hosts whose connection is new; without it a host needs pyverbs.

        Raises:
            AgentFailed: a host has neither.
            EngineError: it is asked for, and a host has none.
            ConnectionLost: one cannot be commanded any more.
        """
        remotes = self.crew.remotes
        new = [host for host in self.crew.hosts if self._equipped_over(host) is not remotes[host]]
        if self.engine is Engine.PYVERBS:
            self.equipped.update({host: (remotes[host], Native(None, "not asked for")) for host in new})
        elif new:
            kit = our_kit()
            found = each(
                new,
                lambda host: equip(remotes[host], kit),
                timeout_s=EQUIP_S,
                what="bringing the native generator",
            )
            self.equipped.update({host: (remotes[host], native) for host, native in found.items()})
        check_engine(self.engine, self.natives)
        for host, native in self.natives.items():
            if native.path is None:
                self.crew.check_pyverbs(host, native.why)

    def _equipped_over(self, host: str) -> Remote | None:
        return self.equipped[host][0] if host in self.equipped else None

    def read_counters(self, hosts: Iterable[str]) -> dict[str, Any]:
        """Return the raw counters of all ports of these hosts, by port."""
        places = {host: [end for end in self.endpoints.values() if end.host == host] for host in hosts}
        requests = {host: {"ports": [end.place for end in ends]} for host, ends in places.items()}
        readings: dict[str, Any] = {}
        for host, answer in self.crew.tell(requests, "counters", timeout_s=LOOK_S).items():
            said = answer["ports"]
            if len(said) != len(places[host]):
                raise AgentFailed(f"{host}: counters of {len(said)} ports, asked were {len(places[host])}")
            readings.update({end.name: each for end, each in zip(places[host], said, strict=True)})
        return readings

    def read_clocks(self, hosts: Iterable[str]) -> dict[str, ClockMap]:
        """Compare the clocks of these hosts with this machine's."""

        def one(host: str) -> Reading:
            client = self.crew.client(host)

            def ask() -> HostTime:
                said = client.request("clock", timeout_s=CLOCK_S)
                return HostTime(int(said["mono_ns"]), int(said["real_ns"]))

            return read_clock(ask)

        readings = each(hosts, one, timeout_s=4 * CLOCK_S, what="reading the clock")
        return {host: ClockMap(reading) for host, reading in readings.items()}

    def _survey(self, hosts: list[str]) -> None:
        """Find out what the ports of these hosts are, and what counts there."""
        for host, answer in self.crew.ask(hosts, "devices", timeout_s=LOOK_S).items():
            for port, wanted in self.site.hosts[host].ports.items():
                name = f"{host}:{port}"
                self.endpoints[name] = endpoint(name, wanted, answer["devices"])
        kernels = {host: str(self.crew.client(host).hello.get("kernel")) for host in hosts}
        found = {name: end for name, end in self.endpoints.items() if end.host in hosts}
        self.nics.attach(found, self.read_counters(hosts), kernels)

    def restore_switches(
        self, timeout_s: float, *, only: Collection[str] | None = None
    ) -> dict[str, Exception]:
        """Put all switches back, or some; one whose connection broke is dialled once more.

        Returns why that failed, by switch; nothing is done to switches that may not be changed.
        """
        if not self.may_configure:
            return {}
        end = time.monotonic() + timeout_s
        errors = self.switches.restore(timeout_s, only=only)
        cut_off = [node for node, error in errors.items() if isinstance(error, TransportError)]
        left_s = end - time.monotonic()
        if not cut_off or left_s <= 0:
            return errors
        try:
            self.crew.reconnect(cut_off)
            self._attach(cut_off)
        except HarnessError:
            return errors
        return {node: error for node, error in errors.items() if node not in cut_off} | self.switches.restore(
            left_s, only=cut_off
        )

    def release_guards(self) -> None:
        """Let the guards of all switches go; for when the switches are as they were."""
        guards, names = dict(self.guards), list(self.guards)
        self.guards.clear()
        attempt(names, lambda node: guards[node].release(), timeout_s=GUARD_S, what="releasing the guard")

    def _attach(self, nodes: Iterable[str]) -> None:
        remotes = {node: self.crew.remotes[node] for node in nodes}
        self.switches.attach(remotes)
        if not self.may_configure:
            return

        def one(node: str) -> Guard:
            return Guard(remotes[node], self.switches.cleaning(node))

        self.guards.update(each(remotes, one, timeout_s=GUARD_S, what="posting a guard"))


def raise_first(errors: dict[str, Exception]) -> None:
    """Raise the first of errors kept by node; other exceptions become a DriverError that names the node."""
    for node, error in errors.items():
        raise error if isinstance(error, HarnessError) else DriverError(one_line(f"{node}: {error}"))
