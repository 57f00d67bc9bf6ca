"""Traffic under way: what agents say between the agreed start and the last result, and what must not happen."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import AgentFailed, one_line
from harness.hosts.client import AgentEvent
from harness.hosts.crew import Crew
from harness.hosts.plan import End, is_source

Progress = Callable[[float, int], None]
"""Called with the part of the run that is done (0 to 1) and the time since its start in ps."""

TICK_S = 0.25
"""The longest time between two looks at pulses and deadlines."""

REPORT_NS = 100_000_000
"""Progress is reported at most each 0.1 s."""

START_GRACE_S = 5.0
"""An agent that has not started so long after the agreed instant never will."""

ARRIVAL_GRACE_S = 0.5
"""How long what the last sender sent may still be on its way before receivers are told to stop."""

FINISH_GRACE_S = 10.0
"""An agent that has not given its results so long after the end never will."""

SCHEDULE_FAILED = "schedule_failed"
"""Kind of the event that says that an event of the scenario could not be carried out."""


@dataclass(slots=True)
class Course:
    """What happened on the hosts during one stretch of traffic; instants are those of each host's clock."""

    started: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    usage: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)


class Traffic:
    """Follows the agents of `ends` from start to results.

    `t0_ns` is the agreed start on the controller's clock, `limit_ns` the longest time traffic may take after
    it (the scenario's duration and drain). `whole_bytes` is the payload of all flows, None when that is not
    set.
    """

    def __init__(
        self,
        crew: Crew,
        ends: Iterable[End],
        *,
        t0_ns: int,
        limit_ns: int,
        whole_bytes: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.course = Course()
        self._crew = crew
        self._ends = {end.ident: end for end in ends}
        self._hosts = {end.host for end in self._ends.values()}
        self._t0_ns = t0_ns
        self._limit_ns = limit_ns
        self._whole = whole_bytes
        self._progress = progress
        self._ended: set[str] = set()
        self._finished: set[str] = set()
        self._acked: dict[str, int] = {}
        self._sent_ns: int | None = None
        self._stopped_ns: int | None = None
        self._reported_ns = 0

    def follow(self) -> Course:
        """Return when every host that is not powered off has given its results.

        Raises:
            AgentLost: an agent ended, or its connection did, or it fell silent.
            AgentFailed: an agent did not start or finish in time, or ended traffic by an error of its own.
            HarnessError: an event of the scenario could not be carried out.
        """
        while self._awaited():
            with suppress(queue.Empty):
                self._hear(self._crew.events.get(timeout=TICK_S))
            self._check()
            self._report()
        return self.course

    def _awaited(self) -> set[str]:
        return self._hosts - self._finished - self._crew.dark

    def _hear(self, event: AgentEvent) -> None:
        data = event.data
        match event.kind:
            case "lost" if event.host not in self._crew.dark:
                raise self._crew.client(event.host).lost or AgentFailed(str(data.get("message")))
            case "started":
                self.course.started[event.host] = int(data["mono_ns"])
                self.course.asked[event.host] = int(data["asked_mono_ns"])
            case "progress":
                self._acked.update(data.get("flows") or {})
            case "end":
                self._ended.add(str(data.get("id")))
            case "finished":
                self._finish(event.host, data)
            case "failed":
                error = data.get("error")
                said = error.get("message") if isinstance(error, dict) else None
                raise AgentFailed(
                    one_line(f"{event.host}: traffic broke off: {said or 'it does not say why'}")
                )
            case "schedule_failed":
                raise data["error"]

    def _finish(self, host: str, data: Mapping[str, Any]) -> None:
        self._finished.add(host)
        self.course.results.update(data["ends"])
        self.course.usage[host] = data.get("usage") or {}
        self.course.why[host] = str(data.get("why"))
        self._ended.update(data["ends"])

    def _check(self) -> None:
        """Look whether everybody is alive and in time; stop receivers that wait for what never comes.

        Agents that have nothing to do, such as the targets of writes, are pinged.
        """
        for host in self._crew.hosts:
            if host not in self._crew.dark:
                self._crew.client(host).check_pulse()
        now = time.monotonic_ns()
        self._check_start(now)
        self._wind_down(now)
        self._check_end(now)

    def _check_start(self, now: int) -> None:
        if now < self._t0_ns + START_GRACE_S * 1e9:
            return
        for host in sorted(self._awaited()):
            if host not in self.course.started:
                raise AgentFailed(
                    f"{host}: the agent did not start within {START_GRACE_S:g} s of the time set"
                )

    def _wind_down(self, now: int) -> None:
        if self._stopped_ns is not None:
            return
        if self._sent_ns is None and self._all_sent():
            self._sent_ns = now
        if self._sent_ns is not None and now >= self._sent_ns + ARRIVAL_GRACE_S * 1e9:
            self._stopped_ns = now
            self._crew.ask(sorted(self._awaited()), "stop", timeout_s=FINISH_GRACE_S, drain_ns=0)

    def _all_sent(self) -> bool:
        dark = self._crew.dark
        return all(
            ident in self._ended or end.host in dark for ident, end in self._ends.items() if is_source(ident)
        )

    def _check_end(self, now: int) -> None:
        last_ns = self._t0_ns + self._limit_ns if self._stopped_ns is None else self._stopped_ns
        if now < last_ns + FINISH_GRACE_S * 1e9:
            return
        for host in sorted(self._awaited()):
            raise AgentFailed(
                f"{host}: the agent gave no results within {FINISH_GRACE_S:g} s of the end of traffic"
            )

    def _report(self) -> None:
        now = time.monotonic_ns()
        if self._progress is None or now < self._reported_ns + REPORT_NS:
            return
        self._reported_ns = now
        elapsed_ns = max(0, now - self._t0_ns)
        done = sum(self._acked.values()) / self._whole if self._whole else elapsed_ns / self._limit_ns
        self._progress(min(1.0, done), elapsed_ns * 1000)
