"""Marking and pause thresholds of a run as its job has them, every default filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.analysis.pfc import dynamic_queue_bytes
from harness.core.record import Figure
from harness.core.units import format_rate

# More sets of thresholds than this cannot be told apart on a chart.
_MAX_SETS = 2


def threshold_figures(job: Mapping[str, Any]) -> list[Figure]:
    """Kmin, Kmax and XOFF in bytes of the switches of the run, as far as a chart could show them."""
    return [*_marking(job), *_pausing(job)]


def _pausing(job: Mapping[str, Any]) -> Iterator[Figure]:
    """The most that one ingress port-priority holds before it sends a pause, while no other holds anything.

    The threshold is alpha times the free shared buffer (docs/job-format.md), so a lone port stops at
    reserve + alpha B / (1 + alpha) (Choudhury and Hahne 1998). B is taken to be the whole buffer: headroom and
    reserves, which come off it, depend on links and priorities in use, so the figure is the most it can be.
    """
    blocks = [node.get("switch") or {} for node in job.get("nodes", ()) if node.get("kind") == "switch"]
    common = job.get("switch") or {}
    found = {_xoff({**common, **block}) for block in blocks}
    if len(found) == 1 and (xoff := found.pop()) is not None:
        yield Figure("XOFF of a lone ingress, at most", xoff, "B")


def _xoff(switch: Mapping[str, Any]) -> int | None:
    buffer, lossless = switch.get("buffer") or {}, (switch.get("pfc") or {}).get("priorities") or ()
    if not lossless or buffer.get("model") != "dynamic" or "alpha" not in buffer or "bytes" not in buffer:
        return None
    alpha = float(buffer["alpha"])
    return int(buffer.get("reserve_bytes", 0) + dynamic_queue_bytes(alpha, int(buffer["bytes"]), 1))


def _marking(job: Mapping[str, Any]) -> list[Figure]:
    """Kmin and Kmax of the switch ports; with the port rate where they differ by rate.

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
