"""Which engine makes the traffic of each host in a run, and why not the other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.engine import Engine
from harness.core.errors import ConfigError, EngineError
from harness.hosts.native import Native


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine of a host in one run; `native` None: pyverbs, and `why` says why. Nothing to say: it was asked for."""

    native: Native | None
    why: str | None = None

    @property
    def name(self) -> str:
        """The engine, as results name it."""
        return Engine.PYVERBS.value if self.native is None else Engine.NATIVE.value


def check_engine(wanted: Engine, natives: Mapping[str, Native]) -> None:
    """Raise EngineError when the native generator is asked for and a host has none; it says why not."""
    if wanted is Engine.NATIVE:
        lacking = [f"{host}: {native.why}" for host, native in natives.items() if native.path is None]
        if lacking:
            raise EngineError(
                f"no native generator on {'; '.join(lacking)}; --engine auto uses pyverbs there"
            )


def choose(
    job: Mapping[str, Any], hosts: Collection[str], natives: Mapping[str, Native], wanted: Engine
) -> dict[str, Choice]:
    """Return the engine of each host.

    Flows that the native generator does not have (reductions, XRC, perftest) take their hosts to pyverbs, by name.

    Raises:
        ConfigError: a flow has options of the native generator, and one of its hosts cannot use that.
    """
    chosen = {host: _of_host(host, job["flows"], natives.get(host), wanted) for host in hosts}
    for flow in job["flows"]:
        if flow.get("load") is not None:
            for host in _hosts_of(flow):
                if host in chosen and chosen[host].native is None:
                    why = chosen[host].why or "pyverbs is asked for"
                    raise ConfigError(
                        f"flow {flow['name']!r} needs the native generator on {host}: {why}", key="load"
                    )
    return chosen


def _of_host(
    host: str, flows: Collection[Mapping[str, Any]], native: Native | None, wanted: Engine
) -> Choice:
    if wanted is Engine.PYVERBS:
        return Choice(None, None)
    if native is None or native.path is None:
        return Choice(None, "nobody looked for it" if native is None else native.why)
    obstacles: dict[str, list[str]] = {}
    for flow in flows:
        for what in _beyond_native(flow) if host in _hosts_of(flow) else ():
            obstacles.setdefault(what, []).append(str(flow["name"]))
    if obstacles:
        return Choice(None, ", ".join(f"{_named(names)}: {what}" for what, names in obstacles.items()))
    return Choice(native)


def _named(flows: list[str]) -> str:
    return f"flow {flows[0]}" + (f" and {len(flows) - 1} more" if len(flows) > 1 else "")


def _beyond_native(flow: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a flow asks for that only the agent has."""
    if flow["transport"] == "xrc":
        yield "transport xrc"
    if flow.get("reduce") is not None:
        yield "reductions"
    if (flow.get("verbs") or {}).get("engine") == "perftest":
        yield "engine perftest"


def _hosts_of(flow: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(flow[end].partition(":")[0] for end in ("src", "dst"))
