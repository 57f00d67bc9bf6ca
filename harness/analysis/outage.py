"""How long a link was away, as far as those who took it down and up can tell."""

from __future__ import annotations

from typing import Any

from harness.core.evidence import Missing
from harness.core.flow_results import Known
from harness.core.result import RunResult


def longest_outage_ps(result: RunResult) -> Known:
    """Return the longest time in ps that a link can have been away: from its first going down to its last coming up.

    Machines take time to carry out an event: what counts is when they began the one and had done the other.
    The simulator does both at their times. Missing when there was no such pair of events, or it was not
    carried out.
    """
    downs = [_instant(event, "began_ps") for event in _events(result) if event.get("kind") == "link_down"]
    ups = [_instant(event, "done_ps") for event in _events(result) if event.get("kind") == "link_up"]
    if not downs or not ups:
        return Missing("no link went down and came up")
    told = [at for at in (*downs, *ups) if isinstance(at, int)]
    if len(told) < len(downs) + len(ups):
        return Missing("a link event was not carried out")
    return max(told[len(downs) :]) - min(told[: len(downs)])


def _events(result: RunResult) -> list[dict[str, Any]]:
    """Return the events as they were carried out, or, on the simulator, as they were asked for."""
    hosts = result.raw.get("hosts")
    played = hosts.get("events") if isinstance(hosts, dict) else result.job.get("events")
    return list(played or ())


def _instant(event: dict[str, Any], key: str) -> int | None:
    found = event.get(key) if key in event else event.get("at_ps")
    return found if isinstance(found, int) else None
