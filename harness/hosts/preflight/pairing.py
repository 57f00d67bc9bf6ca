"""Who talks to whom, and who is to blame when some do not get through. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Pair = tuple[str, str]
"""Source and target host."""

BLAME = 0.5
"""A host that fails at least this part of its pairs is named (Test-NetStack prunes at the same share)."""


def rounds(hosts: Sequence[str]) -> list[list[Pair]]:
    """Return rounds in which nobody is in two pairs and in which, all together, everybody meets everybody once.

    The circle method of round-robin tournaments: the first stays, the others move one seat on.
    """
    seats: list[str | None] = [*hosts, *([None] if len(hosts) % 2 else [])]
    made: list[list[Pair]] = []
    for _ in range(len(seats) - 1):
        half = len(seats) // 2
        opposite = zip(seats[:half], reversed(seats[half:]), strict=True)
        made.append([(a, b) for a, b in opposite if a is not None and b is not None])
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return [pairs for pairs in made if pairs]


def neighbours(hosts: Sequence[str]) -> list[list[Pair]]:
    """Return the pairs of a ring, each host sending to its next, in rounds in which nobody is in two pairs."""
    ring = [(host, hosts[(index + 1) % len(hosts)]) for index, host in enumerate(hosts)]
    made: list[list[Pair]] = []
    for pair in ring if len(hosts) > 1 else []:
        free = (group for group in made if not any(set(pair) & set(other) for other in group))
        fitting = next(free, None)
        if fitting is None:
            made.append([pair])
        else:
            fitting.append(pair)
    return made


def culprits(passed: Mapping[Pair, bool]) -> list[str]:
    """Return the hosts that explain failing pairs, the worst first.

    The hosts that fail the largest part of their pairs, at least `BLAME`, are named; then the pairs of the
    others are looked at without them, so that nobody is blamed for talking to a dead host. Where all hosts
    are equally bad, nobody is named: the cause may be between them.
    """
    named: list[str] = []
    left = dict(passed)
    while True:
        shares = _failing_shares(left)
        worst = max(shares.values(), default=0.0)
        guilty = [host for host, share in shares.items() if share == worst]
        if worst < BLAME or len(guilty) == len(shares):
            return named
        named += guilty
        left = {pair: good for pair, good in left.items() if not set(pair) & set(guilty)}


def _failing_shares(passed: Mapping[Pair, bool]) -> dict[str, float]:
    """Return for each host which part of its pairs failed."""
    hosts = dict.fromkeys(host for pair in passed for host in pair)
    return {host: _share([good for pair, good in passed.items() if host in pair]) for host in hosts}


def _share(outcomes: Sequence[bool]) -> float:
    return outcomes.count(False) / len(outcomes)
