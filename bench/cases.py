"""What is run: each case is a fabric, its flows and, where one exists, the published run it repeats."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from bench import shapes
from bench.protocols import Protocol
from bench.shapes import Flow, Shape

MB = 1_000_000
KB = 1_000


@dataclass(frozen=True, slots=True)
class Case:
    """One row: ``key`` joins it to the published figures, ``group`` is the table it stands in."""

    key: str
    title: str
    group: str
    build: Callable[[], tuple[Shape, list[Flow]]]


def job(case: Case, protocol: Protocol, seed: int = 1) -> dict[str, object]:
    """The whole job of a case under a protocol, without series or traces."""
    shape, flows = case.build()
    return {
        "format": 1,
        "name": f"bench {case.key} {protocol.name}",
        "seed": seed,
        "until": "done",
        "wire": protocol.wire,
        "nic": protocol.nic,
        "switch": protocol.switch,
        "nodes": shape.nodes(),
        "links": shape.links,
        "flows": flows,
    }


def published_cases() -> list[Case]:
    """The scenarios for which figures of other simulators exist."""
    rows = [
        ("incast-8", "incast 8:1, 10 MB, one switch, 9 hosts", _incast(8, 10 * MB)),
        ("incast-16", "incast 16:1, 20 MB, one switch, 17 hosts", _incast(16, 20 * MB)),
        ("perm-64", "permutation 20 MB, 8x8x8, 64 hosts", _permutation(8, 8, 8, 20 * MB)),
        ("perm-128", "permutation 20 MB, 8x16x16, 128 hosts", _permutation(8, 16, 16, 20 * MB)),
        ("perm-256", "permutation 10 MB, 16x16x16, 256 hosts", _permutation(16, 16, 16, 10 * MB)),
        ("a2a-64", "all-to-all 300 kB, 8x8x8, 4032 flows", _all_to_all(8, 8, 8, 300 * KB)),
        ("a2a-128", "all-to-all 75 kB, 8x16x16, 16256 flows", _all_to_all(8, 16, 16, 75 * KB)),
    ]
    return [Case(key, title, "published", build) for key, title, build in rows]


def growth_cases() -> list[Case]:
    """How speed and memory change with hosts (2 MB each) and with flows (128 MB in all, 64 hosts)."""
    by_hosts = [
        Case(f"hosts-{n * n}", f"{n * n} hosts", "hosts", _permutation(n, n, n, 2 * MB))
        for n in (4, 8, 16, 32)
    ]
    by_flows = [
        Case(f"flows-{64 * k}", f"{64 * k} flows", "flows", _many(k, 2 * MB // k)) for k in (1, 8, 64, 256)
    ]
    return list(itertools.chain(by_hosts, by_flows))


def _incast(senders: int, size_bytes: int) -> Callable[[], tuple[Shape, list[Flow]]]:
    def build() -> tuple[Shape, list[Flow]]:
        shape = shapes.star(senders + 1)
        return shape, shapes.incast(shape, size_bytes)

    return build


def _permutation(
    leaves: int, hosts_per_leaf: int, spines: int, size_bytes: int
) -> Callable[[], tuple[Shape, list[Flow]]]:
    def build() -> tuple[Shape, list[Flow]]:
        shape = shapes.leaf_spine(leaves, hosts_per_leaf, spines)
        return shape, shapes.permutation(shape, size_bytes)

    return build


def _all_to_all(
    leaves: int, hosts_per_leaf: int, spines: int, size_bytes: int
) -> Callable[[], tuple[Shape, list[Flow]]]:
    def build() -> tuple[Shape, list[Flow]]:
        shape = shapes.leaf_spine(leaves, hosts_per_leaf, spines)
        return shape, shapes.all_to_all(shape, size_bytes)

    return build


def _many(flows_per_host: int, size_bytes: int) -> Callable[[], tuple[Shape, list[Flow]]]:
    def build() -> tuple[Shape, list[Flow]]:
        shape = shapes.leaf_spine(8, 8, 8)
        return shape, shapes.permutation(shape, size_bytes, flows_per_host=flows_per_host)

    return build
