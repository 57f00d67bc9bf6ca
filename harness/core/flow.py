"""Who sends what to whom: one flow, and the seam to everything that makes flows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol, TypeVar

from pydantic import BeforeValidator, TypeAdapter

from harness.core.errors import ConfigError, suggestion
from harness.core.load import Load, check_load
from harness.core.units import Bps, ByteCount, Picoseconds
from harness.core.validation import refuse_unknown_keys
from harness.core.verbs import Reduce, VerbsOptions

if TYPE_CHECKING:
    from harness.core.topology import Topology

MAX_FLOWS = 1_000_000
"""Most flows of one job: that of roce-sim (`JOB_MAX_FLOWS`)."""

MAX_MESSAGE_BYTES = 2**31
"""Longest message of an RDMA work request (InfiniBand Architecture 1.x, 9.7.7)."""


class Verb(StrEnum):
    """What is posted."""

    WRITE = "write"
    READ = "read"
    SEND = "send"
    ATOMIC = "atomic"
    WRITE_IMM = "write_imm"
    SEND_IMM = "send_imm"
    COMPARE_SWAP = "compare_swap"
    FETCH_ADD = "fetch_add"


MODELLED_VERBS = frozenset({Verb.WRITE, Verb.READ, Verb.SEND, Verb.ATOMIC})
"""What the simulator knows; the others need hosts. An `atomic` is a fetch-and-add there."""

ATOMICS = frozenset({Verb.ATOMIC, Verb.COMPARE_SWAP, Verb.FETCH_ADD})


class Transport(StrEnum):
    """Service of the queue pair: reliable, unreliable, datagram, or reliable with shared receives (XRC)."""

    RC = "rc"
    UC = "uc"
    UD = "ud"
    XRC = "xrc"


class Arrivals(StrEnum):
    """How messages with an interval are spaced."""

    FIXED = "fixed"
    POISSON = "poisson"


_VERBS_OF = {
    Transport.RC: frozenset(Verb),
    Transport.XRC: frozenset(Verb),
    Transport.UC: frozenset({Verb.WRITE, Verb.SEND, Verb.WRITE_IMM, Verb.SEND_IMM}),
    Transport.UD: frozenset({Verb.SEND, Verb.SEND_IMM}),
}

_RANGES: dict[str, tuple[int, int]] = {
    "message_bytes": (1, MAX_MESSAGE_BYTES),
    "messages": (0, 2**40),
    "qps": (1, 2_000_000),
    "priority": (0, 7),
    "start_ps": (0, 2**63 - 1),
    "after_delay_ps": (0, 2**63 - 1),
    "rate_bps": (0, 2**63 - 1),
    "window_bytes": (0, 2**63 - 1),
    "max_outstanding": (0, 2**31 - 1),
    "message_interval_ps": (0, 2**63 - 1),
    "recv_depth": (0, 2**31 - 1),
    "recv_repost_ps": (0, 2**63 - 1),
}
_RANGES_OR_NONE: dict[str, tuple[int, int]] = {
    "flow_label": (0, 2**20 - 1),
    "udp_sport": (0, 2**16 - 1),
    "dscp": (0, 63),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Messages from one host port to another; the fields are those of docs/job-format.md, in its base units.

    `verbs` and `reduce` are for hosts alone, `load` for hosts with the native generator. `dscp`
    None is that of the priority.

    `messages` 0 sends until the end of the scenario. `after` names flows that must be complete at this
    flow's source first. `rate_bps` 0 is line rate; `window_bytes`, `max_outstanding` and
    `message_interval_ps` 0 set no bound.

    Raises:
        ConfigError: a value out of its range, a flow to itself, or a verb that the transport does not have.
    """

    name: str
    src: str
    dst: str
    message_bytes: ByteCount
    verb: Verb = Verb.WRITE
    transport: Transport = Transport.RC
    messages: int = 1
    qps: int = 1
    priority: int = 3
    ect: bool = True
    start_ps: Picoseconds = 0
    after: tuple[str, ...] = ()
    after_delay_ps: Picoseconds = 0
    rate_bps: Bps = 0
    window_bytes: ByteCount = 0
    max_outstanding: int = 0
    message_interval_ps: Picoseconds = 0
    arrivals: Arrivals = Arrivals.FIXED
    flow_label: int | None = None
    udp_sport: int | None = None
    dscp: int | None = None
    recv_depth: int = 0
    recv_repost_ps: Picoseconds = 0
    verbs: VerbsOptions | None = None
    reduce: Reduce | None = None
    load: Load | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "verb", _member(Verb, self.verb, "verb"))
        object.__setattr__(self, "transport", _member(Transport, self.transport, "transport"))
        object.__setattr__(self, "arrivals", _member(Arrivals, self.arrivals, "arrivals"))
        if self.src == self.dst:
            raise ConfigError(
                f"flow {self.name!r} goes from {self.src!r} to itself", key="dst", value=self.dst
            )
        for key, bounds in _RANGES.items():
            _check_range(self.name, key, getattr(self, key), bounds)
        for key, bounds in _RANGES_OR_NONE.items():
            if getattr(self, key) is not None:
                _check_range(self.name, key, getattr(self, key), bounds)
        self._check_verb()
        atomic = self.verb in ATOMICS
        check_load(self, atomic=atomic, fetches=atomic or self.verb is Verb.READ)

    def _check_verb(self) -> None:
        if self.verb not in _VERBS_OF[self.transport]:
            verbs = sorted(verb.value for verb in _VERBS_OF[self.transport])
            raise ConfigError(
                f"flow {self.name!r}: transport {self.transport.value} has no {self.verb.value}",
                key="verb",
                hint=f"it has {', '.join(verbs)}",
            )
        if self.verb in ATOMICS and self.message_bytes != 8:
            raise ConfigError(
                f"flow {self.name!r}: an atomic is 8 bytes", key="message_bytes", value=self.message_bytes
            )

    def to_job(self) -> dict[str, object]:
        """Return the flow as docs/job-format.md writes it.

        Every key is present but four, which are there only when given: `dscp`, and `verbs`, `reduce` and `load`,
        which only hosts know.
        """
        skipped = (*HOST_KEYS, *(("dscp",) if self.dscp is None else ()))
        job: dict[str, object] = {key: getattr(self, key) for key in FLOW_KEYS if key not in skipped}
        job.update(verb=self.verb.value, transport=self.transport.value, arrivals=self.arrivals.value)
        job["after"] = list(self.after)
        for key in HOST_KEYS:
            options = getattr(self, key)
            if options is not None:
                job[key] = _plain(dataclasses.asdict(options))
        return job


