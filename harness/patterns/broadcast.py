"""A broadcast as transfers that wait for one another: a binomial tree, or a chain of chunks.

Binomial tree over n ranks: in round k (0 to ceil(log2 n) - 1) each rank below 2^k sends all bytes to the rank 2^k
above it, so that the number of ranks that have them doubles. Chain: rank r sends each chunk to rank r + 1 when it has
arrived and the chunk before it is gone, so that m chunks are n - 2 + m steps of a chunk.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from harness.core.errors import ConfigError
from harness.core.flow import Flow
from harness.core.units import Bytes
from harness.core.validation import model
from harness.patterns import Hosts, Traffic, check_flow_count, choose

if TYPE_CHECKING:
    from harness.core.topology import Topology


class Tree(StrEnum):
    """Who sends on to whom."""

    BINOMIAL = "binomial"
    CHAIN = "chain"


@model
class Broadcast(Traffic):
    """The first of `ranks` (a number, names, or None: all hosts) sends `size` bytes to all others, which help.

    `chunks` cut the bytes of a chain, the last one shorter; a binomial tree sends them whole.
    """

    ranks: Hosts | None
    size: Annotated[Bytes, Field(ge=1)]
    tree: Tree = Tree.BINOMIAL
    chunks: Annotated[int, Field(ge=1)] = 1

    def flow_count(self, topology: Topology) -> int:
        """Number of flows: one a rank but the first, and chunk."""
        return (len(choose(topology, self.ranks, key="ranks", least=2)) - 1) * self.chunks

    def flows(self, topology: Topology, seed: int) -> list[Flow]:
        """Flows `broadcast-CHUNK-RANK` by the rank that receives; raises ConfigError when a chunk would be empty."""
        ports = choose(topology, self.ranks, key="ranks", least=2)
        check_flow_count((len(ports) - 1) * self.chunks, key="ranks", value=len(ports))
        sizes, draw = self._sizes(), self.random(seed)
        before = _before_in_tree if self.tree is Tree.BINOMIAL else _before_in_chain
        return [
            self.flow(
                f"{chunk}-{rank}", ports[_sender(self.tree, rank)], ports[rank], size, draw,
                after=before(chunk, rank),
            )
            for chunk, size in enumerate(sizes)
            for rank in range(1, len(ports))
        ]  # fmt: skip

    def _sizes(self) -> list[int]:
        if self.tree is Tree.BINOMIAL and self.chunks > 1:
            raise ConfigError("only a chain has chunks", key="chunks", value=self.chunks, hint="tree: chain")
        chunk = -(-self.size // self.chunks)
        sizes = [min(chunk, self.size - index * chunk) for index in range(self.chunks)]
        if sizes[-1] < 1:
            hint = f"{self.chunks} chunks of {chunk} bytes are more than {self.size}"
            raise ConfigError("too few bytes for these chunks", key="chunks", value=self.chunks, hint=hint)
        return sizes


def _sender(tree: Tree, rank: int) -> int:
    """Rank that sends to `rank`: the one before it, or the one without its highest bit."""
    return rank - 1 if tree is Tree.CHAIN else rank - (1 << rank.bit_length() - 1)


def _before_in_tree(chunk: int, rank: int) -> tuple[str, ...]:
    """Return the transfer that the sender takes part in one round sooner: it sends that one, or receives it."""
    step = rank.bit_length() - 1
    if step == 0:
        return ()
    sender = rank - (1 << step)
    earlier = sender + (1 << step - 1) if sender < 1 << step - 1 else sender
    return (f"{chunk}-{earlier}",)


def _before_in_chain(chunk: int, rank: int) -> tuple[str, ...]:
    arrived = (f"{chunk}-{rank - 1}",) if rank > 1 else ()
    return (*arrived, f"{chunk - 1}-{rank}") if chunk else arrived
