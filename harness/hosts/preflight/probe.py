"""A few flows between two hosts, outside of any scenario: prepare, connect, start, collect, verify, tear down."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from harness.core.errors import AgentFailed, AgentLost, HarnessError
from harness.core.flow import Flow
from harness.hosts.client import AgentClient
from harness.hosts.plan import Plan, by_host, is_source, plan_of, remote_ends
from harness.hosts.preflight.examination import Examination, Patient

ANSWER_S = 30.0
LEAD_NS = 50_000_000
"""How far ahead the start is set, besides two round trips; ends of a probe need not start together."""

ARRIVAL_S = 0.5
"""What was sent last may be on its way for so long before the targets are told to stop."""

GRACE_S = 10.0
"""An agent that has not finished so long after the limit never will."""

TICK_S = 0.05
TEARDOWN_S = 5.0

RETRIES = {"ack_timeout_exponent": 16, "retry_count": 3, "rnr_timer": 12, "rnr_retry": 6, "max_rd_atomic": 1}
"""A lost packet is sent again after 0.27 s, three times: an idle fabric loses none, and a dead one is soon told."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long a probe takes: until its flows are done, at most `limit_s`, or exactly that."""

    limit_s: float
    exactly: bool = False


class Probe:
    """Flows between two hosts that stand. `run` leaves nothing behind on either, whatever happens."""

    def __init__(
        self, exam: Examination, pair: tuple[str, str], flows: Sequence[Flow], length: Length
    ) -> None:
        self._patients = {host: exam.patients[host] for host in pair}
        self._length = length
        mtus = [exam.endpoints[end].active_mtu or 1024 for flow in flows for end in (flow.src, flow.dst)]
        self._qos = {**RETRIES, "mtu_bytes": min(mtus)}
        job = {"nic": self._qos, "nodes": [], "flows": [flow.to_job() for flow in flows]}
        self._plan: Plan = plan_of(job, exam.endpoints, exam.site)

    def run(self) -> dict[str, dict[str, Any]]:
        """Return the result of each end (`FLOW/src`, `FLOW/dst`) as the agent's protocol has it.

        Raises:
            AgentFailed: an agent refused, or gave no result in time.
            AgentLost: an agent is gone.
        """
        for patient in self._patients.values():
            _forget(patient)
        try:
            self._connect(self._prepare())
            self._start()
            results = self._follow()
            return {**results, **self._verify(results)}
        finally:
            self._tear_down()

    def _prepare(self) -> dict[str, Any]:
        run = uuid.uuid4().hex[:12]
        requests = {
            host: {"run": run, "qos": self._qos, "ends": [end.request for end in self._plan.of(host)]}
            for host in self._plan.hosts
        }
        answers = self._tell("prepare", requests)
        return {ident: qps for answer in answers.values() for ident, qps in answer["ends"].items()}

    def _connect(self, prepared: Mapping[str, Any]) -> None:
        crossed = remote_ends(self._plan, prepared)
        for sources in (False, True):
            wanted = {
                host: {"ends": {ident: qps for ident, qps in ends.items() if is_source(ident) == sources}}
                for host, ends in crossed.items()
            }
            self._tell("connect", {host: request for host, request in wanted.items() if request["ends"]})

    def _start(self) -> None:
        clocks = {host: patient.clock for host, patient in self._patients.items()}
        farthest = max(clock.rtt_ns for clock in clocks.values() if clock is not None)
        at_ns = time.monotonic_ns() + LEAD_NS + 2 * farthest
        limit_ns = round(self._length.limit_s * 1e9)
        common = {"duration_ns": limit_ns, "until": "duration" if self._length.exactly else "done"}
        requests = {
            host: {
                "at_mono_ns": at_ns + (clock.offset_ns if clock is not None else 0),
                "drain_ns": limit_ns,
                **common,
            }
            for host, clock in clocks.items()
        }
        self._tell("start", requests)

    def _follow(self) -> dict[str, dict[str, Any]]:
        """Wait until both agents have finished; stop targets that wait for what was lost."""
        give_up = time.monotonic() + 2 * self._length.limit_s + GRACE_S
        results: dict[str, dict[str, Any]] = {}
        open_sources, finished = self._plan.sources(), set[str]()
        stop_at: float | None = None
        while len(finished) < len(self._patients):
            for host, patient in self._patients.items():
                for kind, data in _said(patient):
                    if kind == "end":
                        open_sources.discard(str(data.get("id")))
                    elif kind == "finished":
                        finished.add(host)
                        results.update(data["ends"])
                        open_sources -= set(data["ends"])
            now = time.monotonic()
            if not open_sources and stop_at is None:
                stop_at = now + ARRIVAL_S
            if stop_at is not None and now >= stop_at:
                self._tell("stop", {host: {"drain_ns": 0} for host in self._patients if host not in finished})
                stop_at = float("inf")
            self._check(finished, give_up)
            time.sleep(TICK_S / 5 if not open_sources else TICK_S)
        return results

    def _check(self, finished: set[str], give_up: float) -> None:
        for host in self._patients:
            if host not in finished:
                _client(self._patients[host]).check_pulse()
                if time.monotonic() > give_up:
                    raise AgentFailed(
                        f"{host}: the agent gave no results within {GRACE_S:g} s of the end of a probe"
                    )

    def _verify(self, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        asked = {
            self._plan.ends[ident].peer: {key: result[key] for key in ("posted", "completed")}
            for ident, result in results.items()
            if is_source(ident)
        }
        requests = {host: {"ends": ends} for host, ends in by_host(self._plan, asked).items()}
        answers = self._tell("verify", requests)
        return {ident: result for answer in answers.values() for ident, result in answer["ends"].items()}

    def _tell(self, op: str, requests: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        """Ask both agents at once; raise the first error, when both have answered."""
        replies = {host: _client(self._patients[host]).submit(op, **said) for host, said in requests.items()}
        answers: dict[str, Mapping[str, Any]] = {}
        problem: HarnessError | None = None
        for host, reply in replies.items():
            try:
                answers[host] = reply.wait(ANSWER_S + self._length.limit_s)
            except HarnessError as error:
                problem = problem or error
        if problem is not None:
            raise problem
        return answers

    def _tear_down(self) -> None:
        for patient in self._patients.values():
            with suppress(HarnessError):
                _client(patient).request("teardown", timeout_s=TEARDOWN_S)


def _client(patient: Patient) -> AgentClient:
    if patient.client is None:
        raise AgentLost(f"{patient.host}: there is no agent")
    return patient.client


def _said(patient: Patient) -> list[tuple[str, Mapping[str, Any]]]:
    """Return what an agent said since the last look; raise when it is gone or broke off."""
    said = []
    with suppress(queue.Empty):
        while True:
            event = patient.events.get_nowait()
            if event.kind == "lost":
                raise _client(patient).lost or AgentLost(f"{patient.host}: the agent is gone")
            if event.kind == "failed":
                raise AgentFailed(f"{patient.host}: traffic broke off: {event.data.get('message')}")
            said.append((event.kind, event.data))
    return said


def _forget(patient: Patient) -> None:
    """Drop what an agent said before, but for its end."""
    client = _client(patient)
    if client.lost is not None:
        raise client.lost
    with suppress(queue.Empty):
        while True:
            patient.events.get_nowait()
