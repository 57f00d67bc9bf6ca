"""Pause storms on hosts: `roce-load pause` sends the frames, and its certificate says whether the pause held.

The program is started before the run, is told when to begin on the host's clock, and waits there. It ends, and ends
the pause, with its standard input: when a run is over or given up, and when this process is no more.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from harness.core.errors import AgentFailed, CommandTimeout, TransportError, one_line
from harness.hosts.clock import ClockMap
from harness.hosts.devices import Endpoint
from harness.hosts.events import Played
from harness.hosts.failures import exit_text
from harness.hosts.gather import each
from harness.hosts.rig import Rig
from harness.transport.remote import RemoteProcess

log = logging.getLogger(__name__)

KIND = "pause_storm"
"""The kind of the event."""

READY_S = 60.0
"""For the program to start and open its socket; a second or two on a guest that is busy."""

PROBE_S = 30.0
"""For a host to say whether it may send frames."""

GRACE_S = 20.0
"""A program that has not given its result so long after the end of its storm never will."""

LAST_WORDS_S = 2.0
"""For a program that gave its result to end."""


def can_pause(rig: Rig) -> bool:
    """Tell whether every host port can send pause frames: the program is there and may open a packet socket."""
    ports = rig.endpoints.values()
    if not ports or any(rig.natives[end.host].path is None or end.netdev is None for end in ports):
        return False
    found = each(
        [end.name for end in ports], lambda name: _probe(rig, name), timeout_s=2 * PROBE_S, what="probe"
    )
    return all(found.values())


def _probe(rig: Rig, name: str) -> bool:
    end = rig.endpoints[name]
    argv = [_program(rig, end), "pause", "--interface", str(end.netdev), "--probe"]
    done = rig.crew.remotes[end.host].run(argv, timeout_s=PROBE_S, check=False)
    if done.exit_code != 0:
        why = _object(done.stdout).get("error") or _last_line(done.stderr) or exit_text(done.exit_code)
        log.info("%s cannot send pause frames: %s", name, why)
    return done.exit_code == 0


def pause_argv(program: str, event: Mapping[str, Any], netdev: str, rate_bps: int) -> list[str]:
    """Return the command of a storm; `rate_bps` is for interfaces that do not know theirs."""
    argv = [
        program, "pause", "--interface", netdev, "--i-own-this-fabric", "--until-stdin-closes",
        "--start-at", "stdin",
        "--priorities", ",".join(str(priority) for priority in event["priorities"]),
        "--quanta", str(event["quanta"]),
        "--duration", f"{max(1, event['duration_ps'] // 1000)}ns",
        "--rate-if-unknown", str(rate_bps),
    ]  # fmt: skip
    if event["interval_ps"] is not None:
        argv += ["--interval", f"{max(1, event['interval_ps'] // 1000)}ns"]
    return argv


@dataclass(slots=True)
class _Storm:
    """One storm and the program that will send it."""

    event: Mapping[str, Any]
    host: str
    process: RemoteProcess
    told: bool = False


class Storms:
    """The storms of one run. Its methods may be called by several threads."""

    def __init__(self, rig: Rig, job: Mapping[str, Any]) -> None:
        self._rig = rig
        self._events = [event for event in job["events"] if event["kind"] == KIND]
        self._rates = {end: link["rate_bps"] for link in job["links"] for end in (link["a"], link["b"])}
        self._lock = threading.Lock()
        self._storms: dict[int, _Storm] = {}
        self._over = False
        self._t0_ns = 0
        self._clocks: Mapping[str, ClockMap] = {}

    @property
    def wanted(self) -> bool:
        """Whether the run has any."""
        return bool(self._events)

    def prepare(self) -> None:
        """Start the programs; all are ready on return.

        Raises:
            AgentFailed: a program does not start or may not send.
            TransportError: a host cannot be commanded.
        """
        named = {f"{event['port']}, storm {number}": event for number, event in enumerate(self._events)}
        each(named, lambda name: self._prepare(named[name]), timeout_s=READY_S + 5, what="starting the pause")

    def start(self, t0_ns: int, clocks: Mapping[str, ClockMap]) -> None:
        """Tell the programs when their time is: the run starts at `t0_ns` of the controller's clock."""
        self._t0_ns, self._clocks = t0_ns, clocks
        for storm in self._all():
            at_ns = clocks[storm.host].to_host(t0_ns + storm.event["at_ps"] // 1000)
            storm.process.write(f"{at_ns}\n".encode())

    def play(self, played: Played) -> None:
        """Wait for the end of a storm and note on `played` what became of it.

        Raises:
            AgentFailed: the host sent no frame.
            TransportError: it cannot be commanded.
        """
        storm = self._storms.get(id(played.event))
        if storm is None:  # no run without `prepare`
            raise AgentFailed(f"nobody was told of the pause of {played.event['port']}")
        storm.told = True
        due_ns = self._t0_ns + storm.event["at_ps"] // 1000
        wait_s = max(0, due_ns - time.monotonic_ns()) / 1e9 + storm.event["duration_ps"] / 1e12 + GRACE_S
        said = _collected(storm, wait_s)
        if said["error"] is not None and not said["frames"]:
            raise AgentFailed(one_line(f"{storm.host}: no pause on {storm.event['port']}: {said['error']}"))
        if said["frames"]:
            _note(played, storm.host, said, self._clocks[storm.host])

    def stop(self) -> None:
        """Let every storm end now, and let none begin; never raises."""
        with self._lock:
            self._over = True
        for storm in self._all():
            storm.process.close_stdin()

    def settle(self, events: Iterable[Played]) -> None:
        """After `stop`: note what became of those that nobody waited for; raises as `play`."""
        for played in events:
            storm = self._storms.get(id(played.event))
            if storm is not None and not storm.told:
                self.play(played)

    def kill(self) -> None:
        """End what did not stop; what was paused then lasts for the time of one frame. Never raises."""
        for storm in self._all():
            with suppress(TransportError, CommandTimeout):
                try:
                    storm.process.wait(LAST_WORDS_S)
                except CommandTimeout:
                    storm.process.kill()

    def _all(self) -> list[_Storm]:
        with self._lock:
            return list(self._storms.values())

    def _prepare(self, event: Mapping[str, Any]) -> None:
        end = self._rig.endpoints[event["port"]]
        argv = pause_argv(_program(self._rig, end), event, str(end.netdev), self._rates[end.name])
        storm = _Storm(event, end.host, self._rig.crew.remotes[end.host].start(argv))
        with self._lock:
            self._storms[id(event)] = storm
            over = self._over
        if over:  # another host failed meanwhile, and everything was given up
            storm.process.close_stdin()
            return
        line = storm.process.readline(READY_S)
        if _object(line).get("ready") is not True:
            said = _ended(storm, line)
            raise AgentFailed(one_line(f"{end.host}: no pause on {end.name}: {said['error']}"))


def _collected(storm: _Storm, wait_s: float) -> dict[str, Any]:
    """Return the result of a program; one that gives none in time is killed."""
    try:
        return _ended(storm, storm.process.readline(wait_s))
    except BaseException:
        with suppress(TransportError):
            storm.process.kill()
        raise


def _ended(storm: _Storm, line: bytes) -> dict[str, Any]:
    """Return the result that a line is; raises AgentFailed with the last words of a program that gave none."""
    said = _object(line)
    if said.get("op") == "pause":
        return said
    words = _last_line(storm.process.stderr_tail())
    try:
        how = exit_text(storm.process.wait(LAST_WORDS_S))
    except CommandTimeout:
        how = "gave no result and still runs"
    raise AgentFailed(one_line(f"{storm.host}: roce-load pause {how}{words and ': '}{words}"))


def _note(played: Played, host: str, said: dict[str, Any], clock: ClockMap) -> None:
    ended = said["xon_mono_ns"] or said["last_mono_ns"]
    played.began_ns = clock.to_controller(said["first_mono_ns"])
    played.done_ns = clock.to_controller(ended)
    played.said = {host: f"{said['frames']} pause frames on {said['interface']}"}
    played.certificate = said


def _object(line: bytes | str) -> dict[str, Any]:
    """Return the object that a line is, {} for anything else."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _program(rig: Rig, end: Endpoint) -> str:
    path = rig.natives[end.host].path
    if path is None:
        raise AgentFailed(
            f"{end.host}: there is no roce-load to send pause frames: {rig.natives[end.host].why}"
        )
    return path


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
