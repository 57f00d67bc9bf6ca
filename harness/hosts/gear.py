"""The switches of a site through their drivers, and the NIC ports of its hosts through theirs."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

from harness.core.capability import Capability
from harness.core.counters import Counter, Where
from harness.core.errors import DriverError
from harness.core.flow import ATOMICS, Verb
from harness.core.port_counters import COUNTED
from harness.core.site import Site
from harness.core.topology import Topology
from harness.hosts.devices import Endpoint
from harness.hosts.gather import attempt, complete, each
from harness.hosts.plan import Plan, is_source, nic_of
from harness.nics import NicDriver, Reading
from harness.nics import load as load_nic
from harness.switches import Applied, QpRoute, SwitchDriver, SwitchReading
from harness.switches import load as load_switch
from harness.transport.remote import Remote

log = logging.getLogger(__name__)

SWITCH_TIMEOUT_S = 30.0
"""For one thing to be done on a switch: one command."""

DATA_COMES_BACK = frozenset({Verb.READ, *ATOMICS})
"""Verbs whose data are the responses: those are what faults of a flow are about, as in the simulator."""

Job = Mapping[str, Any]


class Switches:
    """All switches that the site names; those it leaves out are not touched and `unnamed` lists them.

    A switch that a run configured and no event touched stands as it is for the next run, which mostly wants the
    same of it; `restore` puts back everything.
    """

    def __init__(self, topology: Topology, site: Site) -> None:
        self.unnamed = tuple(name for name in topology.switches if name not in site.switches)
        self._topology = topology
        self._site = site
        self._drivers: dict[str, SwitchDriver] = {}
        self._standing: dict[str, Mapping[str, Any]] = {}
        self._touched: set[str] = set()

    def attach(self, remotes: Mapping[str, Remote]) -> None:
        """Make the drivers of the switches among these connections, which are new."""

        def one(node: str) -> SwitchDriver:
            switch = self._site.switches[node]
            return load_switch(switch.os)(remotes[node], node, switch.ports, self._topology)

        wanted = [node for node in remotes if node in self._site.switches]
        self._forget(wanted)
        self._drivers.update(each(wanted, one, timeout_s=SWITCH_TIMEOUT_S, what="asking the switch"))

    def cleaning(self, node: str) -> str:
        """Return the script that cleans a switch when nobody else does."""
        return self._drivers[node].cleaning

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What every switch of the topology can do; nothing when there is none or one is left out."""
        if self.unnamed or not self._drivers:
            return frozenset()
        return _common(driver.capabilities for driver in self._drivers.values())

    @property
    def not_offered(self) -> list[str]:
        """Keys of counters that some switch does not have."""
        return _lacking((driver.offered for driver in self._drivers.values()), Where.SWITCH)

    @property
    def deviations(self) -> dict[str, Mapping[str, str]]:
        """Known differences, by switch."""
        return {node: driver.deviations for node, driver in self._drivers.items() if driver.deviations}

    def set_up(self, job: Job) -> None:
        """Remember how the switches are, and apply the QoS of a job; what stands as wanted is left alone."""

        def one(node: str) -> None:
            block = _switch_block(job, node)
            if node in self._standing and self._standing[node] == block and node not in self._touched:
                return
            self._touched.add(node)  # until it is built to the end
            if node not in self._standing:
                self._drivers[node].snapshot()
            self._drivers[node].configure(block)
            self._standing[node] = block
            self._touched.discard(node)

        self._all(one, "configuring")

    def connected(self, routes: Mapping[str, Sequence[QpRoute]]) -> None:
        """Tell which QPs carry each flow."""
        for driver in self._drivers.values():
            driver.flows_connected(routes)

    def apply(self, event: Mapping[str, Any]) -> dict[str, Applied]:
        """Give an event to all switches; return what those did whose it is. Raise DriverError when none did."""

        def one(node: str) -> Applied:
            done = self._drivers[node].apply(event)
            if done.acted:
                self._touched.add(node)
            return done

        applied: dict[str, Applied] = self._all(one, f"doing {event['kind']}")
        acted = {node: done for node, done in applied.items() if done.acted}
        if not acted:
            why = "; ".join(f"{node}: {done.what}" for node, done in applied.items())
            raise DriverError(f"no switch carried out {event['kind']}: {why or 'the site names none'}")
        return acted

    def counters(self) -> dict[str, SwitchReading]:
        """Read the counters of all switches."""
        return self._all(lambda node: self._drivers[node].counters(), "reading counters")

    def deltas(
        self, before: Mapping[str, SwitchReading], after: Mapping[str, SwitchReading]
    ) -> dict[str, dict[str, Any]]:
        """Return the port objects of all switches."""
        ports: dict[str, dict[str, Any]] = {}
        for node in before:
            ports.update(self._drivers[node].deltas(before[node], after[node]))
        return ports

    def restore(self, timeout_s: float, *, only: Collection[str] | None = None) -> dict[str, Exception]:
        """Put everything back on all switches, or on some; return why that failed, by switch."""
        nodes = [node for node in self._drivers if only is None or node in only]
        _, errors = attempt(
            nodes, lambda node: self._drivers[node].restore(), timeout_s=timeout_s, what="restoring"
        )
        self._forget(nodes)
        for node, error in errors.items():
            log.warning("%s is not restored: %s", node, error)
        return errors

    @property
    def disturbed(self) -> frozenset[str]:
        """Switches that are not as `set_up` built them: an event changed something."""
        return frozenset(self._touched)

    def _forget(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            self._standing.pop(node, None)
            self._touched.discard(node)

    def _all(self, work: Any, what: str) -> dict[str, Any]:
        return complete(self._drivers, work, timeout_s=SWITCH_TIMEOUT_S, what=what)


class Nics:
    """The drivers of all host ports of a topology."""

    def __init__(self) -> None:
        self._drivers: dict[str, NicDriver] = {}

    def attach(
        self,
        endpoints: Mapping[str, Endpoint],
        readings: Mapping[str, Reading],
        kernels: Mapping[str, str],
    ) -> None:
        """Make the drivers by the kernel driver of each port's device, and a first look at its counters."""
        self._drivers.update(
            {
                port: load_nic(str(end.device.get("driver")))(readings[port], kernels[end.host])
                for port, end in endpoints.items()
            }
        )

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What every NIC adds."""
        return _common(driver.capabilities for driver in self._drivers.values())

    @property
    def not_offered(self) -> list[str]:
        """Keys of counters that some NIC does not have."""
        return _lacking((driver.offered for driver in self._drivers.values()), Where.HOST)

    @property
    def deviations(self) -> dict[str, Mapping[str, str]]:
        """Known differences, by port."""
        return {port: driver.deviations for port, driver in self._drivers.items() if driver.deviations}

    def set_up(self, job: Job, endpoints: Mapping[str, Endpoint], remotes: Mapping[str, Remote]) -> None:
        """Apply the `nic` block of a job to every port."""

        def one(port: str) -> None:
            end = endpoints[port]
            self._drivers[port].configure(remotes[end.host], end.netdev or "", nic_of(job, end.host))

        complete(endpoints, one, timeout_s=SWITCH_TIMEOUT_S, what="configuring the NIC")

    def restore(
        self, endpoints: Mapping[str, Endpoint], remotes: Mapping[str, Remote], timeout_s: float
    ) -> dict[str, Exception]:
        """Put back what was changed on the hosts among `remotes`; return why that failed, by port."""

        def one(port: str) -> None:
            end = endpoints[port]
            self._drivers[port].restore(remotes[end.host], end.netdev or "")

        reachable = [port for port, end in endpoints.items() if end.host in remotes]
        _, errors = attempt(reachable, one, timeout_s=timeout_s, what="restoring the NIC")
        return errors

    def deltas(
        self, before: Mapping[str, Reading], after: Mapping[str, Reading]
    ) -> dict[str, dict[str, Any]]:
        """Return the port objects of the ports that were read twice."""
        return {
            port: self._drivers[port].counters(before[port], after[port]) for port in before if port in after
        }


def routes_of(plan: Plan, job: Job, connected: Mapping[str, Any], prepared: Mapping[str, Any]) -> dict[
    str, list[QpRoute]
]:  # fmt: skip
    """Return the QPs of each flow as switches want to know them, from what agents said when connecting."""
    flows = {flow["name"]: flow for flow in job["flows"]}
    routes: dict[str, list[QpRoute]] = {}
    for ident, said in connected.items():
        if not is_source(ident):
            continue
        end = plan.ends[ident]
        flow = flows[ident.rpartition("/")[0]]
        here, there = address_of(prepared[ident]), address_of(prepared[end.peer])
        routes[flow["name"]] = [
            QpRoute(
                flow["src"], flow["dst"], here, there, qp["src_qpn"], qp["dst_qpn"], qp["first_psn"],
                read=flow["verb"] in DATA_COMES_BACK,
            )
            for qp in said
        ]  # fmt: skip
    return routes


def address_of(qps: Sequence[Mapping[str, Any]]) -> str:
    """Return the IP address that a GID stands for (RoCE v2: the GID is the address, IPv4 mapped into IPv6)."""
    gid = ipaddress.IPv6Address(qps[0]["gid"])
    return str(gid.ipv4_mapped or gid)


def _switch_block(job: Job, node: str) -> Mapping[str, Any]:
    own: Mapping[str, Any] | None = next(
        (each.get("switch") for each in job["nodes"] if each["name"] == node), None
    )
    block: Mapping[str, Any] = own or job["switch"]
    return block


def _common(sets: Iterable[frozenset[Capability]]) -> frozenset[Capability]:
    found = list(sets)
    return reduce(frozenset.intersection, found) if found else frozenset()


def _lacking(offers: Iterable[frozenset[Counter]], where: Where) -> list[str]:
    wanted = {counter for counter in COUNTED if counter.where in (Where.ANY, where)}
    everywhere = reduce(frozenset.intersection, offers, frozenset(wanted))
    return sorted(counter.key for counter in wanted - everywhere)
