"""Collectives of AI training: who sends how much, ideal completion times and bandwidth factors.

Sources: nccl-tests (what "size" and "bus bandwidth" mean), Thakur, Rabenseifner and Gropp 2005 (schedules and
their alpha-beta cost), Sanders, Speck and Traeff 2009 (two trees), Bruck et al. 1997. n ranks, S bytes as the
benchmark counts them, B bytes a second per rank and direction, alpha seconds per message.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from harness.core.evidence import Missing


class Collective(Enum):
    """Operations with a defined bus bandwidth; the comment says what S is."""

    ALL_REDUCE = "all_reduce"  # buffer of a rank
    REDUCE_SCATTER = "reduce_scatter"  # total input, receive count times n
    ALL_GATHER = "all_gather"  # total output, send count times n
    ALL_TO_ALL = "all_to_all"  # send buffer of a rank
    BROADCAST = "broadcast"  # buffer
    REDUCE = "reduce"  # buffer
    SEND_RECV = "send_recv"  # buffer
    GATHER = "gather"  # total
    SCATTER = "scatter"  # total


_WHOLE = frozenset({Collective.BROADCAST, Collective.REDUCE, Collective.SEND_RECV})


@dataclass(frozen=True, slots=True)
class Link:
    """Cost of a message of m bytes: `latency_s` + m / `bytes_per_s`."""

    bytes_per_s: float
    latency_s: float = 0.0

    def seconds(self, steps: float, total_bytes: float) -> float:
        """Time of `steps` messages one after another that carry `total_bytes` together."""
        return steps * self.latency_s + total_bytes / self.bytes_per_s


def bus_factor(operation: Collective, ranks: int) -> float:
    """Factor from algorithm bandwidth S/t to bus bandwidth: 2(n-1)/n, (n-1)/n or 1."""
    _check(ranks)
    if operation in _WHOLE:
        return 1.0
    once = (ranks - 1) / ranks
    return 2 * once if operation is Collective.ALL_REDUCE else once


def bus_bandwidth(
    operation: Collective, ranks: int, size_bytes: float, seconds: float | Missing
) -> float | Missing:
    """Bus bandwidth in bytes a second of an operation of `size_bytes` that took `seconds`; Missing for no time."""
    if isinstance(seconds, Missing):
        return seconds
    if seconds <= 0:
        return Missing(f"{operation.value} of {ranks} ranks took no time")
    return size_bytes / seconds * bus_factor(operation, ranks)


def ideal_seconds(operation: Collective, ranks: int, size_bytes: float, link: Link) -> float:
    """Least time of any schedule that does not reduce in the network: bus factor times S / B, no latency."""
    return size_bytes * bus_factor(operation, ranks) / link.bytes_per_s


def chunk_sizes(size_bytes: int, ranks: int, align_bytes: int = 1) -> list[int]:
    """Bytes of the n chunks of a ring: ceil(S/n) rounded up to `align_bytes`, the last ones shorter or 0."""
    _check(ranks)
    chunk = -(-size_bytes // ranks)
    chunk = -(-chunk // align_bytes) * align_bytes
    return [max(0, min(chunk, size_bytes - index * chunk)) for index in range(ranks)]


def ring_step_chunk(rank: int, step: int, ranks: int) -> int:
    """Chunk that `rank` sends to its right neighbour in `step` (0 to 2n-3) of a ring all-reduce.

    Reduce-scatter step k sends chunk (r - k) mod n, all-gather step k chunk (r + 1 - k) mod n.
    """
    if not 0 <= step < 2 * (ranks - 1):
        raise ValueError(f"a ring all-reduce of {ranks} ranks has steps 0 to {2 * ranks - 3}, not {step}")
    if step < ranks - 1:
        return (rank - step) % ranks
    return (rank + 1 - (step - (ranks - 1))) % ranks


def ring_bytes_sent(size_bytes: int, ranks: int, rank: int) -> int:
    """Payload bytes that `rank` sends in a ring all-reduce; 2 S (n-1)/n when n divides S."""
    chunks = chunk_sizes(size_bytes, ranks)
    return sum(chunks[ring_step_chunk(rank, step, ranks)] for step in range(2 * (ranks - 1)))


def ring_all_reduce_seconds(ranks: int, size_bytes: float, link: Link, *, slowest: float = 1.0) -> float:
    """2(n-1)(alpha + S/(nB)); `slowest` is the fraction of B that the slowest link of the ring keeps."""
    _check(ranks)
    return link.seconds(2 * (ranks - 1), 2 * (ranks - 1) * size_bytes / ranks / slowest)


def ring_half_seconds(ranks: int, size_bytes: float, link: Link) -> float:
    """Ring all-gather or reduce-scatter: (n-1)(alpha + S/(nB))."""
    _check(ranks)
    return link.seconds(ranks - 1, (ranks - 1) * size_bytes / ranks)


def halving_doubling_bytes(ranks: int, size_bytes: float) -> list[float]:
    """Bytes a rank sends in each step of recursive halving and doubling; n must be a power of two."""
    depth = _log2_exact(ranks)
    halving = [size_bytes / 2**step for step in range(1, depth + 1)]
    return halving + halving[::-1]


def halving_doubling_seconds(ranks: int, size_bytes: float, link: Link) -> float:
    """2 log2(n) alpha + 2 S (n-1)/(nB)."""
    return link.seconds(2 * _log2_exact(ranks), sum(halving_doubling_bytes(ranks, size_bytes)))


def recursive_doubling_seconds(ranks: int, size_bytes: float, link: Link) -> float:
    """All-reduce in log2(n) exchanges of S: log2(n) (alpha + S/B)."""
    depth = _log2_exact(ranks)
    return link.seconds(depth, depth * size_bytes)


def binomial_seconds(ranks: int, size_bytes: float, link: Link, *, chunks: int = 1) -> float:
    """Binomial tree, pipelined in m chunks: about (ceil(log2 n) + m - 1)(alpha + S/(mB))."""
    rounds = _ceil_log2(ranks) + chunks - 1
    return link.seconds(rounds, rounds * size_bytes / chunks)


def double_tree_seconds(ranks: int, size_bytes: float, link: Link) -> float:
    """Two complementary binary trees with half the data each: about 2 log2(n) alpha + 2 S/B."""
    _check(ranks)
    return link.seconds(2 * math.log2(ranks), 2 * size_bytes)


def ring_tree_crossover_bytes(ranks: int, link: Link) -> float:
    """Size below which the double tree beats the ring, from the two alpha-beta times."""
    latency = link.latency_s * (2 * (ranks - 1) - 2 * math.log2(ranks))
    return max(0.0, link.bytes_per_s * latency / (2 - 2 * (ranks - 1) / ranks))


def in_network_seconds(size_bytes: float, link: Link) -> float:
    """All-reduce with reduction in the switch: each rank sends and receives S once."""
    return link.seconds(2, size_bytes)


def bruck_all_gather_blocks(ranks: int) -> list[int]:
    """Blocks a rank sends in each step of Bruck's all-gather: min(2^k, n - 2^k)."""
    return [min(2**step, ranks - 2**step) for step in range(_ceil_log2(ranks))]


