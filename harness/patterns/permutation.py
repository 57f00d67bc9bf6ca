"""Every host sends to one other and receives from one other: full load without an incast."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.core.errors import ConfigError
from harness.core.flow import Flow
from harness.core.validation import model
from harness.patterns import Hosts, Messages, MessageSize, choose, host_of

if TYPE_CHECKING:
    from harness.core.topology import Topology

ROUNDS = 100
"""Passes of repair before a permutation without traffic inside a host is given up."""


@model
class Permutation(Messages):
    """`hosts` (default: all) send to a partner drawn by the seed, or to the `shift`-th next host."""

    size: MessageSize
    hosts: Hosts | None = None
    shift: int | None = None

    def flow_count(self, topology: Topology) -> int:
        """Number of flows: one a host port."""
        return len(choose(topology, self.hosts, key="hosts", least=2))

    def flows(self, topology: Topology, seed: int) -> list[Flow]:
        """Flows `permutation-0` … in the order of senders; no host sends to itself.

        Raises ConfigError when that cannot be, as for a shift by the number of hosts.
        """
        ports = choose(topology, self.hosts, key="hosts", least=2)
        draw = self.random(seed)
        targets = _partners(ports, draw) if self.shift is None else _shifted(ports, self.shift)
        ends = zip(ports, targets, strict=True)
        return [self.repeat(str(i), src, dst, self.size, draw) for i, (src, dst) in enumerate(ends)]


def _shifted(ports: Sequence[str], shift: int) -> list[str]:
    targets = [ports[(index + shift) % len(ports)] for index in range(len(ports))]
    if any(host_of(src) == host_of(dst) for src, dst in zip(ports, targets, strict=True)):
        raise ConfigError("this shift makes a host send to itself", key="shift", value=shift)
    return targets


def _partners(ports: Sequence[str], draw: random.Random) -> list[str]:
    """A random permutation in which no port sends to its own host: shuffle, then swap what clashes."""
    targets = list(ports)
    draw.shuffle(targets)
    for _ in range(ROUNDS):
        clashes = [i for i in range(len(ports)) if host_of(ports[i]) == host_of(targets[i])]
        if not clashes:
            return targets
        for i in clashes:
            j = draw.randrange(len(ports))
            targets[i], targets[j] = targets[j], targets[i]
    raise ConfigError("found no permutation without traffic inside a host", key="hosts", value=len(ports))
