"""Many hosts send to one: the receiver's link is oversubscribed by their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.flow import Flow
from harness.core.validation import model
from harness.patterns import Hosts, Messages, MessageSize, one_to_many

if TYPE_CHECKING:
    from harness.core.topology import Topology


@model
class Incast(Messages):
    """`senders` (a number, or host names) send `size` each to `receiver` (default: the last host)."""

    senders: Hosts
    size: MessageSize
    receiver: str | None = None

    def flow_count(self, topology: Topology) -> int:
        """Number of flows: one a sender."""
        return len(self._ends(topology)[1])

    def flows(self, topology: Topology, seed: int) -> list[Flow]:
        """Flows `incast-0` … in the order of senders; raises ConfigError when there are too few hosts."""
        receiver, senders = self._ends(topology)
        draw = self.random(seed)
        return [self.repeat(str(i), sender, receiver, self.size, draw) for i, sender in enumerate(senders)]

    def _ends(self, topology: Topology) -> tuple[str, list[str]]:
        return one_to_many(topology, self.receiver, self.senders, keys=("receiver", "senders"), default=-1)
