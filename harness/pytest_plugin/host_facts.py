"""What a record keeps of the hosts that a run was made on: devices and software in words, a few figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.core.evidence import Missing
from harness.core.record import Figure

if TYPE_CHECKING:
    from harness.core.result import RunResult

DRIVERS = "RDMA drivers"
"""Name of the fact that tells software NICs from hardware; a report stamps its page by it."""


def facts_of(result: RunResult) -> dict[str, str]:
    """Return name → words of the executor and of each host; nothing for a simulated run."""
    agents = _agents(result)
    if not agents:
        return {}
    drivers = {
        str(port["driver"]) for agent in agents.values() for port in _ports(agent) if port.get("driver")
    }
    facts = {DRIVERS: ", ".join(sorted(drivers))} if drivers else {}
    return {**facts, **{f"host {name}": _words(agent) for name, agent in agents.items()}}


def figures_of(result: RunResult) -> tuple[Figure, ...]:
    """Return what only hosts have: how far apart they started, and how busy the agents were."""
    hosts = result.raw.get("hosts")
    if not isinstance(hosts, dict):
        return ()
    skew = hosts.get("start_skew_ps")
    told = skew / 1e9 if isinstance(skew, int) else Missing("the start skew is not known")
    return Figure("start skew", told, "ms"), *_busiest(_agents(result))


def notes_of(result: RunResult) -> tuple[str, ...]:
    """Return sentences on who made the traffic and who was held back; nothing for a simulated run."""
    by_words: dict[str, list[str]] = {}
    for host, agent in _agents(result).items():
        if words := _engine(agent):
            by_words.setdefault(words, []).append(host)
    made = (f"Traffic of {', '.join(hosts)}: {words}." for words, hosts in by_words.items())
    held = (f"{reason[:1].upper()}{reason[1:].rstrip('.')}." for reason in result.bottlenecks)
    said = (
        f"Generator of {host}: {agent['note']}."
        for host, agent in _agents(result).items()
        if agent.get("note")
    )
    return *made, *held, *said


def _engine(agent: Mapping[str, Any]) -> str:
    """Say which engine made the traffic of a host: `native, roce-load 0.1.0, 2 threads`, `pyverbs, as …`."""
    generator, threads, why = (agent.get(key) for key in ("generator", "threads", "engine_why"))
    parts = [str(agent["engine"])] if agent.get("engine") else []
    if isinstance(generator, dict):
        parts.append(f"roce-load {generator.get('version')}")
    if isinstance(threads, list) and threads:
        parts.append(f"{len(threads)} thread{'s' if len(threads) > 1 else ''}")
    return ", ".join([*parts, f"as {why}"] if why and parts else parts)


def not_offered(result: RunResult) -> frozenset[str]:
    """Return keys of counters that devices of this fabric do not have: a figure of them would say nothing."""
    said = result.raw.get("not_offered")
    lists = said.values() if isinstance(said, dict) else ()
    return frozenset(key for keys in lists for key in keys)


def deviations_of(result: RunResult) -> dict[str, str]:
    """Return subject → sentence of the known deviations of all devices that took part."""
    hosts = result.raw.get("hosts")
    by_node = hosts.get("deviations") if isinstance(hosts, dict) else None
    known = by_node.values() if isinstance(by_node, dict) else ()
    return {str(subject): str(text) for node in known for subject, text in node.items()}


def _agents(result: RunResult) -> dict[str, Mapping[str, Any]]:
    hosts = result.raw.get("hosts")
    agents = hosts.get("agents") if isinstance(hosts, dict) else None
    return {str(name): agent for name, agent in (agents or {}).items() if isinstance(agent, dict)}


def _ports(agent: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    ports = agent.get("ports")
    return [port for port in ports.values() if isinstance(port, dict)] if isinstance(ports, dict) else []


def _words(agent: Mapping[str, Any]) -> str:
    """One line: devices with firmware and GID, then the software; what is not known is left out."""
    software = [
        f"{name} {agent[key]}"
        for name, key in (("Linux", "kernel"), ("pyverbs", "pyverbs"), ("Python", "python"))
        if agent.get(key)
    ]
    return "; ".join([*(_device(port) for port in _ports(agent)), ", ".join(software)])


def _device(port: Mapping[str, Any]) -> str:
    gid = port.get("gid")
    why = gid.get("why") if isinstance(gid, dict) else None
    firmware = f", firmware {port['firmware']}" if port.get("firmware") else ""
    return f"{port.get('device')} ({port.get('driver') or 'driver not known'}{firmware})" + (
        f", GID {why}" if why else ""
    )


def _busiest(agents: Mapping[str, Mapping[str, Any]]) -> Iterator[Figure]:
    """The agent that used most of a processor: near 100 % it may be what limited the run."""
    shares = [100 * share for agent in agents.values() if (share := _share(agent)) is not None]
    if shares:
        yield Figure("processor time of the busiest agent", max(shares), "%")


def _share(agent: Mapping[str, Any]) -> float | None:
    """Return the part of a processor that an agent used; of a native generator that of its busiest thread."""
    threads = agent.get("threads") or ()
    by_thread = [thread.get("cpu_share") for thread in threads if isinstance(thread, dict)]
    known = [share for share in by_thread if isinstance(share, int | float)]
    if known:
        return max(known)
    cpu_s, wall_s = agent.get("cpu_s"), agent.get("wall_s")
    return cpu_s / wall_s if isinstance(cpu_s, int | float) and wall_s else None
