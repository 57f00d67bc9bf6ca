"""From a scenario on a topology to a job (docs/job-format.md).

Every default is filled in and every pattern expanded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from harness.core.blocks import (
    Block,
    Json,
    NicBlock,
    Rocev2Wire,
    SwitchBlock,
    TimeBlock,
    complete,
    given,
    merge,
)
from harness.core.errors import ConfigError, suggestion
from harness.core.events import DrainRate, Event, HostDown, Impair, PauseStorm, QosChange
from harness.core.flow import MAX_FLOWS, Flow, Pattern
from harness.core.pattern_files import pattern_name
from harness.core.qos import Qos
from harness.core.scenario import Scenario
from harness.core.topology import Node, NodeKind, Topology
from harness.core.validation import config_error

FORMAT = 1
"""Version of the job format."""

TRACES = ("cc", "pfc", "drop", "mark")
"""Event traces that can be asked for."""

MAX_QPS = 2_000_000
"""Most queue pairs of one job: that of roce-sim (`JOB_MAX_QPS`)."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """The flows of a scenario, and which of them each pattern made, in the scenario's order."""

    flows: tuple[Flow, ...]
    groups: tuple[tuple[str, ...], ...]


def compile_job(
    scenario: Scenario,
    topology: Topology,
    *,
    seed: int,
    output_dir: Path | str | None = None,
    trace: Sequence[str] = (),
) -> dict[str, object]:
    """Return the job as plain data; the same arguments always give the same job.

    Raises:
        ConfigError: a flow, an event or a trace names what does not exist, or there are more than a million
        flows.
    """
    return job_of(scenario, topology, expand(scenario, topology, seed), seed, output_dir, trace)


def expand(scenario: Scenario, topology: Topology, seed: int) -> Expansion:
    """Let every pattern make its flows, and check them against the topology.

    Flows of a pattern whose names an earlier pattern took get `~2` (`~3`, …) appended, all of that pattern
    alike.
    """
    _refuse_absurd_counts(scenario.patterns, topology)
    flows: list[Flow] = []
    groups: list[tuple[str, ...]] = []
    taken: set[str] = set()
    for index, pattern in enumerate(scenario.patterns):
        with _of_pattern(index):
            made = _renamed(_flows_of(pattern, topology, seed, MAX_FLOWS - len(flows)), taken)
        taken.update(flow.name for flow in made)
        flows += made
        groups.append(tuple(flow.name for flow in made))
    _check_flows(flows, taken, topology, scenario)
    return Expansion(tuple(flows), tuple(groups))


def job_of(
    scenario: Scenario,
    topology: Topology,
    expansion: Expansion,
    seed: int,
    output_dir: Path | str | None = None,
    trace: Sequence[str] = (),
) -> dict[str, object]:
    """Return the job of flows that `expand` made."""
    for name in trace:
        if name not in TRACES:
            raise ConfigError(
                "unknown trace", key="trace", value=name, hint=suggestion(name, TRACES, "there are")
            )
    nic = _filled(NicBlock, merge(scenario.qos.to_nic(), given(scenario.nic)), "nic")
    switch = merge(scenario.qos.to_switch(topology.rates_bps), given(scenario.switch))
    switch = _filled(SwitchBlock, switch, "switch")
    return {
        "format": FORMAT,
        "name": scenario.name,
        "seed": seed,
        "until": "duration" if scenario.ends_by_duration else "done",
        "duration_ps": scenario.limit_ps,
        "drain_ps": scenario.drain,
        "sample_every_ps": scenario.sample_every if output_dir is not None else 0,
        "output_dir": None if output_dir is None else str(output_dir),
        "trace": list(dict.fromkeys(trace)),
        "time": complete(scenario.time or TimeBlock()),
        "wire": complete(scenario.wire or Rocev2Wire()),
        "nic": nic,
        "switch": switch,
        "nodes": [
            _node(name, node, topology, scenario, nic, switch) for name, node in topology.nodes.items()
        ],
        "links": [
            {
                "a": link.endpoints[0],
                "b": link.endpoints[1],
                "rate_bps": link.rate,
                "delay_ps": link.delay,
                "ber": link.ber,
            }
            for link in topology.links
        ],
        "flows": [flow.to_job() for flow in expansion.flows],
        "events": [_event(index, event, expansion, topology) for index, event in enumerate(scenario.events)],
    }


