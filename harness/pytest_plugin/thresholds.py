"""Marking thresholds of a run as its job has them, every default filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.core.record import Figure
from harness.core.units import format_rate

# More sets of thresholds than this cannot be told apart on a chart.
_MAX_SETS = 2


def threshold_figures(job: Mapping[str, Any]) -> list[Figure]:
    """Kmin and Kmax in bytes of the switch ports of the run; with the port rate where they differ by rate.

    Nothing without marking, and nothing when ports differ in more ways than a chart could show.
    """
    found = dict.fromkeys(_by_port(job))
    if len({profile for _, profile in found}) == 1:
        found = {(0, next(iter(found))[1]): None}
    if not 0 < len(found) <= _MAX_SETS:
        return []
    return [
        Figure(f"{label} at {format_rate(rate)}" if rate else label, value, "B")
        for rate, profile in found
        for label, value in zip(("Kmin", "Kmax"), profile, strict=True)
    ]


def _by_port(job: Mapping[str, Any]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Rate and (Kmin, Kmax) of each linked switch port that marks."""
    switches = {
        node["name"]: node.get("switch") or {}
        for node in job.get("nodes", ())
        if node.get("kind") == "switch"
    }
    common = (job.get("switch") or {}).get("ecn")
    for link in job.get("links", ()):
        for end in (link["a"], link["b"]):
            node = end.partition(":")[0]
            if node in switches:
                yield from _of_port(switches[node].get("ecn", common), link["rate_bps"])


def _of_port(ecn: Mapping[str, Any] | None, rate_bps: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """A port uses the profile of its own rate, else the one with rate 0 (docs/job-format.md)."""
    profiles = {profile["rate_bps"]: profile for profile in (ecn or {}).get("profiles", ())}
    profile = profiles.get(rate_bps, profiles.get(0))
    if profile is not None:
        yield rate_bps, (profile["kmin_bytes"], profile["kmax_bytes"])