def bruck_all_to_all_blocks(ranks: int) -> list[int]:
    """Blocks a rank sends in each step of Bruck's all-to-all: those whose index has bit k set."""
    return [sum(index >> step & 1 for index in range(ranks)) for step in range(_ceil_log2(ranks))]


def bruck_all_to_all_seconds(ranks: int, pair_bytes: float, link: Link) -> float:
    """Sum of its steps: alpha each, and the blocks of `pair_bytes`."""
    blocks = bruck_all_to_all_blocks(ranks)
    return link.seconds(len(blocks), sum(blocks) * pair_bytes)


def pairwise_all_to_all_seconds(ranks: int, pair_bytes: float, link: Link) -> float:
    """n-1 steps of one message each: (n-1)(alpha + m/B)."""
    _check(ranks)
    return link.seconds(ranks - 1, (ranks - 1) * pair_bytes)


def hierarchical_nic_bytes(size_bytes: float, gpus: int, nodes: int) -> float:
    """Bytes each NIC sends in a hierarchical all-reduce, one NIC a GPU: 2 S (N-1)/(g N)."""
    return 2 * size_bytes * (nodes - 1) / (gpus * nodes)


def pipeline_bubble(stages: int, micro_batches: int) -> float:
    """Idle fraction of a 1F1B pipeline: (p-1)/(m+p-1)."""
    return (stages - 1) / (micro_batches + stages - 1)


def _check(ranks: int) -> None:
    if ranks < 2:
        raise ValueError(f"a collective needs at least two ranks, not {ranks}")


def _ceil_log2(ranks: int) -> int:
    _check(ranks)
    return (ranks - 1).bit_length()


def _log2_exact(ranks: int) -> int:
    depth = _ceil_log2(ranks)
    if 2**depth != ranks:
        raise ValueError(f"this schedule needs a power of two of ranks, not {ranks}")
    return depth
