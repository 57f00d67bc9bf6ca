"""Every host sends to every other: the exchange of expert parallelism and of transposes."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from harness.core.flow import Flow
from harness.core.validation import model
from harness.patterns import Hosts, Messages, MessageSize, check_flow_count, choose, host_of

if TYPE_CHECKING:
    from harness.core.topology import Topology


class Schedule(StrEnum):
    """When the flows of an all-to-all start."""

    AT_ONCE = "at_once"  # all at the start: every receiver has an incast
    PAIRWISE = "pairwise"  # in step k host r sends to host r+k, after its step before


@model
class AllToAll(Messages):
    """Each of `hosts` (default: all) sends `size` to each other one, all at once or in pairwise steps."""

    size: MessageSize
    hosts: Hosts | None = None
    schedule: Schedule = Schedule.AT_ONCE

    def flow_count(self, topology: Topology) -> int:
        """Number of flows at most: n (n - 1)."""
        ranks = len(choose(topology, self.hosts, key="hosts", least=2))
        return ranks * (ranks - 1)

    def flows(self, topology: Topology, seed: int) -> list[Flow]:
        """Flows `all-to-all-SRC-DST` by rank; ports of one host do not send to each other."""
        ports = choose(topology, self.hosts, key="hosts", least=2)
        check_flow_count(len(ports) * (len(ports) - 1), key="hosts", value=len(ports))
        draw, made = self.random(seed), []
        last: list[str | None] = [None] * len(ports)
        for step in range(1, len(ports)):
            received = list(last)  # what each rank got in the step before
            for rank, src in enumerate(ports):
                to = (rank + step) % len(ports)
                if host_of(src) == host_of(ports[to]):
                    continue
                name, before = f"{rank}-{to}", received[rank]
                after = (before,) if before and self.schedule is Schedule.PAIRWISE else ()
                made.append(self.repeat(name, src, ports[to], self.size, draw, after=after))
                last[to] = name
        return made