def _refuse_absurd_counts(patterns: Iterable[Pattern], topology: Topology) -> None:
    """Ask the patterns that can say how many flows they make, before any is made."""
    total = 0
    for index, pattern in enumerate(patterns):
        count = getattr(pattern, "flow_count", None)
        with _of_pattern(index):
            total += count(topology) if callable(count) else 0
            if total > MAX_FLOWS:
                raise _too_many(pattern, total)


@contextmanager
def _of_pattern(index: int) -> Iterator[None]:
    """Name the pattern in its own errors: `senders` becomes `traffic[0].senders`."""
    try:
        yield
    except ConfigError as error:
        key = f"traffic[{index}].{error.key}" if error.key else f"traffic[{index}]"
        raise error.located(file=None, line=None, key=key) from None


def _too_many(pattern: Pattern, count: int | None = None) -> ConfigError:
    flows = "more flows" if count is None else f"{count} flows, more"
    return ConfigError(f"{pattern_name(pattern)} makes {flows} than a job holds", hint=f"at most {MAX_FLOWS}")


def _flows_of(pattern: Pattern, topology: Topology, seed: int, room: int) -> list[Flow]:
    flows = list(islice(iter(pattern.flows(topology, seed)), room + 1))
    if len(flows) > room:
        raise _too_many(pattern)
    if not flows:
        raise ConfigError(f"{pattern_name(pattern)} makes no flows on topology {topology.name!r}")
    return flows


def _renamed(flows: list[Flow], taken: set[str]) -> list[Flow]:
    """Append a number to all names of a pattern when one of them is taken.

    What its flows wait for (`after`) is renamed with them.
    """
    names = {flow.name for flow in flows}
    if not names & taken:
        return flows
    number = next(n for n in range(2, len(taken) + 3) if not {f"{name}~{n}" for name in names} & taken)
    new = {name: f"{name}~{number}" for name in names}
    return [
        replace(flow, name=new[flow.name], after=tuple(new.get(name, name) for name in flow.after))
        for flow in flows
    ]


def _check_flows(flows: Sequence[Flow], names: set[str], topology: Topology, scenario: Scenario) -> None:
    ports = set(topology.host_ports)
    seen: set[str] = set()
    for flow in flows:
        if flow.name in seen:
            raise ConfigError("two flows have the same name", key="traffic", value=flow.name)
        seen.add(flow.name)
        for end in (flow.src, flow.dst):
            if end not in ports:
                raise _no_such(
                    end, topology.host_ports, f"flow {flow.name!r}: there is no host port", "host ports are"
                )
        if flow.src.partition(":")[0] == flow.dst.partition(":")[0]:
            raise ConfigError(f"flow {flow.name!r} goes from a host to itself", key="traffic", value=flow.dst)
        for other in flow.after:
            if other not in names:
                raise _no_such(
                    other, names, f"flow {flow.name!r} waits for a flow that does not exist", "flows are"
                )
        if flow.messages == 0 and not scenario.ends_by_duration:
            raise ConfigError(
                f"flow {flow.name!r} sends for ever (messages 0)",
                key="duration",
                hint="give the scenario a duration",
            )
    if sum(flow.qps for flow in flows) > MAX_QPS:
        raise ConfigError(
            "too many queue pairs",
            key="qps",
            value=sum(flow.qps for flow in flows),
            hint=f"at most {MAX_QPS}",
        )
    for pattern in scenario.may_fail:
        if not any(matches(name, pattern) for name in names):
            raise _no_such(pattern, names, "may_fail names no flow", "flows are")


