"""From a job to what each agent is asked to prepare: both ends of every flow, on the hosts where they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.errors import ConfigError
from harness.core.flow import Transport, Verb
from harness.core.site import Site
from harness.hosts.devices import Endpoint, check_peers

Json = dict[str, Any]

ECT_0 = 0b10
"""ECN-capable transport, codepoint ECT(0) (RFC 3168, section 5)."""

TELLS_ITS_TARGET = frozenset({Verb.SEND, Verb.SEND_IMM, Verb.WRITE_IMM})
"""Verbs whose target gets a completion of its own."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a flow: `ident` is `FLOW/src` (who posts) or `FLOW/dst`."""

    ident: str
    host: str
    peer: str
    request: Json


@dataclass(frozen=True, slots=True)
class Plan:
    """The ends of all flows of a job, by their name."""

    ends: Mapping[str, End]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts with at least one end."""
        return tuple(dict.fromkeys(end.host for end in self.ends.values()))

    def of(self, host: str) -> list[End]:
        """Return the ends on a host."""
        return [end for end in self.ends.values() if end.host == host]

    def sources(self) -> set[str]:
        """Return the names of the ends that post."""
        return {ident for ident in self.ends if is_source(ident)}


def is_source(ident: str) -> bool:
    """Tell whether an end posts."""
    return ident.endswith("/src")


def flow_of(ident: str) -> str:
    """Return the name of an end's flow."""
    return ident.rpartition("/")[0]


def plan_of(job: Mapping[str, Any], endpoints: Mapping[str, Endpoint], site: Site) -> Plan:
    """Return who has to prepare what.

    Raises:
        PeerMismatch: the ends of a flow do not fit each other.
        ConfigError: a flow waits for one that neither starts nor ends at its source.
    """
    flows = {flow["name"]: flow for flow in job["flows"]}
    notifying = _awaited_at_their_target(flows)
    ends: dict[str, End] = {}
    for name, flow in flows.items():
        check_peers(name, endpoints[flow["src"]], endpoints[flow["dst"]], _mtu(job, flow))
        for end in _ends(flow, endpoints, site, name in notifying):
            ends[end.ident] = end
    return Plan(ends)


def nic_of(job: Mapping[str, Any], host: str) -> Json:
    """Return the `nic` block of a host: its own, else that of all."""
    own = next((node.get("nic") for node in job["nodes"] if node["name"] == host), None)
    block: Json = own or job["nic"]
    return block


def _mtu(job: Mapping[str, Any], flow: Mapping[str, Any]) -> int:
    """Return the larger path MTU that the hosts of a flow are asked to use."""
    hosts = (flow["src"].partition(":")[0], flow["dst"].partition(":")[0])
    return max(int(nic_of(job, host)["mtu_bytes"]) for host in hosts)


def _awaited_at_their_target(flows: Mapping[str, Json]) -> set[str]:
    """Return flows whose arrival some other flow waits for."""
    awaited = set()
    for name, flow in flows.items():
        host = flow["src"].partition(":")[0]
        for other in flow["after"]:
            starts, ends = (flows[other][end].partition(":")[0] for end in ("src", "dst"))
            if host not in (starts, ends):
                raise ConfigError(
                    f"flow {name!r} waits for {other!r}, which neither starts nor ends at {host}", key="after"
                )
            if host == ends:
                awaited.add(other)
    return awaited


def _ends(flow: Json, endpoints: Mapping[str, Endpoint], site: Site, awaited: bool) -> Iterator[End]:
    notify = awaited or flow.get("reduce") is not None
    given = flow.get("dscp")
    dscp = site.dscp_of(flow["priority"]) if given is None else given
    tos = dscp << 2 | (ECT_0 if flow["ect"] else 0)
    for role, other in (("src", "dst"), ("dst", "src")):
        place = endpoints[flow[role]]
        ident = f"{flow['name']}/{role}"
        request: Json = {
            "id": ident,
            "flow": flow,
            "role": role,
            "device": place.device_name,
            "port": place.port_number,
            "gid": {"index": place.gid["index"], "roce": _version(place), "family": place.gid.get("family")},
            "tos": tos,
            "sl": flow["priority"],
            "notify": notify and flow["verb"] not in TELLS_ITS_TARGET,
        }
        yield End(ident, place.host, f"{flow['name']}/{other}", request)


def _version(place: Endpoint) -> str:
    return "v2" if "v2" in str(place.gid.get("type")).lower() else "v1"


def by_host(plan: Plan, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Group something kept by end by the host of the end."""
    grouped: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for ident, value in values.items():
        grouped[plan.ends[ident].host][ident] = value
    return dict(grouped)


def remote_ends(plan: Plan, prepared: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return, for each host, what its ends must know of the QPs at the other side."""
    crossed = {ident: prepared[plan.ends[ident].peer] for ident in prepared}
    return by_host(plan, crossed)


def is_reliable(flow: Mapping[str, Any]) -> bool:
    """Tell whether an acknowledgement proves that the payload is there."""
    return flow["transport"] in (Transport.RC.value, Transport.XRC.value)
