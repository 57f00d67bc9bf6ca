"""Everything done to a fabric in one run: traffic, QoS, timed events, how long, and what is sampled.

A scenario is data. Suites build it in Python; `roce run` reads it from YAML (design.md, section 4) with the
same keys. The raw blocks `wire`, `time`, `nic` and `switch` hold keys of docs/job-format.md and win over
`qos`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator, TypeAdapter, ValidationInfo, model_validator

from harness.core.blocks import NicBlock, SwitchBlock, TimeBlock, WireBlock, given
from harness.core.errors import ConfigError
from harness.core.events import EVENTS, Event, event_from, event_keys, event_to_fields
from harness.core.flow import Pattern
from harness.core.pattern_files import pattern_from, pattern_to_fields
from harness.core.qos import Qos
from harness.core.topology import Topology
from harness.core.units import US, Duration
from harness.core.validation import model
from harness.core.yamlio import Document, dump_yaml, load_yaml, validate

DEFAULT_LIMIT = 10_000_000_000_000
"""10 s in ps: when a run until done is given up."""

MAX_SAMPLES = 50_000_000
"""Most samples of one run; at 8 bytes a column more would fill a disk."""

_PATTERNS: TypeAdapter[list[Pattern]] = TypeAdapter(list[Annotated[Any, PlainValidator(pattern_from)]])
_EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[Annotated[Any, PlainValidator(event_from)]])
_TOPOLOGY: TypeAdapter[Topology] = TypeAdapter(Topology)


def _traffic(value: object, info: ValidationInfo) -> tuple[Pattern, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        raise ConfigError("there is no traffic", hint="list at least one pattern")
    return tuple(_PATTERNS.validate_python(list(items), context=info.context))


def _events(value: object, info: ValidationInfo) -> tuple[Event, ...]:
    items = list(value) if isinstance(value, tuple) else value
    return tuple(_EVENTS.validate_python(items, context=info.context))


def _topology(value: object, info: ValidationInfo) -> Topology | str | None:
    if value is None or isinstance(value, Topology | str):
        return value
    if not isinstance(value, dict):
        raise ConfigError("expected the name of a topology, or a mapping of nodes and links", value=value)
    return _TOPOLOGY.validate_python(value, context=info.context)


def _dump_topology(value: Topology | str | None) -> object:
    if not isinstance(value, Topology):
        return value
    return _TOPOLOGY.dump_python(value, mode="json", exclude_defaults=True)


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ConfigError("not a list of flow names", value=value)
    return tuple(value)


_BLOCK = PlainSerializer(given)

Traffic = Annotated[
    Sequence[Pattern] | Pattern,
    PlainValidator(_traffic, json_schema_input_type=list[dict[str, Any]]),
    PlainSerializer(lambda patterns: [pattern_to_fields(pattern) for pattern in patterns]),
]
Events = Annotated[
    Sequence[Event],
    PlainValidator(_events, json_schema_input_type=list[dict[str, Any]]),
    PlainSerializer(lambda events: [event_to_fields(event) for event in events]),
]
TopologyRef = Annotated[
    Topology | str | None,
    PlainValidator(_topology, json_schema_input_type=str | dict[str, Any] | None),
    PlainSerializer(_dump_topology),
]
FlowNames = Annotated[
    Sequence[str], PlainValidator(_names, json_schema_input_type=list[str]), PlainSerializer(list)
]


@model
class Scenario:
    """One run. `traffic` is one pattern or several; `until` is "done" (all flows complete) or "duration".

    Giving `duration` alone runs for that long; with `until="done"` it is the limit (10 s unless given), and
    flows that are not complete then make the result invalid. `drain` lets packets in flight arrive after
    `duration`. `sample_every` 0 records no series. `may_fail` names flows (a trailing `*` stands for the
    rest) whose failure is expected. `topology` and `seed` are those of a scenario file; a fabric that is
    already reserved has its own.

    Raises:
        ConfigError: a value that is wrong in itself; what depends on the topology is checked by
        `compile_job`.
    """

    traffic: Traffic
    qos: Qos = dataclasses.field(default_factory=Qos, kw_only=True)
    events: Events = dataclasses.field(default=(), kw_only=True)
    until: Literal["done", "duration"] | None = dataclasses.field(default=None, kw_only=True)
    duration: Duration | None = dataclasses.field(default=None, kw_only=True)
    drain: Duration = dataclasses.field(default=0, kw_only=True)
    sample_every: Duration = dataclasses.field(default=10 * US, kw_only=True)
    may_fail: FlowNames = dataclasses.field(default=(), kw_only=True)
    name: str = dataclasses.field(default="", kw_only=True)
    topology: TopologyRef = dataclasses.field(default=None, kw_only=True)
    seed: int | None = dataclasses.field(default=None, kw_only=True)
    wire: Annotated[WireBlock | None, _BLOCK] = dataclasses.field(default=None, kw_only=True)
    time: Annotated[TimeBlock | None, _BLOCK] = dataclasses.field(default=None, kw_only=True)
    nic: Annotated[NicBlock | None, _BLOCK] = dataclasses.field(default=None, kw_only=True)
    switch: Annotated[SwitchBlock | None, _BLOCK] = dataclasses.field(default=None, kw_only=True)

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        if self.until == "duration" and self.duration is None:
            raise ConfigError(
                "until duration, but there is no duration", key="duration", hint="duration: 20ms"
            )
        if self.duration == 0:
            raise ConfigError("a duration is above zero", key="duration", value=0)
        if self.drain and not self.ends_by_duration:
            raise ConfigError("drain belongs to until: duration", key="drain", value=self.drain)
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise ConfigError("a seed is from 0 to 2^63-1", key="seed", value=self.seed)
        if self.ends_by_duration and self.sample_every and self.limit_ps // self.sample_every > MAX_SAMPLES:
            raise ConfigError(
                "too many samples", key="sample_every", hint=f"at most {MAX_SAMPLES} in duration"
            )
        return self

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The traffic as a tuple."""
        return tuple(self.traffic) if isinstance(self.traffic, Sequence) else (self.traffic,)

    @property
    def ends_by_duration(self) -> bool:
        """Whether the run lasts for a set time, rather than until all flows are complete."""
        return self.until == "duration" or (self.until is None and self.duration is not None)

    @property
    def limit_ps(self) -> int:
        """When the run ends at the latest, in ps."""
        return DEFAULT_LIMIT if self.duration is None else self.duration

    @classmethod
    def load(cls, path: str | Path) -> Scenario:
        """Read a scenario file; raise ConfigError with file, line and key when it is wrong."""
        return cls.from_document(load_yaml(path))

    @classmethod
    def from_document(cls, document: Document) -> Scenario:
        """Build a scenario from a file that was read."""
        return validate(document, cls)

    def to_fields(self) -> dict[str, Any]:
        """Return plain data that a scenario file holds; keys at their default are left out."""
        fields: dict[str, Any] = _adapter().dump_python(self, mode="json", exclude_defaults=True)
        order = ("name", "topology", "seed", "until", "duration", "drain", "sample_every", "may_fail", "qos")
        return {key: fields.pop(key) for key in order if key in fields} | fields

    def dump(self) -> str:
        """Return the scenario as YAML; reading it gives an equal scenario."""
        return dump_yaml(self.to_fields())

    def resolved_topology(self) -> Topology:
        """Return the topology of the file, loaded when it is a name; raise ConfigError when there is none."""
        if self.topology is None:
            raise ConfigError("which topology?", key="topology", hint="topology: star-9")
        return Topology.load(self.topology) if isinstance(self.topology, str) else self.topology

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of scenario files."""
        schema = _adapter().json_schema()
        events = [
            {"type": "object", "required": ["at", kind], "properties": {key: {} for key in event_keys(each)}}
            for kind, each in EVENTS.items()
        ]
        schema["properties"]["events"] = {"type": "array", "items": {"anyOf": events}}
        pattern = {"type": "object", "properties": {"pattern": {"type": "string"}}, "required": ["pattern"]}
        schema["properties"]["traffic"] = {"type": "array", "items": pattern, "minItems": 1}
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Scenario", **schema}


def _adapter() -> TypeAdapter[Scenario]:
    return TypeAdapter(Scenario)
