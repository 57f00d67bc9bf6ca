"""The ring all-reduce of data-parallel training, as transfers that wait for one another.

n ranks, 2(n-1) steps. In a reduce-scatter step k (0 to n-2) rank r sends chunk (r - k) mod n to its right
neighbour and reduces the one that arrives; in an all-gather step it sends chunk (r + 1 - k) mod n on. A step
of a rank starts when what it sends has arrived, in the step before from its left neighbour, and when what it sent in
the step before is acknowledged: one chunk at a time to a neighbour, as on one queue pair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from harness.core.errors import ConfigError
from harness.core.flow import Flow
from harness.core.units import Bytes, Duration
from harness.core.validation import model
from harness.core.verbs import Reduce
from harness.patterns import Hosts, Traffic, check_flow_count, choose

if TYPE_CHECKING:
    from harness.core.topology import Topology


@model
class RingAllReduce(Traffic):
    """All-reduce of `size` bytes a rank over `ranks` (a number, names, or None: all hosts) in ring order.

    `channels` rings share the buffer in equal parts, as collective libraries do; `reduce_time` passes
    between the arrival of a chunk and the step that sends it on. Chunks are ceil(size / channels / n) bytes
    rounded up to `align`, the last ones shorter. With `dtype` hosts compute the sums and check them on every
    rank; sizes are then multiples of its 4 bytes.
    """

    ranks: Hosts | None
    size: Annotated[Bytes, Field(ge=1)]
    channels: Annotated[int, Field(ge=1)] = 1
    align: Annotated[Bytes, Field(ge=1)] = 1
    reduce_time: Duration = 0
    dtype: Literal["int32", "float32"] | None = None

    def flow_count(self, topology: Topology) -> int:
        """Number of flows: 2 n (n - 1) a channel."""
        ranks = len(choose(topology, self.ranks, key="ranks", least=2))
        return 2 * ranks * (ranks - 1) * self.channels

    def flows(self, topology: Topology, seed: int) -> list[Flow]:
        """Flows `ring-all-reduce-CHANNEL-STEP-RANK`; raises ConfigError when a chunk would be empty."""
        ports = choose(topology, self.ranks, key="ranks", least=2)
        check_flow_count(2 * len(ports) * (len(ports) - 1) * self.channels, key="ranks", value=len(ports))
        self._check_elements(len(ports))
        draw = self.random(seed)
        made = []
        for channel, part in enumerate(_split(self.size, self.channels)):
            chunks = self._chunks(part, len(ports))
            for step in range(2 * (len(ports) - 1)):
                for rank, src in enumerate(ports):
                    left, right = (rank - 1) % len(ports), ports[(rank + 1) % len(ports)]
                    last = f"{channel}-{step - 1}"
                    after = (f"{last}-{left}", f"{last}-{rank}") if step else ()
                    chunk = _chunk_sent(rank, step, len(ports))
                    delay = self.reduce_time if step else 0
                    flow = self.flow(
                        f"{channel}-{step}-{rank}", src, right, chunks[chunk], draw, after=after,
                        after_delay=delay,
                        reduce=self._reduce(channel, step, rank, len(ports), sum(chunks[:chunk]), part),
                    )  # fmt: skip
                    made.append(flow)
        return made

    def _reduce(
        self, channel: int, step: int, rank: int, ranks: int, offset: int, part: int
    ) -> Reduce | None:
        """What becomes of a chunk at its target: added while the sums grow, stored while they spread."""
        if self.dtype is None:
            return None
        return Reduce(
            group=f"{self.prefix}-{channel}", ranks=ranks, src_rank=rank, dst_rank=(rank + 1) % ranks,
            offset=offset, op="sum" if step < ranks - 1 else "copy", dtype=self.dtype, buffer_bytes=part,
        )  # fmt: skip

    def _check_elements(self, ranks: int) -> None:
        """Sums are of whole elements, so every chunk must be made of them."""
        if self.dtype is None:
            return
        if self.size % (4 * self.channels) or (self.align % 4 and self.size % (4 * self.channels * ranks)):
            hint = f"a multiple of {4 * self.channels * ranks}, or align: 4B"
            raise ConfigError(
                f"does not divide into chunks of {self.dtype}", key="size", value=self.size, hint=hint
            )

    def _chunks(self, part: int, ranks: int) -> list[int]:
        chunk = -(-part // ranks)
        chunk = -(-chunk // self.align) * self.align
        sizes = [min(chunk, part - index * chunk) for index in range(ranks)]
        if sizes[-1] < 1:
            hint = f"a channel's {part} bytes in chunks of {chunk} do not reach all {ranks} ranks"
            raise ConfigError("too few bytes for this ring", key="size", value=self.size, hint=hint)
        return sizes


def _split(size: int, channels: int) -> list[int]:
    """Equal parts of a buffer, the first ones a byte longer when it does not divide."""
    return [size // channels + (index < size % channels) for index in range(channels)]


def _chunk_sent(rank: int, step: int, ranks: int) -> int:
    """Which chunk a rank sends in a step: the reduce-scatter's first n-1 steps, then the all-gather's."""
    gather = step - (ranks - 1)
    return (rank - step) % ranks if gather < 0 else (rank + 1 - gather) % ranks
