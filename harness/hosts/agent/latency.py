"""Latencies of a flow: exact count, least, mean and greatest; percentiles from a bounded sample."""

from __future__ import annotations

import array
import random
from typing import Any

PS_PER_NS = 1000
SAMPLE = 65536
"""Latencies kept; beyond it every one has the same chance to be among them (reservoir sampling)."""


class Latencies:
    """Collects latencies in ns."""

    def __init__(self, seed: str = "") -> None:
        self.count = 0
        self._sum = 0
        self._least = 0
        self._most = 0
        self._kept = array.array("q")
        self._random = random.Random(seed)

    def add(self, ns: int) -> None:
        """Count one."""
        if not self.count or ns < self._least:
            self._least = ns
        self._most = max(ns, self._most)
        self.count += 1
        self._sum += ns
        if self.count <= SAMPLE:
            self._kept.append(ns)
        else:
            place = self._random.randrange(self.count)
            if place < SAMPLE:
                self._kept[place] = ns

    def summary(self) -> dict[str, Any] | None:
        """Return the `latency` object of docs/job-format.md, or None when there is none."""
        if not self.count:
            return None
        ordered = sorted(self._kept)
        return {
            "count": self.count,
            "min_ps": self._least * PS_PER_NS,
            "mean_ps": self._sum * PS_PER_NS // self.count,
            **{f"{name}_ps": _rank(ordered, part) * PS_PER_NS for name, part in _PERCENTILES.items()},
            "max_ps": self._most * PS_PER_NS,
        }


_PERCENTILES = {"p50": 500, "p90": 900, "p99": 990, "p999": 999}  # in thousandths


def _rank(ordered: list[int], thousandths: int) -> int:
    """Return the least value that at least that part of all values does not exceed (nearest rank)."""
    return ordered[-(-len(ordered) * thousandths // 1000) - 1]
