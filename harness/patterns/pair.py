"""One host sends to one other."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from harness.core.errors import ConfigError
from harness.core.flow import Flow
from harness.core.validation import model
from harness.patterns import Messages, MessageSize, choose, host_port

if TYPE_CHECKING:
    from harness.core.topology import Topology


@model
class Pair(Messages):
    """`src` (default: the first host) sends to `dst` (default: the last); `both_ways` adds the reverse."""

    size: MessageSize
    src: str | None = None
    dst: str | None = None
    both_ways: bool = field(default=False, kw_only=True)

    def flow_count(self, topology: Topology) -> int:
        """Number of flows: one, or two when both ways."""
        return len(self._ends(topology))

    def flows(self, topology: Topology, seed: int) -> list[Flow]:
        """The flow `pair-0`, and `pair-1` back; raises ConfigError for a host that does not exist."""
        draw = self.random(seed)
        return [self.repeat(str(i), *end, self.size, draw) for i, end in enumerate(self._ends(topology))]

    def _ends(self, topology: Topology) -> list[tuple[str, str]]:
        ports = choose(topology, None, key="src", least=2)
        src = ports[0] if self.src is None else host_port(topology, self.src, key="src")
        dst = ports[-1] if self.dst is None else host_port(topology, self.dst, key="dst")
        if src == dst:
            raise ConfigError("a host would send to itself", key="dst", value=dst)
        return [(src, dst), (dst, src)] if self.both_ways else [(src, dst)]
