"""Whether a run is evidence: what must be there and have happened before any figure of it is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from harness.core.counters import Counter
from harness.core.evidence import Missing
from harness.core.facts import Facts
from harness.core.flow_results import FlowResult, FlowSet, FlowStatus
from harness.core.job import matches
from harness.core.laws import broken_laws
from harness.core.port_counters import COUNTED, CounterTable
from harness.core.series import SeriesSet
from harness.core.units import US, format_duration, format_rate

LOAD_TOLERANCE = 0.05
"""Part of its asked load that a generator may miss: start-up and the last acknowledgement of a short flow."""

LOAD_SLACK_PS = 100 * US
"""Time a paced flow may take beyond its asked load; a hundred round trips of a lab."""

HEADER_BYTES = 98
"""Most wire bytes besides payload of a RoCEv2 write over IPv4.

14+20+8+12+16+4+4 and 20 of preamble and gap.
"""

CLOCK_JUMP_NS = 100_000_000
"""0.1 s: NTP slews smaller offsets and steps larger ones (ntpd's step threshold is 128 ms)."""

SERIES = (
    "queue_bytes", "shared_bytes", "goodput_bps", "cc_rate_bps", "cc_alpha", "pause_fraction", "ecn_marked", "cnp_sent"
)  # fmt: skip
"""Series that the simulator records."""

FIGURES = (
    "message_bytes", "messages_completed", "bytes_sent", "bytes_delivered", "bytes_acked", "packets_sent",
    "packets_delivered", "packets_dropped", "packets_retransmitted", "packets_duplicate", "packets_out_of_order",
    "packets_in_flight", "ecn_marked", "cnp_sent", "cnp_received", "rate_cuts", "rate_increases", "naks_sent",
    "naks_received", "timeouts", "rnr_naks_sent", "rnr_naks_received",
)  # fmt: skip
"""Figures of a flow that the simulator always knows."""

BROKEN_MESSAGES = ("messages_duplicated", "messages_corrupted")
"""What no transport may do to a message; datagrams may be lost or overtake each other."""

SHOWN = 3
"""Most names that a reason lists."""


def invalid_reasons(
    job: Mapping[str, Any],
    raw: Mapping[str, Any],
    flows: FlowSet,
    may_fail: Sequence[str],
    series: SeriesSet | None = None,
) -> tuple[str, ...]:
    """Return every reason why the run is no evidence, in words."""
    checks = (
        _ended(raw),
        _conserved(raw),
        _all_flows(job, flows),
        _flows_ended(job, flows, may_fail),
        _load_reached(job, raw, flows),
        _counters_there(job, raw),
        _series_there(job, raw, series),
        _figures_there(raw),
        _payload_right(raw, may_fail),
        _started_together(raw),
        _clocks_steady(raw),
        _pauses_held(raw),
        _nothing_negative(raw),
        law_reasons(job, raw, series),
    )
    return tuple(reason for check in checks for reason in check)


def _ended(raw: Mapping[str, Any]) -> Iterator[str]:
    ended = raw.get("ended")
    if ended == "limit":
        yield "the run was given up before all flows were complete"
    elif ended not in ("done", "duration"):
        yield f"the run ended with {ended!r}"
    if raw.get("error") is not None:
        yield f"the run failed: {raw['error']}"


def _conserved(raw: Mapping[str, Any]) -> Iterator[str]:
    conservation = raw.get("conservation")
    ok = conservation.get("ok") if isinstance(conservation, dict) else None
    if ok is False:
        yield "packets were not conserved"
    elif ok is None and raw.get("simulated") is not False:
        yield "the result does not say whether packets were conserved"


def _all_flows(job: Mapping[str, Any], flows: FlowSet) -> Iterator[str]:
    found = {flow.name for flow in flows}
    absent = [flow["name"] for flow in job.get("flows") or () if flow["name"] not in found]
    if absent:
        yield f"no result for {_listed(absent)}"


def _flows_ended(job: Mapping[str, Any], flows: FlowSet, may_fail: Sequence[str]) -> Iterator[str]:
    """A run for a set time may leave flows unfinished; nothing else may, unless the scenario says so."""
    excused = {FlowStatus.DONE} | ({FlowStatus.UNFINISHED} if job.get("until") == "duration" else set())
    for status in FlowStatus:
        names = [
            flow.name + (f" ({flow.error})" if flow.error else "")
            for flow in flows
            if flow.status is status and not any(matches(flow.name, pattern) for pattern in may_fail)
        ]
        if names and status not in excused:
            yield f"{status.value.replace('_', ' ')}: {_listed(names)}"


def _load_reached(job: Mapping[str, Any], raw: Mapping[str, Any], flows: FlowSet) -> Iterator[str]:
    """A paced flow that nothing held back must have sent at its rate.

    Otherwise the load asked for was not there.
    """
    asked = {flow["name"]: flow for flow in job.get("flows") or ()}
    shared = _ports_with_other_load(job)
    short = []
    for flow in flows:
        wanted = asked.get(flow.name)
        if wanted is None or not _is_plainly_paced(wanted) or wanted["src"] in shared:
            continue
        if not _was_held_back(flow, raw) and _fell_short(flow, wanted):
            short.append(f"{flow.name} (asked {format_rate(wanted['rate_bps'] * wanted['qps'])})")
    if short:
        yield f"the generator did not reach the asked load: {_listed(short)}"
    yield from _oversubscribed(job)


def _is_plainly_paced(wanted: Mapping[str, Any]) -> bool:
    """Only the rate limits it: no window, no gaps between messages or bursts, no answers to wait for."""
    limited = ("window_bytes", "max_outstanding", "message_interval_ps", "recv_depth")
    return (
        wanted["rate_bps"] > 0
        and wanted["verb"] in ("write", "send")
        and not any(wanted[key] for key in limited)
        and not (wanted.get("load") or {}).get("burst")
    )


def _ports_with_other_load(job: Mapping[str, Any]) -> set[str]:
    """Source ports that also send flows without a rate.

    There the share of a paced flow is up to the scheduler.
    """
    return {flow["src"] for flow in job.get("flows") or () if not _is_plainly_paced(flow)}


def _was_held_back(flow: FlowResult, raw: Mapping[str, Any]) -> bool:
    """Whether the network, and not the generator, explains a lower rate.

    Congestion control, loss or pause.
    """
    if flow.status in (FlowStatus.FAILED, FlowStatus.NOT_STARTED):
        return True
    causes = (
        flow.rate_cuts,
        flow.naks_received,
        flow.timeouts,
        flow.rnr_naks_received,
        flow.packets_retransmitted,
    )
    if any(not isinstance(cause, Missing) and cause > 0 for cause in causes):
        return True
    port = (raw.get("ports") or {}).get(flow.src) or {}
    paused = port.get("rx_pause_duration_ps")
    drops = port.get("drops")
    return (isinstance(paused, list) and sum(paused) > 0) or (
        isinstance(drops, dict) and sum(drops.values()) > 0
    )


def _fell_short(flow: FlowResult, wanted: Mapping[str, Any]) -> bool:
    if isinstance(flow.bytes_sent, Missing) or isinstance(flow.busy_ps, Missing):
        return False  # told by the other checks
    asked_bps = int(wanted["rate_bps"]) * int(wanted["qps"])
    needed_ps = flow.bytes_sent * 8 * 10**12 / asked_bps * _wire_factor(flow)
    return flow.busy_ps > needed_ps * (1 + LOAD_TOLERANCE) + LOAD_SLACK_PS


def _wire_factor(flow: FlowResult) -> float:
    """Return wire bytes per payload byte: the rate of a flow counts wire bits."""
    if isinstance(flow.packets_sent, Missing) or isinstance(flow.bytes_sent, Missing) or flow.bytes_sent == 0:
        return 1.0
    return 1.0 + HEADER_BYTES * flow.packets_sent / flow.bytes_sent


def _oversubscribed(job: Mapping[str, Any]) -> Iterator[str]:
    """A paced flow that asks for more than its source's link carries can never reach its load."""
    rates = {end: link["rate_bps"] for link in job.get("links") or () for end in (link["a"], link["b"])}
    asked: dict[str, int] = {}
    for flow in job.get("flows") or ():
        alone = flow["rate_bps"] * flow["qps"]
        asked[flow["src"]] = max(asked.get(flow["src"], 0), alone)
    for port, rate in asked.items():
        if port in rates and rate > rates[port]:
            yield f"{format_rate(rate)} were asked of {port}, whose link has {format_rate(rates[port])}"


def _counters_there(job: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[str]:
    """Every linked port must have every counter of the format, but those that its devices do not offer."""
    ports: Mapping[str, Any] = raw.get("ports") or {}
    dark = set(raw.get("not_reached") or ())
    linked = [end for link in job.get("links") or () for end in (link["a"], link["b"])]
    absent = [port for port in linked if port not in ports and port.partition(":")[0] not in dark]
    if absent:
        yield f"no counters of {_listed(absent)}"
    hosts = {node["name"] for node in job.get("nodes") or () if node.get("kind") == "host"}
    host_ports = frozenset(port for port in ports if port.partition(":")[0] in hosts)
    table = CounterTable(ports, host_ports)
    gaps = [
        str(counter) for counter in Counter if counter in COUNTED and _has_gap(table, counter, _waived(raw))
    ]
    if ports and gaps:
        yield f"missing counters: {_listed(gaps)}"


def _waived(raw: Mapping[str, Any]) -> dict[bool, frozenset[str]]:
    """Counters that the devices of hosts (True) and switches (False) do not have, as the result says."""
    said = raw.get("not_offered") or {}
    return {True: frozenset(said.get("host") or ()), False: frozenset(said.get("switch") or ())}


def _has_gap(table: CounterTable, counter: Counter, waived: Mapping[bool, frozenset[str]]) -> bool:
    return any(
        isinstance(value, Missing) and counter.key not in waived[port in table.host_ports]
        for port, value in table.by_port(counter).items()
    )


def _payload_right(raw: Mapping[str, Any], may_fail: Sequence[str]) -> Iterator[str]:
    """Data that arrived wrong proves nothing about speed; a test of integrity names its flows in may_fail."""
    wrong = [
        f"{flow.get('name')} ({flow['payload_mismatched_bytes']} B)"
        for flow in raw.get("flows") or ()
        if flow.get("payload_mismatched_bytes")
        and not any(matches(str(flow.get("name")), pattern) for pattern in may_fail)
    ]
    if wrong:
        yield f"payload arrived wrong: {_listed(wrong)}"
    broken = [
        f"{flow.get('name')} ({flow[key]} {key.removeprefix('messages_')})"
        for flow in raw.get("flows") or ()
        for key in BROKEN_MESSAGES
        if flow.get(key) and not any(matches(str(flow.get("name")), pattern) for pattern in may_fail)
    ]
    if broken:
        yield f"messages arrived wrong: {_listed(broken)}"


def _started_together(raw: Mapping[str, Any]) -> Iterator[str]:
    """Hosts that start too far apart did not run the scenario; with one host there is nothing to compare."""
    hosts = raw.get("hosts")
    if not isinstance(hosts, dict):
        if raw.get("simulated") is False:
            yield "the result does not say when the hosts started"
        return
    skew, limit = hosts.get("start_skew_ps"), hosts.get("max_start_skew_ps")
    if not isinstance(skew, int) or not isinstance(limit, int):
        yield "the start skew of the hosts is not known"
    elif skew > limit:
        yield f"hosts started {format_duration(skew)} apart, more than {format_duration(limit)}"


def _clocks_steady(raw: Mapping[str, Any]) -> Iterator[str]:
    """A clock that was set during the run makes time stamps of other tools (captures, logs) worthless."""
    hosts = raw.get("hosts")
    clocks = hosts.get("clock") if isinstance(hosts, dict) else None
    for host, clock in (clocks or {}).items():
        jump = clock.get("jump_ns") if isinstance(clock, dict) else None
        if isinstance(jump, int) and abs(jump) > CLOCK_JUMP_NS:
            yield f"the clock of {host} jumped by {jump / 1e9:+.3f} s during the run"


def _series_there(job: Mapping[str, Any], raw: Mapping[str, Any], series: SeriesSet | None) -> Iterator[str]:
    if job.get("sample_every_ps") and job.get("output_dir") and raw.get("series") is None:
        yield "series were asked for and are not there"
    if series is None or raw.get("series") is None:
        return
    known = SERIES if raw.get("simulated") is not False else ()
    unread = [name for name in dict.fromkeys((*known, *series)) if series[name].missing is not None]
    if unread:
        yield f"series that cannot be read: {_listed(unread)}"


def _pauses_held(raw: Mapping[str, Any]) -> Iterator[str]:
    """A pause with gaps is another experiment: what its sender cannot vouch for did not happen.

    Where gaps were asked for (an interval longer than the pause) none may be longer than that.
    """
    hosts = raw.get("hosts")
    for event in (hosts.get("events") if isinstance(hosts, dict) else None) or ():
        if event.get("kind") != "pause_storm" or event.get("began_ps") is None:
            continue
        said = event.get("certificate") or {}
        largest, limit = said.get("largest_gap_ns"), _longest_gap(said)
        if said.get("error") is not None:
            yield f"the pause of {event.get('port')} broke off: {said['error']}"
        elif not isinstance(largest, int) or limit is None:
            yield f"nobody vouches for the pause of {event.get('port')}"
        elif largest > limit:
            sizes = f"largest {format_duration(largest * 1000)} over {format_duration(limit * 1000)}"
            yield f"the pause of {event.get('port')} had gaps: {sizes}"


def _longest_gap(said: Mapping[str, Any]) -> int | None:
    """Return how far apart the frames of a pause may be, in ns: its quanta, or what was asked for beyond them."""
    held, interval = said.get("quanta_ns"), said.get("interval_ns")
    if not isinstance(held, int) or not isinstance(interval, int):
        return None
    return held if interval <= held else interval + held


def _figures_there(raw: Mapping[str, Any]) -> Iterator[str]:
    """The simulator knows every figure of a flow, but for the end of one that has none; hosts know fewer."""
    if raw.get("simulated") is False:
        return
    gaps = [
        f"{key} of {flow.get('name')}"
        for flow in raw.get("flows") or ()
        for key in FIGURES
        if flow.get(key) is None
    ]
    if gaps:
        yield f"missing figures of flows: {_listed(gaps)}"


def _nothing_negative(raw: Mapping[str, Any]) -> Iterator[str]:
    """A counter below zero wrapped or was reset; what it stands at says nothing about the run."""
    places = [(place, port) for place, port in (raw.get("ports") or {}).items()]
    places += [(f"flow {flow.get('name')}", flow) for flow in raw.get("flows") or ()]
    places.append(("the run", {"end_ps": raw.get("end_ps")}))
    found = [f"{key} of {place}" for place, figures in places for key in _negative(figures)]
    if found:
        yield f"negative, it wrapped or was reset: {_listed(found)}"


def _negative(figures: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Names of figures that hold a number below zero: as such, in a list by priority or in an object."""
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from _negative(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    yield from _negative(item, f"{prefix}{key}.")
            if any(isinstance(item, int | float) and item < 0 for item in value):
                yield f"{prefix}{key}"
        elif isinstance(value, int | float) and value < 0:
            yield f"{prefix}{key}"


def law_reasons(
    job: Mapping[str, Any],
    raw: Mapping[str, Any],
    series: SeriesSet | None,
    touching: AbstractSet[str] = frozenset(),
) -> Iterator[str]:
    """Yield a reason for each law (harness/core/laws.py) that the run breaks; `touching` narrows to their readings."""
    for law, places in broken_laws(Facts(job, raw, series), touching):
        yield f"counters contradict each other: {_listed(places)} ({law.says.rstrip('.')})"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
