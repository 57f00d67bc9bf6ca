"""Pause storms on hosts: `roce-load pause` sends the frames, and its certificate says whether the pause held.

The program is started some time before a storm is due and waits there, on the host's clock. It ends, and ends the
pause, with its standard input: when a run is over or given up, and when this process is no more.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
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

LEAD_S = 3.0
"""How long before a storm is due its program is started, when the run is long enough: a slow guest takes one."""

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
        said = _result(done.stdout.encode()) or {}
        why = said.get("error") or _last_line(done.stderr) or exit_text(done.exit_code)
        log.info("%s cannot send pause frames: %s", name, why)
    return done.exit_code == 0


def pause_argv(
    program: str, event: Mapping[str, Any], netdev: str, rate_bps: int, start_at_ns: int
) -> list[str]:
    """Return the command of a storm; `rate_bps` is for interfaces that do not know theirs."""
    argv = [
        program, "pause", "--interface", netdev, "--i-own-this-fabric", "--until-stdin-closes",
        "--priorities", ",".join(str(priority) for priority in event["priorities"]),
        "--quanta", str(event["quanta"]),
        "--duration", f"{max(1, event['duration_ps'] // 1000)}ns",
        "--rate-if-unknown", str(rate_bps),
        "--start-at", str(start_at_ns),
    ]  # fmt: skip
    if event["interval_ps"] is not None:
        argv += ["--interval", f"{max(1, event['interval_ps'] // 1000)}ns"]
    return argv


class Storms:
    """The storms of one run. `play` may be called by several threads at once, `stop` by another."""

    def __init__(self, rig: Rig, job: Mapping[str, Any]) -> None:
        self._rig = rig
        self._rates = {end: link["rate_bps"] for link in job["links"] for end in (link["a"], link["b"])}
        self._lock = threading.Lock()
        self._running: set[RemoteProcess] = set()
        self._over = False
        self._t0_ns = 0
        self._clocks: Mapping[str, ClockMap] = {}

    def start(self, t0_ns: int, clocks: Mapping[str, ClockMap]) -> None:
        """Say when the run starts on the controller's clock, and what the hosts' clocks show."""
        self._t0_ns, self._clocks = t0_ns, clocks

    def play(self, played: Played) -> None:
        """Do one storm from its start to its end and note on `played` what became of it.

        Raises:
            AgentFailed: the host sent no frame.
            TransportError: it cannot be commanded.
        """
        event = played.event
        end = self._rig.endpoints[event["port"]]
        clock = self._clocks[end.host]
        due_ns = self._t0_ns + event["at_ps"] // 1000
        argv = pause_argv(
            _program(self._rig, end), event, str(end.netdev), self._rates[end.name], clock.to_host(due_ns)
        )
        wait_s = max(0, due_ns - time.monotonic_ns()) / 1e9 + event["duration_ps"] / 1e12 + GRACE_S
        said = self._run(end.host, argv, wait_s)
        if said is None:
            return
        if said["error"] is not None and not said["frames"]:
            raise AgentFailed(one_line(f"{end.host}: no pause on {end.name}: {said['error']}"))
        if said["frames"]:
            _note(played, end.host, said, clock)

    def stop(self) -> None:
        """Let every storm end now, and let none begin; never raises."""
        with self._lock:
            self._over = True
            running = list(self._running)
        for process in running:
            process.close_stdin()

    def kill(self) -> None:
        """End what did not stop; what was paused then lasts for the time of one frame. Never raises."""
        self.stop()
        with self._lock:
            running = list(self._running)
        for process in running:
            with suppress(TransportError):
                process.kill()

    def _run(self, host: str, argv: list[str], wait_s: float) -> dict[str, Any] | None:
        """Return the result of the program; None when the run is over before it began."""
        if self._over:
            return None
        process = self._rig.crew.remotes[host].start(argv)
        if not self._admits(process):
            process.close_stdin()
        try:
            return _collected(process, host, wait_s)
        except BaseException:
            with suppress(TransportError):
                process.kill()
            raise
        finally:
            with self._lock:
                self._running.discard(process)

    def _admits(self, process: RemoteProcess) -> bool:
        """Note that a process runs; tell whether the run still goes on."""
        with self._lock:
            self._running.add(process)
            return not self._over


def _collected(process: RemoteProcess, host: str, wait_s: float) -> dict[str, Any]:
    said = _result(process.readline(wait_s))
    with suppress(CommandTimeout):
        code = process.wait(LAST_WORDS_S)
        if said is None:
            words = _last_line(process.stderr_tail())
            raise AgentFailed(one_line(f"{host}: roce-load pause {exit_text(code)}{words and ': '}{words}"))
    if said is None:
        raise AgentFailed(f"{host}: roce-load pause gave no result and still runs")
    return said


def _note(played: Played, host: str, said: dict[str, Any], clock: ClockMap) -> None:
    ended = said["xon_mono_ns"] or said["last_mono_ns"]
    played.began_ns = clock.to_controller(said["first_mono_ns"])
    played.done_ns = clock.to_controller(ended)
    played.said = {host: f"{said['frames']} pause frames on {said['interface']}"}
    played.certificate = said


def _result(line: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) and said.get("op") == "pause" else None


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
