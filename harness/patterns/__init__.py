"""Traffic patterns and collectives: who sends what to whom, one module each.

A module `harness/patterns/<name>.py` holds one class of that name in CamelCase; `load` finds it by name,
there is no list to edit. A pattern is a frozen model that files write as
`{pattern: incast, senders: 8, size: 20MB}` and Python as `Incast(8, size=20 * MB)`. It asks the topology for
its host ports and gives flows; the same topology and seed always give the same flows. `Traffic` holds the
fields all patterns share.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import field
from random import Random
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field

from harness.core.errors import ConfigError, suggestion
from harness.core.flow import MAX_FLOWS, MAX_MESSAGE_BYTES, Arrivals, Flow, Pattern, Transport, Verb
from harness.core.load import Load
from harness.core.units import Bytes, Dscp, Duration, Priority, Rate
from harness.core.validation import model
from harness.core.verbs import Reduce, VerbsOptions

if TYPE_CHECKING:
    from harness.core.topology import Topology

MessageSize = Annotated[Bytes, Field(ge=1, le=MAX_MESSAGE_BYTES)]
"""Bytes of one message: at least one, at most what a work request can carry."""


def _hosts(value: object) -> object:
    hint = "write a number such as 8, or a list such as [h1, h2]"
    if isinstance(value, bool) or not isinstance(value, int | list | tuple):
        raise ConfigError("neither a number of hosts nor a list of their names", value=value, hint=hint)
    if isinstance(value, int) and value < 1:
        raise ConfigError("at least one host is needed", value=value, hint=hint)
    return value


Hosts = Annotated[int | tuple[str, ...], BeforeValidator(_hosts)]
"""How many hosts, in the order of the topology, or which: `8` or `[h1, "h2:p1"]`."""


def names() -> list[str]:
    """Names of all patterns: the modules of this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> type[Pattern]:
    """The class of pattern `name`; raises ConfigError with the patterns that exist."""
    if name not in names():
        raise ConfigError(
            "unknown pattern", key="pattern", value=name, hint=suggestion(name, names(), "patterns are")
        )
    class_name = "".join(word.capitalize() for word in name.split("_"))
    found: type[Pattern] = getattr(importlib.import_module(f"{__name__}.{name}"), class_name)
    return found


@model
class Traffic:
    """What every pattern can say about its flows; all by keyword.

    `start` is when flows begin, `jitter` a uniform random extra of at most that much per flow. `rate` paces
    each QP in wire bits (0: line rate), `window` and `max_outstanding` bound what is in flight per QP (0: no
    bound). `dscp` None is that of the priority. `verbs` says how hosts make work requests of it, `load` how
    their native generator does. `name`
    starts the names of the flows; it is the pattern's own when empty.
    """

    verb: Verb = field(default=Verb.WRITE, kw_only=True)
    transport: Transport = field(default=Transport.RC, kw_only=True)
    priority: Priority = field(default=3, kw_only=True)
    dscp: Dscp | None = field(default=None, kw_only=True)
    ect: bool = field(default=True, kw_only=True)
    start: Duration = field(default=0, kw_only=True)
    jitter: Duration = field(default=0, kw_only=True)
    rate: Rate = field(default=0, kw_only=True)
    window: Bytes = field(default=0, kw_only=True)
    max_outstanding: int = field(default=0, kw_only=True)
    recv_depth: int = field(default=0, kw_only=True)
    recv_repost: Duration = field(default=0, kw_only=True)
    name: str = field(default="", kw_only=True)
    verbs: VerbsOptions | None = field(default=None, kw_only=True)
    load: Load | None = field(default=None, kw_only=True)

    @property
    def prefix(self) -> str:
        """Start of the names of this pattern's flows."""
        return self.name or type(self).__module__.rpartition(".")[2].replace("_", "-")

    def random(self, seed: int) -> Random:
        """A generator for this pattern alone, so that adding another pattern changes nothing here."""
        return Random(f"{seed}/{self.prefix}")  # a text seed is the same on every machine and run

    def flow(
        self, name: str, src: str, dst: str, size: int, draw: Random, *,
        start: int = 0, after: Sequence[str] = (), after_delay: int = 0, messages: int = 1, qps: int = 1,
        interval: int = 0, arrivals: Arrivals = Arrivals.FIXED, reduce: Reduce | None = None,
    ) -> Flow:  # fmt: skip
        """Make one flow with the shared fields; `start` ps are added to the pattern's own start."""
        return Flow(
            name=f"{self.prefix}-{name}", src=src, dst=dst, message_bytes=size, verb=self.verb,
            transport=self.transport, messages=messages, qps=qps, priority=self.priority, dscp=self.dscp,
            ect=self.ect,
            start_ps=self.start + start + (draw.randint(0, self.jitter) if self.jitter else 0),
            after=tuple(f"{self.prefix}-{other}" for other in after), after_delay_ps=after_delay,
            rate_bps=self.rate, window_bytes=self.window, max_outstanding=self.max_outstanding,
            message_interval_ps=interval, arrivals=arrivals, recv_depth=self.recv_depth,
            recv_repost_ps=self.recv_repost, verbs=self.verbs, reduce=reduce, load=self.load,
        )  # fmt: skip


