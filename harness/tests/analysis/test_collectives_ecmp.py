from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import collectives, ecmp
from harness.analysis.collectives import Collective, Link

LINK_400G = Link(bytes_per_s=400e9 / 8 * 0.98)
GIB = 2**30


@pytest.mark.parametrize(("ranks", "factor"), [(2, 1), (4, 1.5), (8, 1.75), (16, 1.875), (64, 1.96875)])
def test_bus_factors(ranks: int, factor: float) -> None:
    assert collectives.bus_factor(Collective.ALL_REDUCE, ranks) == factor
    assert collectives.bus_factor(Collective.ALL_TO_ALL, ranks) == factor / 2
    assert collectives.bus_factor(Collective.BROADCAST, ranks) == 1


# alpha-beta times at 400 Gb/s * 0.98 in ms: ranks, size, ring all-reduce, all-gather.
@pytest.mark.parametrize(
    ("ranks", "size", "all_reduce_ms", "half_ms"),
    [
        (8, GIB, 38.348, 19.174),
        (16, GIB, 41.087, 20.543),
        (32, GIB // 4, 10.615, 5.307),
        (128, GIB, 43.483, 21.741),
    ],
)
def test_ring_times(ranks: int, size: int, all_reduce_ms: float, half_ms: float) -> None:
    all_reduce = collectives.ring_all_reduce_seconds(ranks, size, LINK_400G)

    assert all_reduce * 1e3 == pytest.approx(all_reduce_ms, abs=1e-3)
    assert collectives.ring_half_seconds(ranks, size, LINK_400G) * 1e3 == pytest.approx(half_ms, abs=1e-3)
    assert collectives.ideal_seconds(Collective.ALL_REDUCE, ranks, size, LINK_400G) == pytest.approx(
        all_reduce
    )
    assert collectives.bus_bandwidth(Collective.ALL_REDUCE, ranks, size, all_reduce) == pytest.approx(
        LINK_400G.bytes_per_s
    )


def test_a_slow_link_slows_the_whole_ring() -> None:
    link = Link(1e9, 1e-6)

    assert collectives.ring_all_reduce_seconds(4, 4e6, link) == pytest.approx(6 * (1e-6 + 1e-3))
    assert collectives.ring_all_reduce_seconds(4, 4e6, link, slowest=0.5) == pytest.approx(6 * (1e-6 + 2e-3))


@given(st.integers(2, 12), st.integers(0, 10_000))
def test_ring_schedule_reduces_and_gathers_every_chunk(ranks: int, size: int) -> None:
    """Run the schedule on sets of contributions: every rank ends with the sum of all for every chunk."""
    held = [[{rank} for _ in range(ranks)] for rank in range(ranks)]
    for step in range(2 * (ranks - 1)):
        sent = [
            (rank, chunk := collectives.ring_step_chunk(rank, step, ranks), set(held[rank][chunk]))
            for rank in range(ranks)
        ]
        for rank, chunk, content in sent:
            right = (rank + 1) % ranks
            held[right][chunk] = held[right][chunk] | content if step < ranks - 1 else content

    assert all(chunk == set(range(ranks)) for rank in held for chunk in rank)
    assert sum(collectives.chunk_sizes(size, ranks)) == size
    assert (
        sum(collectives.ring_bytes_sent(size, ranks, rank) for rank in range(ranks)) == 2 * (ranks - 1) * size
    )


def test_chunks_of_a_size_that_does_not_divide() -> None:
    assert collectives.chunk_sizes(10, 4) == [3, 3, 3, 1]
    assert collectives.chunk_sizes(10, 4, align_bytes=4) == [4, 4, 2, 0]
    assert collectives.ring_bytes_sent(1024, 8, 3) == 1792


def test_ring_has_only_its_steps() -> None:
    with pytest.raises(ValueError, match="steps 0 to 5, not 6"):
        collectives.ring_step_chunk(0, 6, 4)


def test_halving_doubling_bytes() -> None:
    assert collectives.halving_doubling_bytes(8, 1024) == [512, 256, 128, 128, 256, 512]
    with pytest.raises(ValueError, match="power of two of ranks, not 6"):
        collectives.halving_doubling_bytes(6, 1024)


def test_other_schedules_in_units_of_latency_and_size() -> None:
    latency, size = Link(math.inf, 1.0), Link(1.0, 0.0)

    assert collectives.halving_doubling_seconds(8, 1.0, latency) == 6
    assert collectives.halving_doubling_seconds(8, 8.0, size) == 14
    assert collectives.recursive_doubling_seconds(8, 1.0, size) == 3
    assert collectives.binomial_seconds(5, 1.0, size) == 3
    assert collectives.binomial_seconds(8, 4.0, size, chunks=4) == 6
    assert collectives.double_tree_seconds(8, 1.0, latency) == 6
    assert collectives.double_tree_seconds(8, 1.0, size) == 2
    assert collectives.pairwise_all_to_all_seconds(8, 1.0, size) == 7
    assert collectives.in_network_seconds(1.0, size) == 1
    assert collectives.hierarchical_nic_bytes(1024, 8, 4) == 192
    assert collectives.pipeline_bubble(4, 13) == 3 / 16


def test_bruck_blocks() -> None:
    assert collectives.bruck_all_to_all_blocks(8) == [4, 4, 4]
    assert collectives.bruck_all_to_all_blocks(6) == [3, 2, 2]
    assert collectives.bruck_all_gather_blocks(6) == [1, 2, 2]
    assert collectives.bruck_all_to_all_seconds(8, 2.0, Link(1.0)) == 24


@given(st.integers(2, 100))
def test_bruck_all_gather_moves_every_other_block(ranks: int) -> None:
    assert sum(collectives.bruck_all_gather_blocks(ranks)) == ranks - 1


def test_ring_and_tree_cross_where_the_formula_says() -> None:
    link = Link(49e9, 5e-6)
    crossover = collectives.ring_tree_crossover_bytes(64, link)

    assert collectives.ring_all_reduce_seconds(64, 1.0, link) == pytest.approx(630e-6, rel=1e-3)
    assert collectives.ring_all_reduce_seconds(64, crossover, link) == pytest.approx(
        collectives.double_tree_seconds(64, crossover, link)
    )


# Mean fullest path when k flows are hashed on n paths, Monte Carlo of 4000 runs;
# 0.05 is over 3 sigma everywhere.
MAX_LOAD = [
    (2, 2, 1.50), (2, 8, 5.10), (2, 32, 18.27), (4, 4, 2.13), (4, 16, 6.15), (8, 8, 2.60), (8, 64, 12.26),
    (16, 16, 3.07), (16, 256, 23.44), (32, 64, 5.41), (64, 64, 3.98), (64, 1024, 26.07),
]  # fmt: skip


@pytest.mark.parametrize(("paths", "flows", "load"), MAX_LOAD)
def test_expected_max_load(paths: int, flows: int, load: float) -> None:
    assert ecmp.expected_max_load(paths, flows) == pytest.approx(load, abs=0.05)
    assert ecmp.max_load_ratio(paths, flows) == ecmp.expected_max_load(paths, flows) * paths / flows


def test_max_load_by_counting_all_outcomes() -> None:
    # 3 flows on 2 paths: of 8 outcomes 2 put all three together, 6 split two and one.
    assert ecmp.expected_max_load(2, 3) == pytest.approx((2 * 3 + 6 * 2) / 8)
    assert ecmp.expected_max_load(1, 7) == pytest.approx(7)
    assert ecmp.expected_max_load(7, 1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("paths", "probability"), [(2, 0.5), (4, 0.09375), (8, 0.00240325927734375), (16, 1.1342267125513672e-06)]
)
def test_no_collision(paths: int, probability: float) -> None:
    assert ecmp.no_collision_probability(paths, paths) == pytest.approx(probability)
    assert ecmp.no_collision_probability(paths, paths + 1) == 0


def test_used_paths_and_polarisation() -> None:
    assert ecmp.expected_used_fraction(4, 8) == pytest.approx(0.900, abs=5e-4)
    assert ecmp.effective_paths(4, 4) == 1
    assert ecmp.effective_paths(4, 6) == 3
    assert ecmp.effective_paths(3, 4) == 4
