"""What differs between hosts: who has the same value as most, and who has not."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

ODD_ONES = "most hosts"
"""How messages call the hosts of the largest group."""


def groups(values: Mapping[str, K]) -> dict[K, list[str]]:
    """Return the hosts of each value, the largest group first; of equal ones that of the first host."""
    found: dict[K, list[str]] = {}
    for host, value in values.items():
        found.setdefault(value, []).append(host)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def listed(found: Mapping[K, list[str]]) -> str:
    """Return groups in words: `28.39.1002 on h1, h2; 28.37.1014 on h3`."""
    return "; ".join(f"{value} on {_short(hosts)}" for value, hosts in found.items())


def _short(hosts: list[str], most: int = 4) -> str:
    return (
        ", ".join(hosts) if len(hosts) <= most else f"{', '.join(hosts[:most])} and {len(hosts) - most} more"
    )
