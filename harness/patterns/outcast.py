"""One host sends to many: the sender's link is shared by their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.flow import Flow
from harness.core.validation import model
from harness.patterns import Hosts, Messages, MessageSize, one_to_many

if TYPE_CHECKING:
    from harness.core.topology import Topology


@model
class Outcast(Messages):
    """`sender` (default: the first host) sends `size` to each of `receivers` (a number, or host names)."""

    receivers: Hosts
    size: MessageSize
    sender: str | None = None

    def flow_count(self, topology: Topology) -> int:
        """Number of flows: one a receiver."""
        return len(self._ends(topology)[1])

    def flows(self, topology: Topology, seed: int) -> list[Flow]:
        """Flows `outcast-0` … in the order of receivers; raises ConfigError when there are too few hosts."""
        sender, receivers = self._ends(topology)
        draw = self.random(seed)
        return [
            self.repeat(str(i), sender, receiver, self.size, draw) for i, receiver in enumerate(receivers)
        ]

    def _ends(self, topology: Topology) -> tuple[str, list[str]]:
        return one_to_many(topology, self.sender, self.receivers, keys=("sender", "receivers"), default=0)