@model
class Messages(Traffic):
    """Traffic of repeated messages: each of `qps` QPs sends `messages` (0: until the end) of a size.

    Messages are posted `interval` apart (0: back to back), or `arrivals: poisson` with that mean.
    """

    messages: Annotated[int, Field(ge=0)] = field(default=1, kw_only=True)
    qps: Annotated[int, Field(ge=1)] = field(default=1, kw_only=True)
    interval: Duration = field(default=0, kw_only=True)
    arrivals: Arrivals = field(default=Arrivals.FIXED, kw_only=True)

    def repeat(
        self, name: str, src: str, dst: str, size: int, draw: Random, *, after: Sequence[str] = ()
    ) -> Flow:
        """Make one flow that repeats its messages."""
        return self.flow(
            name, src, dst, size, draw, after=after, messages=self.messages, qps=self.qps,
            interval=self.interval, arrivals=self.arrivals,
        )  # fmt: skip


def host_of(port: str) -> str:
    """The host of a host port: `h1` of `h1:p0`."""
    return port.partition(":")[0]


def host_port(topology: Topology, name: str, *, key: str) -> str:
    """The host port called `name`, or the first of host `name`; raises ConfigError for `key` otherwise."""
    for port in topology.host_ports:
        if name in {port, host_of(port)}:
            return port
    raise ConfigError("no such host", key=key, value=name, hint=suggestion(name, topology.hosts, "hosts are"))


def choose(
    topology: Topology, hosts: Hosts | None, *, key: str, without: str | None = None, least: int = 1
) -> list[str]:
    """Host ports for a field that counts or names hosts; None means all.

    Ports of the host of `without` are left out. Raises ConfigError when the topology has too few, a name
    does not exist or is given twice, or fewer than `least` remain.
    """
    free = [port for port in topology.host_ports if without is None or host_of(port) != host_of(without)]
    if isinstance(hosts, tuple):
        chosen = [host_port(topology, name, key=key) for name in hosts]
        _check_named(chosen, hosts, free, key)
    else:
        chosen = free if hosts is None else free[:hosts]
        if hosts is not None and hosts > len(free):
            hint = f"topology {topology.name} has {len(free)} to choose from"
            raise ConfigError("not enough host ports", key=key, value=hosts, hint=hint)
    if len(chosen) < least:
        raise ConfigError(f"needs at least {least} host ports", key=key, value=len(chosen))
    return chosen


def one_to_many(
    topology: Topology, one: str | None, many: Hosts, *, keys: tuple[str, str], default: int
) -> tuple[str, list[str]]:
    """The host port of field `keys[0]` and those of `keys[1]`; None is the port at index `default`."""
    single = host_port(topology, topology.host_ports[default] if one is None else one, key=keys[0])
    return single, choose(topology, many, key=keys[1], without=single)


def check_flow_count(count: int, *, key: str, value: object) -> None:
    """Refuse more flows than a job can hold, before any is made."""
    if count > MAX_FLOWS:
        raise ConfigError(f"{count} flows are more than the {MAX_FLOWS} of a job", key=key, value=value)


def _check_named(chosen: Sequence[str], hosts: Sequence[str], free: Sequence[str], key: str) -> None:
    for index, port in enumerate(chosen):
        if port in chosen[:index]:
            raise ConfigError("a host is named twice", key=key, value=hosts[index])
        if port not in free:
            raise ConfigError("a host would send to itself", key=key, value=hosts[index])
