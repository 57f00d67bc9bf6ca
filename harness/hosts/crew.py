"""The machines of a site and the agent on each host: brought up together, replaced when they are lost."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from harness.core.errors import AgentFailed, AgentLost, HarnessError, HostUnreachable
from harness.core.site import Site
from harness.hosts.client import AgentClient, AgentEvent, Message
from harness.hosts.deploy import ARCHIVE, agent_archive
from harness.hosts.gather import attempt, each
from harness.transport.remote import Remote
from harness.transport.ssh import dial as ssh_dial

log = logging.getLogger(__name__)

Dialer = Callable[[Sequence[str]], tuple[Mapping[str, Remote], Mapping[str, HarnessError]]]
"""Opens connections to nodes: those that are open now, and why others are not."""

START_TIMEOUT_S = 60.0
"""Deploying and starting the agent of a host: upload once, then Python's start."""

CLOSE_TIMEOUT_S = 5.0
"""For ending all agents, or all connections, at once."""

POWER_TIMEOUT_S = 180.0
"""For a host to come back after it was powered on."""


class HostPower(Protocol):
    """Switches hosts off and on."""

    def off(self, host: str) -> None:
        """Take the power away; it is gone on return."""
        ...

    def on(self, host: str) -> None:
        """Start the host, if it is off; it takes connections on return."""
        ...


def dialer(site: Site) -> Dialer:
    """Return what connects to the nodes of a site over SSH."""

    def dial(
        nodes: Sequence[str],
    ) -> tuple[Mapping[str, Remote], Mapping[str, HarnessError]]:
        return ssh_dial({node: site.access(node) for node in nodes})

    return dial


