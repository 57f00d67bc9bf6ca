"""One run on hosts: arm everybody, fire together, collect, and leave no trace, whatever happens on the way."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from harness.core.errors import ConfigError
from harness.hosts.client import AgentEvent
from harness.hosts.engines import choose
from harness.hosts.events import Played, Schedule
from harness.hosts.gather import attempt, each, together
from harness.hosts.gear import routes_of
from harness.hosts.observed import Observed
from harness.hosts.pause import KIND as PAUSE_STORM
from harness.hosts.pause import Storms
from harness.hosts.plan import (
    End,
    Plan,
    by_host,
    flow_of,
    is_reliable,
    is_source,
    nic_of,
    plan_of,
    remote_ends,
)
from harness.hosts.qp_series import Announced, QpSeries, announced, fetch, sample_ns, thinning
from harness.hosts.rig import Rig, raise_first
from harness.hosts.series import progress_ms
from harness.hosts.traffic import SCHEDULE_FAILED, Course, Progress, Traffic

log = logging.getLogger(__name__)

FLIGHT_S = 0.2
"""For the last packets of a transport without acknowledgements to arrive, besides their time on the slowest link."""

MOST_FLIGHT_S = 5.0
"""As long as queues of any size take; what comes later is lost."""

ANSWER_S = 15.0
"""For an answer that needs no work: clocks, start."""

WORK_S = 120.0
"""For memory to be made and filled, QPs to be connected, payload to be checked; pings go on meanwhile."""

LEAD_NS = 300_000_000
"""How far ahead the common start is set, besides four round trips of the farthest host: 0.3 s."""

TEARDOWN_S = 3.0
"""For an agent to stop and tear down after an error; then it is killed."""

RESTORE_S = 8.0
"""For switches and NICs to be put back; with the above and 10 s to notice silence it makes 15 s."""


SERIES_S = 300.0
"""For the series of all QPs to come from hosts: 64 MiB at most, less when packed."""

LINK_EVENTS = frozenset({"link_down", "link_up", "link_rate"})
"""Events that name a port of a host and are done at the switch."""


class Execution:
    """One job on a rig. `run` returns what was observed, or raises and leaves everything as it was."""

    def __init__(self, rig: Rig, job: Mapping[str, Any], progress: Progress | None = None) -> None:
        self._rig = rig
        self._crew = rig.crew
        self._job = job
        self._progress = progress
        self._run = uuid.uuid4().hex[:12]
        self._seen = Observed()
        self._plan = Plan({})
        self._storms = Storms(rig, job)
        self._schedule = self._make_schedule()

    def run(self) -> Observed:
        """Execute the job.

        Raises:
            EngineError: an agent is lost, cannot, or does not fit its peer.
            TransportError: a machine cannot be commanded.
            DriverError: a switch does not answer as expected, or could not be restored.
            ConfigError: the job asks for what these devices cannot.
        """
        try:
            self._arm()
            self._fire()
            self._collect()
        except BaseException:
            self._rig.doubted.update(self._crew.hosts)
            self._clean_up()
            raise
        self._leave()
        return self._seen

    # --- before ----------------------------------------------------------------------------------------

    def _arm(self) -> None:
        step = self._seen.step
        self._seen.endpoints = dict(self._rig.endpoints)
        self._seen.hello = {host: self._crew.client(host).hello for host in self._crew.hosts}
        self._plan = plan_of(self._job, self._seen.endpoints, self._rig.site)
        self._seen.engines = choose(self._job, self._plan.hosts, self._rig.natives, self._rig.engine)
        with step("prepare"):
            work = {"switches": self._configure_switches, "hosts": self._configure_hosts}
            together(work, timeout_s=WORK_S, what="preparing")
        with step("connect"):
            connected = self._connect(self._seen.prepared)
        self._rig.switches.connected(routes_of(self._plan, self._job, connected, self._seen.prepared))
        if self._storms.wanted:
            with step("pause generators"):
                self._storms.prepare()
        with step("events at 0"):
            self._schedule.set_up()

    def _configure_switches(self) -> None:
        if self._rig.may_configure:
            self._rig.switches.set_up(self._job)

    def _configure_hosts(self) -> None:
        if self._rig.may_configure:
            self._rig.nics.set_up(self._job, self._seen.endpoints, self._crew.remotes)
        self._seen.prepared = self._prepare()

    def _prepare(self) -> dict[str, Any]:
        requests = {
            host: {
                "run": self._run,
                "qos": nic_of(self._job, host),
                "ends": [end.request for end in self._plan.of(host)],
                "native": self._native_request(host),
            }
            for host in self._plan.hosts
        }
        answers = self._crew.tell(requests, "prepare", timeout_s=WORK_S)
        return {ident: qps for answer in answers.values() for ident, qps in answer["ends"].items()}

    def _native_request(self, host: str) -> dict[str, Any] | None:
        """Return which native generator makes the traffic of a host, None for the agent itself."""
        native = self._seen.engines[host].native
        if native is None:
            return None
        every_ns = sample_ns(self._job["sample_every_ps"])
        folder = None if every_ns is None else native.series_folder(self._run, host)
        return {"path": native.path, "series": folder, "sample_ns": every_ns}

    def _connect(self, prepared: Mapping[str, Any]) -> dict[str, Any]:
        """Tell each end of its peer's QPs, targets first; return what agents say of the routes."""
        crossed = remote_ends(self._plan, prepared)
        routes: dict[str, Any] = {}
        for sources in (False, True):
            requests = {
                host: {"ends": {ident: qps for ident, qps in ends.items() if is_source(ident) == sources}}
                for host, ends in crossed.items()
            }
            wanted = {host: request for host, request in requests.items() if request["ends"]}
            for answer in self._crew.tell(wanted, "connect", timeout_s=WORK_S).values():
                routes.update(answer.get("routes") or {})
        return routes

    # --- during ----------------------------------------------------------------------------------------

    def _fire(self) -> None:
        hosts = self._plan.hosts
        with self._seen.step("counters"):
            self._read_counters("before", self._crew.hosts)
        with self._seen.step("clocks"):
            self._seen.clocks = self._rig.read_clocks(self._crew.hosts)
        self._seen.t0_ns = self._start_at()
        self._crew.tell(
            {
                host: {**self._start_request(self._seen.t0_ns, host), "until": self._job["until"]}
                for host in hosts
            },
            "start",
            timeout_s=ANSWER_S,
        )
        self._storms.start(self._seen.t0_ns, self._seen.clocks)
        self._schedule.start(self._seen.t0_ns)
        traffic = Traffic(
            self._crew,
            self._plan.ends.values(),
            t0_ns=self._seen.t0_ns,
            limit_ns=(self._job["duration_ps"] + self._job["drain_ps"]) // 1000,
            whole_bytes=self._whole_bytes(),
            progress=self._progress,
        )
        with self._seen.step("traffic"):
            course = traffic.follow()
        self._storms.stop()
        self._schedule.stop()
        self._storms.settle(self._schedule.played)
        self._seen.dark = frozenset(self._crew.dark)
        self._seen.ends = course.results
        self._seen.started = course.started
        self._seen.asked = course.asked
        self._seen.why = course.why
        self._seen.usage = course.usage

    def _start_at(self) -> int:
        farthest = max(clock.before.rtt_ns for clock in self._seen.clocks.values())
        return time.monotonic_ns() + LEAD_NS + 4 * farthest

    def _start_request(self, at_ns: int, host: str) -> dict[str, Any]:
        return {
            "at_mono_ns": self._seen.clocks[host].to_host(at_ns),
            "duration_ns": self._job["duration_ps"] // 1000,
            "progress_ms": progress_ms(self._job["sample_every_ps"]),
            "drain_ns": self._job["drain_ps"] // 1000,
        }

    def _whole_bytes(self) -> int | None:
        if self._job["until"] != "done":
            return None
        whole: int = sum(
            flow["message_bytes"] * flow["messages"] * flow["qps"] for flow in self._job["flows"]
        )
        return whole

    # --- after -----------------------------------------------------------------------------------------

    def _collect(self) -> None:
        with self._seen.step("verify"):
            time.sleep(flight_s(self._job))
            self._verify(self._seen.ends, self._seen.ends)
        with self._seen.step("series"):
            self._fetch_series()  # a second go writes its own
        self._recover()
        living = self._lit()
        with self._seen.step("counters"):
            self._read_counters("after", living)
        with self._seen.step("clocks"):
            for host, clock in self._rig.read_clocks(living).items():
                self._seen.clocks[host] = replace(self._seen.clocks[host], after=clock.before)
        self._check_reductions()
        self._note_abilities()

    def _verify(self, ends: Mapping[str, Any], into: dict[str, Any]) -> None:
        """Have the targets look at the payload, now that it is known what was posted."""
        asked = {
            self._plan.ends[ident].peer: {key: result[key] for key in ("posted", "completed")}
            for ident, result in ends.items()
            if is_source(ident) and result.get("posted") is not None
        }
        asked = {ident: sent for ident, sent in asked.items() if self._host_of(ident) not in self._seen.dark}
        requests = {host: {"ends": sent} for host, sent in by_host(self._plan, asked).items()}
        for answer in self._crew.tell(requests, "verify", timeout_s=WORK_S).values():
            into.update(answer["ends"])

    def _fetch_series(self) -> None:
        """Bring what native generators recorded of QPs here."""
        wanted: dict[str, Announced] = {}
        for ident, result in self._seen.ends.items():
            host = self._host_of(ident)
            if (
                is_source(ident)
                and host not in self._seen.dark
                and self._seen.engines[host].native is not None
            ):
                found = announced(host, flow_of(ident), result.get("series"))
                if found is not None and found.rows:
                    wanted[flow_of(ident)] = found
        every = thinning(wanted)
        hosts = dict.fromkeys(series.host for series in wanted.values())

        def one(host: str) -> dict[str, QpSeries]:
            client = self._crew.client(host)
            return {
                flow: fetch(client, series, every) for flow, series in wanted.items() if series.host == host
            }

        for found_there in each(hosts, one, timeout_s=SERIES_S, what="fetching series").values():
            self._seen.by_qp.update(found_there)

    def _recover(self) -> None:
        """Bring back the QPs of failed flows that ask for it, and let them send again."""
        wanted = {
            flow["name"]
            for flow in self._job["flows"]
            if (flow.get("verbs") or {}).get("recover") and self._failed(flow["name"])
        }
        ends = [end for end in self._plan.ends.values() if flow_of(end.ident) in wanted]
        if not ends:
            return
        named = {host: {"ends": idents} for host, idents in _idents(ends).items()}
        answers = self._crew.tell(named, "recover", timeout_s=WORK_S)
        prepared = {ident: qps for answer in answers.values() for ident, qps in answer["ends"].items()}
        self._connect(prepared)
        course = self._resume(ends, named)
        self._verify(course.results, course.results)
        self._seen.recovered = course.results

    def _resume(self, ends: list[End], named: Mapping[str, Mapping[str, Any]]) -> Course:
        at_ns = self._start_at()
        requests = {
            host: {**self._start_request(at_ns, host), "ends": request["ends"], "until": "done"}
            for host, request in named.items()
        }
        self._crew.tell(requests, "resume", timeout_s=ANSWER_S)
        limit_ns = self._job["duration_ps"] // 1000
        return Traffic(self._crew, ends, t0_ns=at_ns, limit_ns=limit_ns).follow()

    def _failed(self, flow: str) -> bool:
        dark = any(self._host_of(f"{flow}/{role}") in self._seen.dark for role in ("src", "dst"))
        return not dark and (self._seen.ends.get(f"{flow}/src") or {}).get("status") == "failed"

    def _check_reductions(self) -> None:
        hosts = {
            end.host
            for end in self._plan.ends.values()
            if end.request["flow"].get("reduce") is not None and end.host not in self._seen.dark
        }
        for answer in self._crew.ask(sorted(hosts), "reduce_check", timeout_s=WORK_S).values():
            self._seen.reductions.update(answer["groups"])

    def _note_abilities(self) -> None:
        switches, nics = self._rig.switches, self._rig.nics
        self._seen.not_offered = {"host": nics.not_offered, "switch": switches.not_offered}
        self._seen.deviations = {**nics.deviations, **switches.deviations}
        self._seen.unnamed = switches.unnamed
        self._seen.played = self._schedule.played

    # --- leaving ---------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Tear down and restore after a good run; what stays behind is an error that names it."""
        with self._seen.step("leave"):
            work = {"agents": self._tear_down, "devices": self._settle}
            left = together(work, timeout_s=TEARDOWN_S + 3 * RESTORE_S, what="leaving")
        raise_first({**left["agents"], **left["devices"]})
        if self._crew.dark:
            self._crew.light_up()

    def _clean_up(self) -> None:
        """After an error: end all traffic and put everything back, hosts and switches side by side."""
        log.info("cleaning up after an error")
        self._storms.stop()
        self._schedule.stop()
        self._storms.kill()
        switches = threading.Thread(target=self._restore, name="restoring", daemon=True)
        switches.start()
        self._tear_down()
        self._remove_series()
        switches.join(RESTORE_S)

    def _remove_series(self) -> None:
        """Remove what an agent that was lost could not; one that lives has done it."""
        folders = {
            host: choice.native.series_folder(self._run, host)
            for host, choice in self._seen.engines.items()
            if choice.native is not None and host not in self._lit() and self._is_reachable(host)
        }

        def one(host: str) -> None:
            self._crew.remotes[host].run(
                ["rm", "-rf", "--", folders[host]], timeout_s=TEARDOWN_S, check=False
            )

        attempt(folders, one, timeout_s=TEARDOWN_S, what="removing series")

    def _tear_down(self) -> dict[str, Exception]:
        return self._crew.silence(self._lit(), TEARDOWN_S)

    def _settle(self) -> dict[str, Exception]:
        """Put back what events changed; what was configured stands for the next run, until the fabric is closed."""
        return self._restore(only=self._rig.switches.disturbed)

    def _restore(self, *, only: Collection[str] | None = None) -> dict[str, Exception]:
        errors = self._rig.restore_switches(RESTORE_S, only=only)
        if self._rig.may_configure and self._seen.endpoints:
            lit = {host: self._crew.remotes[host] for host in self._crew.hosts if self._is_reachable(host)}
            errors |= self._rig.nics.restore(self._seen.endpoints, lit, RESTORE_S)
        return errors

    def _is_reachable(self, host: str) -> bool:
        remote = self._crew.remotes.get(host)
        return host not in self._crew.dark and remote is not None and remote.alive

    # --- small things ----------------------------------------------------------------------------------

    def _host_of(self, ident: str) -> str:
        return self._plan.ends[ident].host

    def _lit(self) -> list[str]:
        return self._crew.living()

    def _read_counters(self, when: str, hosts: Iterable[str]) -> None:
        """Keep raw counters of hosts and switches; the second time they become those of the result."""
        work: dict[str, Callable[[], dict[str, Any]]] = {
            "hosts": lambda: self._rig.read_counters(hosts),
            "switches": self._rig.switches.counters,
        }
        read = together(work, timeout_s=WORK_S, what="reading counters")
        readings, switches = read["hosts"], read["switches"]
        earlier = self._seen.raw_counters.get("before")
        self._seen.raw_counters[when] = read
        if earlier is not None:
            self._seen.ports = {
                **self._rig.nics.deltas(earlier["hosts"], readings),
                **self._rig.switches.deltas(earlier["switches"], switches),
            }

    def _make_schedule(self) -> Schedule:
        def failed(error: Exception) -> None:
            self._crew.events.put(AgentEvent("", SCHEDULE_FAILED, {"error": error}))

        return Schedule(self._job["events"], self._play, failed, {PAUSE_STORM})

    def _play(self, played: Played) -> None:
        if played.event["kind"] == PAUSE_STORM:
            self._storms.play(played)
            return
        played.began_ns = time.monotonic_ns()
        played.said = self._act(played.event)
        played.done_ns = time.monotonic_ns()

    def _act(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        if event["kind"] == "host_down":
            self._crew.darken(event["host"])
            return {event["host"]: "powered off"}
        if str(event.get("node") or event.get("port")).partition(":")[0] in self._crew.hosts and (
            event["kind"] not in LINK_EVENTS
        ):
            raise ConfigError(f"nothing here can do {event['kind']} on a host", key="events", value=event)
        return {node: done.what for node, done in self._rig.switches.apply(event).items()}


def flight_s(job: Mapping[str, Any]) -> float:
    """Return how long what was sent without acknowledgements may still be on its way, in s; 0 for reliable flows."""
    payload = sum(
        flow["message_bytes"] * max(1, flow["messages"]) * flow["qps"]
        for flow in job["flows"]
        if not is_reliable(flow)
    )
    slowest = min((link["rate_bps"] for link in job["links"]), default=0)
    return min(MOST_FLIGHT_S, FLIGHT_S + payload * 8 / slowest) if payload and slowest else 0.0


def _idents(ends: Iterable[End]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for end in ends:
        grouped.setdefault(end.host, []).append(end.ident)
    return grouped
