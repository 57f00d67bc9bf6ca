"""How long a link was away, as far as those who took it down and up can tell."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.core.evidence import Missing
from harness.core.flow_results import Known
from harness.core.result import RunResult
from harness.core.series import Series


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


def outages_seen(result: RunResult, flow: str, longer_ps: int) -> Known:
    """Return how often the goodput of a flow stood at 0 for longer than `longer_ps`, between its first and last byte.

    Missing when the series was not recorded, has nothing of the flow, or is too coarse to tell.
    """
    spans = _silences_ps(result.series["goodput_bps"], flow, longer_ps)
    return spans if isinstance(spans, Missing) else sum(span > longer_ps for span in spans)


def longest_silence_ps(result: RunResult, flow: str) -> Known:
    """Return the longest time in ps that the goodput of a flow stood at 0, between its first and last byte."""
    spans = _silences_ps(result.series["goodput_bps"], flow)
    return spans if isinstance(spans, Missing) else max(spans, default=0)


def _silences_ps(series: Series, flow: str, wanted_ps: int | None = None) -> list[int] | Missing:
    """Lengths of the runs of samples without goodput, in ps; a sample stands for the interval that it ends."""
    if series.missing is not None:
        return series.missing
    if flow not in series.columns:
        return Missing(f"series {series.name} has no column {flow!r}")
    moving = np.flatnonzero(series.column(flow) > 0)
    if not moving.size:
        return Missing(f"flow {flow} delivered nothing")
    times = series.time_ps[moving]
    step = int(np.min(np.diff(series.time_ps))) if series.time_ps.size > 1 else 0
    if wanted_ps is not None and 2 * step > wanted_ps:
        return Missing(f"samples {step} ps apart cannot tell an outage of {wanted_ps} ps")
    return [int(gap) - step for gap in np.diff(times)]


def _events(result: RunResult) -> list[dict[str, Any]]:
    """Return the events as they were carried out, or, on the simulator, as they were asked for."""
    hosts = result.raw.get("hosts")
    played = hosts.get("events") if isinstance(hosts, dict) else result.job.get("events")
    return list(played or ())


def _instant(event: dict[str, Any], key: str) -> int | None:
    found = event.get(key) if key in event else event.get("at_ps")
    return found if isinstance(found, int) else None
