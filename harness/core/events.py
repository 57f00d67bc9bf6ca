"""What happens to a fabric during a run, at set times. Times are ps since the start of the run.

In a file an event is one mapping whose kind is a key: `{at: 5ms, link_down: "sw1:e2"}`,
`{at: 1ms, pause_storm: "h2:p0", priorities: [3], duration: 2ms}`.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainSerializer, TypeAdapter, ValidationInfo, model_validator

from harness.core.blocks import Json, NicBlock, SwitchBlock, given
from harness.core.errors import ConfigError, suggestion
from harness.core.qos import Qos
from harness.core.units import Duration, Fraction, LinkSpeed, Priorities, Rate
from harness.core.validation import model

Quanta = Annotated[int, Field(ge=1, le=65535, strict=True)]
Index = Annotated[int, Field(ge=0, le=2**40, strict=True)]
_BLOCK = PlainSerializer(given)


@model
class LinkDown:
    """The link at a port (either end) stops carrying anything."""

    kind: ClassVar[str] = "link_down"
    target: ClassVar[str] = "port"

    at: Duration
    port: str

    def to_job(self) -> Json:
        """Return the event as docs/job-format.md writes it."""
        return {"kind": self.kind, "at_ps": self.at, "port": self.port}


@model
class LinkUp:
    """The link at a port carries frames again."""

    kind: ClassVar[str] = "link_up"
    target: ClassVar[str] = "port"

    at: Duration
    port: str

    def to_job(self) -> Json:
        """Return the event as docs/job-format.md writes it."""
        return {"kind": self.kind, "at_ps": self.at, "port": self.port}


@model
class LinkRate:
    """The link at a port changes its speed."""

    kind: ClassVar[str] = "link_rate"
    target: ClassVar[str] = "port"

    at: Duration
    port: str
    rate: LinkSpeed

    def to_job(self) -> Json:
        """Return the event as docs/job-format.md writes it."""
        return {"kind": self.kind, "at_ps": self.at, "port": self.port, "rate_bps": self.rate}


@model
class PauseStorm:
    """A host sends pause frames whatever its buffers say.

    `interval` None sends them gapless (half the quanta time).
    """

    kind: ClassVar[str] = "pause_storm"
    target: ClassVar[str] = "port"

    at: Duration
    port: str
    priorities: Priorities
    duration: Duration
    quanta: Quanta = 65535
    interval: Duration | None = None

    def to_job(self) -> Json:
        """Return the event as docs/job-format.md writes it."""
        return {
            "kind": self.kind,
            "at_ps": self.at,
            "port": self.port,
            "priorities": sorted(self.priorities),
            "duration_ps": self.duration,
            "quanta": self.quanta,
            "interval_ps": self.interval,
        }


@model
class DrainRate:
    """A host takes in data at this rate from now on; 0 is full speed."""

    kind: ClassVar[str] = "drain_rate"
    target: ClassVar[str] = "port"

    at: Duration
    port: str
    rate: Rate

    def to_job(self) -> Json:
        """Return the event as docs/job-format.md writes it."""
        return {"kind": self.kind, "at_ps": self.at, "port": self.port, "rate_bps": self.rate}


@model
class Impair:
    """Something is done to data packets of a flow.

    It is done to those in `packets` (0-based, PSN order) or to a random `fraction`.

    `iteration` is the n-th transmission of a packet; `delay` belongs to action "delay"; `qp` is the QP
    within the flow.
    """

    kind: ClassVar[str] = "impair"
    target: ClassVar[str] = "flow"

    at: Duration
    flow: str
    action: Literal["drop", "corrupt", "mark", "delay", "duplicate"]
    packets: tuple[Index, ...] = ()
    fraction: Fraction | None = None
    iteration: Annotated[int, Field(ge=1, strict=True)] = 1
    delay: Duration | None = None
    qp: Index = 0

    @model_validator(mode="after")
    def _complete(self) -> Impair:
        if bool(self.packets) == (self.fraction is not None):
            raise ConfigError(
                "either packets or fraction", key="packets", hint="packets: [0, 5] or fraction: 1%"
            )
        if (self.action == "delay") != (self.delay is not None):
            raise ConfigError("action 'delay' and the key 'delay' go together", key="delay")
        return self

    def to_job(self) -> Json:
        """Return the event as docs/job-format.md writes it."""
        job: Json = {
            "kind": self.kind, "at_ps": self.at, "flow": self.flow, "action": self.action, "qp": self.qp
        }  # fmt: skip
        if self.packets:
            job.update(packets=list(self.packets), iteration=self.iteration)
        else:
            job["fraction"] = self.fraction
        return job if self.delay is None else {**job, "delay_ps": self.delay}


@model
class QosChange:
    """QoS of one node changes: `qos` as in a scenario, or the raw blocks `nic` or `switch`."""

    kind: ClassVar[str] = "qos_change"
    target: ClassVar[str] = "node"

    at: Duration
    node: str
    qos: Qos | None = None
    nic: Annotated[NicBlock | None, _BLOCK] = None
    switch: Annotated[SwitchBlock | None, _BLOCK] = None

    @model_validator(mode="after")
    def _changes(self) -> QosChange:
        if self.qos is None and self.nic is None and self.switch is None:
            raise ConfigError("nothing changes", key="qos", hint="give qos, nic or switch")
        return self


@model
class HostDown:
    """A host loses power; it is started again after the run."""

    kind: ClassVar[str] = "host_down"
    target: ClassVar[str] = "host"

    at: Duration
    host: str

    def to_job(self) -> Json:
        """Return the event as docs/job-format.md writes it."""
        return {"kind": self.kind, "at_ps": self.at, "host": self.host}


Event = LinkDown | LinkUp | LinkRate | PauseStorm | DrainRate | Impair | QosChange | HostDown
EVENTS: dict[str, type[Event]] = {
    kind.kind: kind
    for kind in (LinkDown, LinkUp, LinkRate, PauseStorm, DrainRate, Impair, QosChange, HostDown)
}


def event_from(value: object, info: ValidationInfo) -> Event:
    """Build an event of a file's mapping; an event passes through.

    Raise ConfigError when the kind is unknown.
    """
    if isinstance(value, Event):
        return value
    if not isinstance(value, dict):
        raise ConfigError("expected an event such as {at: 5ms, link_down: 'sw1:e2'}", value=value)
    kinds = [key for key in value if key in EVENTS]
    if len(kinds) != 1:
        unknown = next((key for key in value if key != "at"), "")
        raise ConfigError(
            "an event has one kind" if kinds else "the kind of the event is missing",
            hint=suggestion("" if kinds else unknown, EVENTS, "kinds are"),
        )
    kind = EVENTS[kinds[0]]
    fields = {key: item for key, item in value.items() if key != kind.kind}
    if kind.target in fields:
        raise ConfigError(f"unknown key {kind.target!r}", key=kind.target, hint=f"{kind.kind} names it")
    built: Event = _adapter(kind).validate_python(
        {**fields, kind.target: value[kind.kind]}, context=info.context
    )
    return built


def event_to_fields(event: Event) -> dict[str, Any]:
    """Return the mapping that `event_from` reads."""
    fields = _adapter(type(event)).dump_python(event, mode="json", exclude_defaults=True)
    return {"at": fields.pop("at"), event.kind: fields.pop(event.target), **fields}


def _adapter(kind: type[Event]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def event_keys(kind: type[Event]) -> list[str]:
    """Return the keys of an event in files."""
    names = [field.name for field in dataclasses.fields(kind)]
    return [kind.kind if name == kind.target else name for name in names]