class Crew:
    """Connections to all nodes and the agents of all hosts of a site.

    `events` gets what agents say unasked. `archive` is the program that is the agent.
    """

    def __init__(
        self,
        site: Site,
        dial: Dialer,
        *,
        power: HostPower | None = None,
        archive: bytes | None = None,
    ) -> None:
        self.site = site
        self.remotes: dict[str, Remote] = {}
        self.clients: dict[str, AgentClient] = {}
        self.events: queue.SimpleQueue[AgentEvent] = queue.SimpleQueue()
        self.dark: set[str] = set()
        self._dial = dial
        self._power = power
        self._archive = archive
        self._closed = False

    @property
    def hosts(self) -> tuple[str, ...]:
        """All hosts of the site."""
        return tuple(self.site.hosts)

    def ready(self) -> set[str]:
        """Make sure that every node is connected and every host has a living agent.

        Returns the nodes whose connection, or whose agent, is new. Raises the first HarnessError that stands in
        the way; it names the node.
        """
        self.light_up()
        fresh = [node for node in self._nodes if not self._is_connected(node)]
        self._connect(fresh)
        idle = [host for host in self.hosts if not self._is_living(host)]
        if idle:
            each(idle, self._start_agent, timeout_s=START_TIMEOUT_S, what="starting the agent")
        while not self.events.empty():  # what agents said after the last run was over
            self.events.get_nowait()
        return {*fresh, *idle}

    def reconnect(self, nodes: Sequence[str]) -> None:
        """Connect once more to nodes whose connection broke; raise the first error."""
        self._connect(list(nodes))

    def ask(self, hosts: Iterable[str], op: str, *, timeout_s: float, **fields: Any) -> dict[str, Message]:
        """Ask several agents the same at once; see `tell`."""
        return self.tell(dict.fromkeys(hosts, fields), op, timeout_s=timeout_s)

    def tell(
        self, requests: Mapping[str, Mapping[str, Any]], op: str, *, timeout_s: float
    ) -> dict[str, Message]:
        """Ask each agent its own at once and return their answers; raise the first error."""

        def one(host: str) -> Message:
            return self.client(host).request(op, timeout_s=timeout_s, **requests[host])

        return each(requests, one, timeout_s=timeout_s + 1, what=op)

    def client(self, host: str) -> AgentClient:
        """Return the agent of a host; raise AgentLost when it has none."""
        client = self.clients.get(host)
        if client is None:
            raise AgentLost(f"{host}: there is no agent")
        return client

    def living(self) -> list[str]:
        """Return the hosts whose agent answers."""
        return [host for host in self.hosts if self._is_living(host)]

    def darken(self, host: str) -> None:
        """Power a host off: its agent's end is then no fault."""
        if self._power is None:
            raise AgentFailed(f"{host}: nothing here can power it off")
        self.dark.add(host)
        self._power.off(host)

    def light_up(self) -> None:
        """Power on again what was powered off; raise HostUnreachable when a host does not come back."""
        if self._power is None:
            return
        for host in self.dark:
            self._drop(host)
        each(sorted(self.dark), self._power.on, timeout_s=POWER_TIMEOUT_S, what="powering on")
        self.dark.clear()

    def silence(self, hosts: Iterable[str], timeout_s: float) -> dict[str, Exception]:
        """End whatever agents do; those that do not obey are killed. Returns why, by host."""

        def one(host: str) -> None:
            self.client(host).request("teardown", timeout_s=timeout_s)

        _, errors = attempt(hosts, one, timeout_s=timeout_s + 0.5, what="teardown")
        for host, error in errors.items():
            log.warning("agent of %s ended: %s", host, error)
            if (client := self.clients.get(host)) is not None:
                client.lose(f"did not tear down: {error}")
        return errors

    def close(self) -> None:
        """End all agents and connections, for good; never raises."""
        self._closed = True
        living = self.living()
        attempt(
            living,
            lambda host: self.clients[host].close(),
            timeout_s=CLOSE_TIMEOUT_S,
            what="ending the agent",
        )
        open_ones = list(self.remotes)
        attempt(open_ones, lambda node: self.remotes[node].close(), timeout_s=CLOSE_TIMEOUT_S, what="closing")
        self.clients.clear()
        self.remotes.clear()

    @property
    def _nodes(self) -> tuple[str, ...]:
        return (*self.site.hosts, *self.site.switches)

    def _is_connected(self, node: str) -> bool:
        return node in self.remotes and self.remotes[node].alive

    def _is_living(self, host: str) -> bool:
        client = self.clients.get(host)
        return client is not None and client.lost is None and host not in self.dark

    def _drop(self, host: str) -> None:
        """Forget the connection and the agent of a host."""
        client, remote = self.clients.pop(host, None), self.remotes.pop(host, None)
        if client is not None:
            client.lose("was given up")
        if remote is not None:
            attempt([host], lambda _: remote.close(), timeout_s=CLOSE_TIMEOUT_S, what="closing")

    def _connect(self, nodes: list[str]) -> None:
        if not nodes:
            return
        for node in nodes:
            self._drop(node)
        opened, errors = self._dial(nodes)
        self.remotes.update(opened)
        for node in nodes:
            if node in errors:
                raise errors[node]
            if node not in opened:
                raise HostUnreachable("nobody tried to connect to it", host=node)

    def _start_agent(self, host: str) -> None:
        remote = self.remotes[host]
        archive = agent_archive() if self._archive is None else self._archive
        path = remote.deploy(archive, ARCHIVE)
        process = remote.start([self.site.python(host), path])
        if self._closed:  # another host failed meanwhile, and everything was given up
            process.kill()
            return
        self.clients[host] = AgentClient(host, process, self.events.put)

    def check_pyverbs(self, host: str, no_native: str) -> None:
        """Raise AgentFailed when the agent of a host, which has no native generator either, has no pyverbs."""
        hello = self.client(host).hello
        if hello.get("pyverbs") is None:
            problem = hello.get("pyverbs_error") or "it does not say why"
            raise AgentFailed(
                f"{host}: no pyverbs in its {self.site.python(host)} {hello.get('python')}: {problem}; "
                "install python3-pyverbs there, or name a Python that has it in the site file; "
                f"nor is there a native generator: {no_native}"
            )
