"""Flows join one after another, then leave one after another: a picture of convergence and of fairness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from harness.core.errors import ConfigError
from harness.core.flow import MAX_MESSAGE_BYTES, Flow
from harness.core.units import Duration, Fraction
from harness.core.validation import model
from harness.patterns import Hosts, Traffic, one_to_many

if TYPE_CHECKING:
    from harness.core.topology import Topology

PS_BITS_PER_BYTE = 8 * 10**12


@model
class Staircase(Traffic):
    """`senders` start `interval` apart towards `receiver` (default: the last host), and end as far apart.

    Flow i starts at i intervals and would end at n + i intervals if all shared the receiver's link equally:
    its size is the integral of that share. `payload_share` is the part of the line rate that is payload.
    Real flows end a little later; how much later is what the pattern shows.
    """

    senders: Hosts
    interval: Annotated[Duration, Field(ge=1)]
    receiver: str | None = None
    payload_share: Fraction = 0.9

    def flow_count(self, topology: Topology) -> int:
        """Number of flows: one a sender."""
        return len(self._ends(topology)[1])

    def flows(self, topology: Topology, seed: int) -> list[Flow]:
        """Flows `staircase-0` … in order of start; raises ConfigError for too few hosts or too long steps."""
        receiver, senders = self._ends(topology)
        line = topology.line_rate_bps(receiver)
        draw = self.random(seed)
        made = []
        for index, sender in enumerate(senders):
            size = self._size(index, len(senders), line)
            made.append(self.flow(str(index), sender, receiver, size, draw, start=index * self.interval))
        return made

    def _ends(self, topology: Topology) -> tuple[str, list[str]]:
        return one_to_many(topology, self.receiver, self.senders, keys=("receiver", "senders"), default=-1)

    def _size(self, index: int, count: int, line_bps: int) -> int:
        """Bytes of flow `index` from start to end; in interval k, min(k + 1, 2n - 1 - k) flows share."""
        shares = sum(1 / min(step + 1, 2 * count - 1 - step) for step in range(index, index + count))
        size = int(shares * self.interval * line_bps * self.payload_share / PS_BITS_PER_BYTE)
        if not 1 <= size <= MAX_MESSAGE_BYTES:
            hint = f"a flow would have {size} bytes; 1 to {MAX_MESSAGE_BYTES} are possible"
            raise ConfigError(
                "the steps are too short or too long", key="interval", value=self.interval, hint=hint
            )
        return size