def matches(name: str, pattern: str) -> bool:
    """Tell whether a flow's name is the pattern, or begins with it when it ends in `*`."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _no_such(name: str, known: Iterable[str], message: str, what: str) -> ConfigError:
    return ConfigError(
        message, value=name, hint=suggestion(name, sorted(known) if isinstance(known, set) else known, what)
    )


def _node(name: str, node: Node, topology: Topology, scenario: Scenario, nic: Json, switch: Json) -> Json:
    """Return a node; its own block holds every key, so that nothing depends on how a reader merges."""
    built: Json = {"name": name, "kind": node.kind.value, "ports": list(topology.ports(name))}
    if node.kind is NodeKind.HOST:
        own = _filled(NicBlock, merge(nic, given(node.nic)), f"nodes.{name}.nic")
        return built if own == nic else {**built, "nic": own}
    changes = merge(_buffer_of(node, scenario), given(node.switch))
    own = _filled(SwitchBlock, merge(switch, changes), f"nodes.{name}.switch")
    return built if own == switch else {**built, "switch": own}


def _filled(kind: type[Block], keys: Json, root: str) -> Json:
    """Return the block with every default in; raise ConfigError when parts from several places do not fit."""
    try:
        return complete(kind.model_validate(keys))
    except ValidationError as error:
        raise config_error(error, root=root) from None


def _buffer_of(node: Node, scenario: Scenario) -> Json:
    """Return the buffer size of a switch of the topology, unless the scenario sets one for all."""
    sized_by_qos = scenario.qos.buffer is not None and scenario.qos.buffer.size is not None
    sized_by_block = "bytes" in given(scenario.switch).get("buffer", {})
    if node.buffer is None or sized_by_qos or sized_by_block:
        return {}
    return {"buffer": {"bytes": node.buffer}}


def _event(index: int, event: Event, expansion: Expansion, topology: Topology) -> Json:
    key = f"events[{index}]"
    if isinstance(event, QosChange):
        return _qos_change(key, event, topology)
    if isinstance(event, Impair):
        names = [flow.name for flow in expansion.flows]
        if event.flow not in names:
            raise ConfigError(
                "there is no such flow",
                key=key,
                value=event.flow,
                hint=suggestion(event.flow, names, "flows are"),
            )
        return event.to_job()
    if isinstance(event, HostDown):
        if event.host not in topology.hosts:
            hint = suggestion(event.host, topology.hosts, "hosts are")
            raise ConfigError("there is no such host", key=key, value=event.host, hint=hint)
        return event.to_job()
    of_host = isinstance(event, PauseStorm | DrainRate)
    ports = topology.host_ports if of_host else (*topology.host_ports, *topology.switch_ports)
    if event.port not in ports:
        what = "host port" if of_host else "port"
        hint = suggestion(event.port, ports, "ports are")
        raise ConfigError(f"there is no such {what}", key=key, value=event.port, hint=hint)
    return event.to_job()


def _qos_change(key: str, event: QosChange, topology: Topology) -> Json:
    node = topology.nodes.get(event.node)
    if node is None:
        hint = suggestion(event.node, topology.nodes, "nodes are")
        raise ConfigError("there is no such node", key=key, value=event.node, hint=hint)
    qos = event.qos or Qos()
    is_host = node.kind is NodeKind.HOST
    changes = qos.to_nic() if is_host else qos.to_switch(topology.rates_bps)
    changes = merge(changes, given(event.nic if is_host else event.switch))
    foreign = event.switch if is_host else event.nic
    if foreign is not None or not changes:
        raise ConfigError(f"nothing that a {node.kind} has changes", key=key, value=event.node)
    return {"kind": "qos", "at_ps": event.at, "node": event.node, ("nic" if is_host else "switch"): changes}
