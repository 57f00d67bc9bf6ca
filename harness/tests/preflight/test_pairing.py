"""Who meets whom, and who is to blame."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest

from harness.hosts.preflight.pairing import culprits, neighbours, rounds

HOSTS = ["h1", "h2", "h3", "h4", "h5"]


@pytest.mark.parametrize("count", range(6))
def test_everybody_meets_everybody_once_and_nobody_is_in_two_pairs_of_a_round(count: int) -> None:
    hosts = HOSTS[:count]
    made = rounds(hosts)
    met = sorted(tuple(sorted(pair)) for pairs in made for pair in pairs)
    assert met == sorted(combinations(hosts, 2))
    for pairs in made:
        busy = [host for pair in pairs for host in pair]
        assert len(busy) == len(set(busy))
    assert len(made) == (0 if count < 2 else count - 1 + count % 2)


@pytest.mark.parametrize("count", range(6))
def test_each_host_sends_to_its_neighbour_once(count: int) -> None:
    hosts = HOSTS[:count]
    made = neighbours(hosts)
    pairs = [pair for group in made for pair in group]
    assert sorted(src for src, _ in pairs) == (hosts if count > 1 else [])
    assert sorted(dst for _, dst in pairs) == (hosts if count > 1 else [])
    for group in made:
        assert len({host for pair in group for host in pair}) == 2 * len(group)


def passed(hosts: list[str], *failing: tuple[str, str]) -> dict[tuple[str, str], bool]:
    return {pair: pair not in failing for pair in permutations(hosts, 2)}


def dead(hosts: list[str], *ones: str) -> dict[tuple[str, str], bool]:
    return {pair: not set(pair) & set(ones) for pair in permutations(hosts, 2)}


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        (passed(HOSTS), []),
        (dead(HOSTS, "h3"), ["h3"]),
        (dead(["h1", "h2", "h3"], "h3"), ["h3"]),  # h1 and h2 fail half of theirs, for talking to h3
        (dead(HOSTS[:4], "h3", "h4"), ["h3", "h4"]),
        (dead(HOSTS[:2], "h2"), []),  # either may be at fault
        (dead(HOSTS, *HOSTS), []),  # what they share is
        (passed(HOSTS, ("h1", "h2"), ("h2", "h1")), []),  # one pair of many: neither fails half
        (passed(HOSTS, *((src, "h2") for src in HOSTS if src != "h2")), ["h2"]),  # h2 does not receive
        ({}, []),
    ],
)
def test_the_host_that_explains_failing_pairs_is_named(
    pairs: dict[tuple[str, str], bool], named: list[str]
) -> None:
    assert culprits(pairs) == named