def _plain(value: object) -> object:
    """Return what JSON would give back: lists for tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


HOST_KEYS = ("verbs", "reduce", "load")
"""Keys of a flow that only hosts know."""

E = TypeVar("E", bound=Enum)

FLOW_KEYS: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Flow))


def _member(kind: type[E], value: object, key: str) -> E:
    try:
        return kind(value)
    except ValueError:
        choices = [member.value for member in kind]
        raise ConfigError(
            f"unknown {key}", key=key, value=value, hint=suggestion(value, choices, "there are")
        ) from None


def _check_range(flow: str, key: str, value: object, bounds: tuple[int, int]) -> None:
    low, high = bounds
    if type(value) is not int:
        raise ConfigError(f"flow {flow!r}: not a whole number", key=key, value=value)
    if not low <= value <= high:
        raise ConfigError(f"flow {flow!r}: out of range", key=key, value=value, hint=f"{low} to {high}")


class Pattern(Protocol):
    """Whatever makes flows: one class a module in `harness.patterns`, a frozen dataclass or pydantic model.

    The same topology and seed always give the same flows; names are unique within the pattern. A pattern
    whose number of flows can explode offers `flow_count(topology) -> int` as well, which is asked before
    anything is expanded.
    """

    def flows(self, topology: Topology, seed: int) -> Sequence[Flow] | Iterable[Flow]:
        """Return the flows on this topology; raise ConfigError when it is too small for the pattern."""
        ...


def _known_keys(value: object) -> object:
    if isinstance(value, dict):
        refuse_unknown_keys(value, FLOW_KEYS)
    return value


class Flows:
    """A pattern of flows listed one by one: `{pattern: flows, flows: [{name: f1, src: "h1:p0", …}]}`.

    Not a dataclass: its one field has the name of the method that every pattern has.
    """

    pattern_name: ClassVar[str] = "flows"

    __slots__ = ("items",)

    def __init__(self, items: Sequence[Flow]) -> None:
        self.items = tuple(items)
        if not self.items:
            raise ConfigError("the list of flows is empty", key="flows")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Flows) and self.items == other.items

    def __hash__(self) -> int:
        return hash(self.items)

    def __repr__(self) -> str:
        return f"Flows({list(self.items)!r})"

    def flow_count(self, topology: Topology) -> int:  # noqa: ARG002 - the seam of all patterns
        """Return the number of flows."""
        return len(self.items)

    def flows(self, topology: Topology, seed: int) -> Sequence[Flow]:  # noqa: ARG002 - as above
        """Return the listed flows."""
        return self.items

    @classmethod
    def from_fields(cls, fields: dict[str, object], context: dict[str, object] | None) -> Flows:
        """Build it from a mapping of a file.

        Raise pydantic's ValidationError with the place of what is wrong.
        """
        refuse_unknown_keys(fields, ["pattern", "flows"])
        wanted = {key: value for key, value in fields.items() if key != "pattern"}
        return cls(_FLOW_LISTS.validate_python(wanted, context=context).flows)

    def to_fields(self) -> dict[str, object]:
        """Return what `from_fields` reads: of each flow the keys that are not at their default."""
        return {"flows": [_flow_fields(flow) for flow in self.items]}


@dataclass(frozen=True, slots=True)
class _FlowList:
    flows: list[Annotated[Flow, BeforeValidator(_known_keys)]]


_FLOW_LISTS: TypeAdapter[_FlowList] = TypeAdapter(_FlowList)
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Flow)}


def _flow_fields(flow: Flow) -> dict[str, object]:
    job = flow.to_job()
    return {key: value for key, value in job.items() if getattr(flow, key) != _DEFAULTS[key]}
