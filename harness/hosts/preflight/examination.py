"""The state of a preflight: connections, agents, what was found, and which hosts still stand."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from harness.core.errors import HarnessError, one_line
from harness.core.site import Site
from harness.core.topology import Topology
from harness.hosts.client import AgentClient, AgentEvent
from harness.hosts.clock import Reading
from harness.hosts.crew import CLOSE_TIMEOUT_S, Dialer
from harness.hosts.devices import Endpoint, Said
from harness.hosts.gather import attempt
from harness.hosts.preflight.findings import Cell, Problem, Report, State
from harness.transport.remote import Remote

T = TypeVar("T")

Say = Callable[[str], None]

SMALL_SITE_HOSTS = 8
"""Up to so many hosts bandwidth is measured unless told otherwise: a round takes some seconds."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a preflight is to look at.

    `mtu_bytes` is the path MTU that runs will ask for (scenarios say 1024 unless they say otherwise);
    `bandwidth` None measures it on sites of up to `SMALL_SITE_HOSTS` hosts; `bandwidth_s` is the length of
    one measurement.
    """

    mtu_bytes: int = 1024
    bandwidth: bool | None = None
    bandwidth_s: float = 2.0


@dataclass(slots=True)
class Patient:
    """One host: its connection and agent as far as they came up; `events` is what its agent says unasked."""

    host: str
    remote: Remote | None = None
    client: AgentClient | None = None
    python: Said = field(default_factory=dict)
    devices: tuple[Said, ...] = ()
    clock: Reading | None = None
    events: queue.SimpleQueue[AgentEvent] = field(default_factory=queue.SimpleQueue)


class Examination:
    """Everything that stages read and write. Whoever makes one closes it."""

    def __init__(self, site: Site, topology: Topology, options: Options, dial: Dialer, say: Say) -> None:
        self.site = site
        self.topology = topology
        self.options = options
        self.dial = dial
        self.say = say
        self.patients = {host: Patient(host) for host in site.hosts}
        self.switches: dict[str, Remote] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.facts: dict[str, Any] = {}
        self.stage = ""
        self._failed: set[str] = set()
        self._problems: list[Problem] = []
        self._cells: dict[str, dict[str, Cell]] = {}

    @property
    def standing(self) -> list[Patient]:
        """Hosts that have not failed at any stage yet."""
        return [patient for host, patient in self.patients.items() if host not in self._failed]

    def stands(self, node: str) -> bool:
        """Tell whether a node has not failed yet."""
        return node not in self._failed

    def ports_of(self, host: str) -> list[Endpoint]:
        """Return what the ports of a host are, as far as they were found."""
        return [end for end in self.endpoints.values() if end.host == host]

    # --- findings ----------------------------------------------------------------------------------------

    def good(self, node: str, note: str = "") -> None:
        """Note that a node passes this stage; a problem noted before or after stays."""
        before = self._cells.setdefault(node, {}).get(self.stage)
        state = State.OK if before is None else before.state
        self._cells[node][self.stage] = Cell(state, note)

    def warn(
        self, nodes: str | Iterable[str], what: str, *, value: str = "", advice: str, where: str = ""
    ) -> None:
        """Note a problem that does not stop anybody; `where` says more than the nodes."""
        self._note(State.WARNING, nodes, what, value, advice, where)

    def fail(
        self, nodes: str | Iterable[str], what: str, *, value: str = "", advice: str, where: str = ""
    ) -> None:
        """Note a problem that stops nodes here."""
        self._note(State.FAILED, nodes, what, value, advice, where)

    def _note(
        self, state: State, nodes: str | Iterable[str], what: str, value: str, advice: str, where: str
    ) -> None:
        named = [nodes] if isinstance(nodes, str) else list(nodes)
        place = where or ", ".join(named)
        self._problems.append(Problem(self.stage, state, one_line(what), place, one_line(value), advice))
        for node in named:
            before = self._cells.setdefault(node, {}).get(self.stage, Cell(state))
            worst = State.FAILED if State.FAILED in (state, before.state) else state
            self._cells[node][self.stage] = Cell(worst, before.note)
        if state is State.FAILED:
            self._failed.update(named)

    def on_all(
        self,
        work: Callable[[Patient], T],
        *,
        timeout_s: float,
        what: str,
        advise: Callable[[Exception], tuple[str, str]],
    ) -> dict[str, T]:
        """Do the work for every host that stands, at once; hosts where it raises fail here.

        `advise` turns such an error into what was found and what to do. Returns what the others gave.
        """
        hosts = [patient.host for patient in self.standing]
        found, errors = attempt(hosts, lambda host: work(self.patients[host]), timeout_s=timeout_s, what=what)
        for host, error in errors.items():
            if not isinstance(error, HarnessError):
                raise error
            said, advice = advise(error)
            self.fail(host, bare(said, host), advice=advice)
        return found

    # --- the end -----------------------------------------------------------------------------------------

    def report(self, stages: Iterable[str]) -> Report:
        """Return what was found; a stage that a standing node passed without a word stays SKIPPED."""
        return Report(
            self.topology.name,
            tuple(self.site.hosts),
            tuple(self.site.switches),
            tuple(stages),
            self._cells,
            merged(self._problems),
            self.facts,
        )

    def close(self) -> None:
        """End all agents and connections; never raises."""
        clients = {host: each.client for host, each in self.patients.items() if each.client is not None}
        attempt(
            clients, lambda host: clients[host].close(), timeout_s=CLOSE_TIMEOUT_S, what="ending the agent"
        )
        remotes = {host: each.remote for host, each in self.patients.items() if each.remote is not None}
        remotes.update(self.switches)
        attempt(remotes, lambda node: remotes[node].close(), timeout_s=CLOSE_TIMEOUT_S, what="closing")


def bare(message: str, host: str) -> str:
    """Return a message without the name of its host in front, which the reader sees anyway."""
    return message.removeprefix(f"{host}: ")


def merged(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Make one line of problems that are the same in several places; the order stays."""
    places: dict[tuple[str, State, str, str, str], list[str]] = {}
    for each in problems:
        key = (each.stage, each.state, each.what, each.value, each.advice)
        places.setdefault(key, []).append(each.where)
    return tuple(
        Problem(stage, state, what, ", ".join(dict.fromkeys(where)), value, advice)
        for (stage, state, what, value, advice), where in places.items()
    )
