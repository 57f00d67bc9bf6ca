"""Regular topologies from a few numbers.

Hosts are `h1`…, their ports `p0`; switches are `leaf1`…, `spine1`… or `sw1`…, their ports `e1`….
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from harness.core.errors import ConfigError, suggestion
from harness.core.units import GBPS, US, Bytes, Duration, LinkSpeed
from harness.core.validation import config_error, model

MAX_HOSTS = 32_768
"""Most hosts of a generated shape; with their switches they stay below the nodes of one job."""

MAX_SWITCHES = 4_096
"""Most switches of one tier of a generated shape; also the most ports of one switch."""

Hosts = Annotated[int, Field(ge=1, le=MAX_HOSTS, strict=True)]
Switches = Annotated[int, Field(ge=1, le=MAX_SWITCHES, strict=True)]


@dataclass(frozen=True, slots=True)
class Wire:
    """One link to be: two ports, bit/s, ps."""

    endpoints: tuple[str, str]
    rate: int
    delay: int


@dataclass(slots=True)
class Shape:
    """What a generator makes: names of nodes, wires, and the buffer of the switches in bytes."""

    buffer: int | None
    hosts: list[str] = field(default_factory=list)
    switches: list[str] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    _ports: dict[str, Iterator[int]] = field(default_factory=dict)

    def switch(self, name: str) -> str:
        """Add a switch."""
        self.switches.append(name)
        self._ports[name] = iter(range(1, MAX_SWITCHES + 1))
        return name

    def host(self, switch: str, rate: int, delay: int) -> None:
        """Add the next host and wire it to a switch."""
        name = f"h{len(self.hosts) + 1}"
        self.hosts.append(name)
        self.wires.append(Wire((f"{name}:p0", self._next(switch)), rate, delay))

    def trunk(self, a: str, b: str, rate: int, delay: int) -> None:
        """Wire two switches."""
        self.wires.append(Wire((self._next(a), self._next(b)), rate, delay))

    def _next(self, switch: str) -> str:
        port = next(self._ports[switch], None)
        if port is None:
            raise ConfigError(f"switch {switch!r} has more than {MAX_SWITCHES} ports")
        return f"{switch}:e{port}"

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema of `generate`."""
        kinds = {name: TypeAdapter(kind).json_schema() for name, kind in GENERATORS.items()}
        return {"type": "object", "properties": kinds, "minProperties": 1, "maxProperties": 1}


@model
class LeafSpine:
    """Two tiers: every leaf has a link to every spine. `host_delay` and `fabric_delay` default to `delay`."""

    leaves: Switches
    spines: Switches
    hosts_per_leaf: Hosts
    host_rate: LinkSpeed = 100 * GBPS
    fabric_rate: LinkSpeed = 100 * GBPS
    delay: Duration = US
    host_delay: Duration | None = None
    fabric_delay: Duration | None = None
    buffer: Bytes | None = None

    def shape(self) -> Shape:
        """Return the nodes and wires; on a leaf the ports to hosts come first."""
        _check_hosts(self.leaves * self.hosts_per_leaf, "leaves * hosts_per_leaf")
        shape = Shape(self.buffer)
        leaves = [shape.switch(f"leaf{index + 1}") for index in range(self.leaves)]
        spines = [shape.switch(f"spine{index + 1}") for index in range(self.spines)]
        for leaf in leaves:
            for _ in range(self.hosts_per_leaf):
                shape.host(leaf, self.host_rate, self.delay if self.host_delay is None else self.host_delay)
        for leaf in leaves:
            for spine in spines:
                fabric_delay = self.delay if self.fabric_delay is None else self.fabric_delay
                shape.trunk(leaf, spine, self.fabric_rate, fabric_delay)
        return shape


@model
class Star:
    """All hosts on one switch."""

    hosts: Hosts
    rate: LinkSpeed = 100 * GBPS
    delay: Duration = US
    buffer: Bytes | None = None

    def shape(self) -> Shape:
        """Return the nodes and wires: host n is on port n."""
        shape = Shape(self.buffer)
        switch = shape.switch("sw1")
        for _ in range(self.hosts):
            shape.host(switch, self.rate, self.delay)
        return shape


@model
class Dumbbell:
    """Two switches with hosts on each and one trunk between them; `left` hosts come first."""

    left: Hosts
    right: Hosts
    host_rate: LinkSpeed = 100 * GBPS
    trunk_rate: LinkSpeed = 100 * GBPS
    delay: Duration = US
    buffer: Bytes | None = None

    def shape(self) -> Shape:
        """Return the nodes and wires; the trunk is the last port of both switches."""
        _check_hosts(self.left + self.right, "left + right")
        shape = Shape(self.buffer)
        left, right = shape.switch("sw1"), shape.switch("sw2")
        for side, count in ((left, self.left), (right, self.right)):
            for _ in range(count):
                shape.host(side, self.host_rate, self.delay)
        shape.trunk(left, right, self.trunk_rate, self.delay)
        return shape


@model
class Ring:
    """Switches in a circle, hosts on each: the shape in which pauses can wait for each other."""

    switches: Annotated[int, Field(ge=3, le=MAX_SWITCHES, strict=True)]
    hosts_per_switch: Hosts = 1
    host_rate: LinkSpeed = 100 * GBPS
    ring_rate: LinkSpeed = 100 * GBPS
    delay: Duration = US
    buffer: Bytes | None = None

    def shape(self) -> Shape:
        """Return the nodes and wires; switch n is linked to switch n + 1."""
        _check_hosts(self.switches * self.hosts_per_switch, "switches * hosts_per_switch")
        shape = Shape(self.buffer)
        names = [shape.switch(f"sw{index + 1}") for index in range(self.switches)]
        for name in names:
            for _ in range(self.hosts_per_switch):
                shape.host(name, self.host_rate, self.delay)
        for a, b in zip(names, [*names[1:], names[0]], strict=True):
            shape.trunk(a, b, self.ring_rate, self.delay)
        return shape


Generator = LeafSpine | Star | Dumbbell | Ring
GENERATORS: dict[str, type[Generator]] = {
    "leaf_spine": LeafSpine,
    "star": Star,
    "dumbbell": Dumbbell,
    "ring": Ring,
}


def generate(spec: object, context: Any = None) -> Shape:
    """Make the shape of `{leaf_spine: {…}}`; `context` is pydantic's, for units in files."""
    if not isinstance(spec, dict) or len(spec) != 1:
        raise ConfigError(
            "one shape is expected", key="generate", hint=suggestion("", GENERATORS, "shapes are")
        )
    name, numbers = next(iter(spec.items()))
    if name not in GENERATORS:
        raise ConfigError(
            f"there is no shape {name!r}", key="generate", hint=suggestion(name, GENERATORS, "shapes are")
        )
    try:
        return TypeAdapter(GENERATORS[name]).validate_python(numbers, context=context).shape()
    except ValidationError as error:
        raise config_error(error, root=f"generate.{name}") from None


def _check_hosts(count: int, key: str) -> None:
    if count > MAX_HOSTS:
        raise ConfigError(f"too many hosts: {key} is {count}", key="generate", hint=f"at most {MAX_HOSTS}")
