"""The loop that moves all flows of a run: one thread, woken by completions, timers and requests."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from . import clock
from .end import NEVER, End

MILLISECOND = 1_000_000
SHORT_NS = 2 * MILLISECOND
"""Waits below this are slept through: poll() counts in milliseconds."""


class Emit(Protocol):
    """Writes an event to the controller; `droppable` ones are left out when it does not read."""

    def __call__(self, event: dict[str, Any], *, droppable: bool = False) -> None:
        """Write one event."""


@dataclass(frozen=True)
class Plan:
    """When a run starts and ends; durations in ns, None = no limit."""

    at_ns: int
    duration_ns: int | None
    until_done: bool
    progress_ns: int
    drain_ns: int


class Usage:
    """What the run cost this process, and how it worked."""

    def __init__(self) -> None:
        self.cpu, self.wall = time.process_time_ns(), clock.now_ns()

    def cpu_ns(self) -> int:
        """Return processor time since the start, all threads."""
        return time.process_time_ns() - self.cpu

    def wall_ns(self) -> int:
        """Return time since the start."""
        return clock.now_ns() - self.wall


class Run:
    """One run of some ends, from waiting for its instant to the `finished` event."""

    def __init__(self, ends: dict[str, End], plan: Plan, emit: Emit) -> None:
        self.ends, self.plan, self._emit = ends, plan, emit
        self.over = False
        self._started = False
        self._why = "done"
        self._stop_at = plan.at_ns + plan.duration_ns if plan.duration_ns is not None else None
        self._cut_at: int | None = None
        self._progress_at = clock.now_ns() + plan.progress_ns
        self._ended: set[str] = set()
        self._usage = Usage()
        self._polling, self._asked = select.poll(), select.poll()
        self._owners: dict[int, End] = {}
        for end in ends.values():
            self._watch(end)

    def _watch(self, end: End) -> None:
        for file in end.files():
            self._owners[file] = end
            self._polling.register(file, select.POLLIN)

    def listen(self, file: int) -> None:
        """Let requests wake the loop."""
        self._polling.register(file, select.POLLIN)
        self._asked.register(file, select.POLLIN)

    # --- one round -------------------------------------------------------------------------------

    def step(self) -> None:
        """Do what is due, then wait for completions, a timer or a request."""
        now = clock.now_ns()
        if not self._started:
            self._wait_for_start(now)
            return
        self._check_clock(now)
        wake = self._pump(now)
        self._report(now)
        if not self.over:
            self._wait(wake)

    def _wait_for_start(self, now: int) -> None:
        """Wait for the agreed instant; the last millisecond is spent looking at the clock.

        What peers with an earlier clock send meanwhile waits in the completion queues.
        """
        left = self.plan.at_ns - now
        if left > MILLISECOND:
            self._report(now)
            self._asked.poll(max(0, min(left - MILLISECOND, self._progress_at - now)) // MILLISECOND)
            return
        while now < self.plan.at_ns:
            now = clock.now_ns()
        self._started = True
        self._usage = Usage()
        for end in self.ends.values():
            end.begin(self.plan.at_ns)
        self._depend()
        for end in self.ends.values():
            end.pump(now)
        self._emit({"event": "started", "mono_ns": now, "asked_mono_ns": self.plan.at_ns})

    def _depend(self) -> None:
        """Tell every source which flows it waits for."""
        for end in self.ends.values():
            if end.spec.is_source:
                end.waits_for = set(end.spec.flow.after)

    def _check_clock(self, now: int) -> None:
        if self._stop_at is not None and now >= self._stop_at:
            self._stop_at = None
            self.stop(self.plan.drain_ns, "limit" if self.plan.until_done else "duration")
        if self._cut_at is not None and now >= self._cut_at:
            for end in self.ends.values():
                if not end.ended:
                    end.cut()

    def stop(self, drain_ns: int, why: str = "stopped") -> None:
        """Post nothing more; end in `drain_ns` at the latest."""
        now = clock.now_ns()
        if self._cut_at is None:
            self._why = why
        self._stop_at, self._cut_at = None, now + drain_ns
        for end in self.ends.values():
            if not end.ended:
                end.stop()

    def _pump(self, now: int) -> int | None:
        """Let all ends post; return when the next one wants to."""
        times = [self._progress_at, *(time for time in (self._stop_at, self._cut_at) if time is not None)]
        for end in self.ends.values():
            if not end.ended:
                due = end.pump(now)
                if due is not NEVER:
                    times.append(due)
        return min(times)

    def _report(self, now: int) -> None:
        """Say which ends have ended, how far the others are, and when all is over."""
        if self._started:
            for name, end in self.ends.items():
                if end.ended and name not in self._ended:
                    self._leave(name, end, now)
        if now >= self._progress_at:
            self._progress(now)
        if self._started and len(self._ended) == len(self.ends):
            self._finish(now)

    def _leave(self, name: str, end: End, now: int) -> None:
        self._ended.add(name)
        end.cpu_ns = self._usage.cpu_ns()
        if end.spec.is_source:
            end.sample(now)
        self._emit({"event": "end", "id": name, "status": end.status, "error": end.error, "mono_ns": now})
        if end.satisfied:
            self._release(end.spec.flow.name, now)

    def _release(self, flow: str, now: int) -> None:
        """Let those go that waited for a flow; with both ends here, when both are complete."""
        here = [end for end in self.ends.values() if end.spec.flow.name == flow and not end.passive]
        if all(end.satisfied for end in here):
            for end in self.ends.values():
                if end.spec.is_source:
                    end.release(flow, now)

    def _progress(self, now: int) -> None:
        self._progress_at = now + self.plan.progress_ns
        sources = [end for end in self.ends.values() if end.spec.is_source]
        for end in sources:
            if not end.ended and self._started:
                end.sample(now)
        flows = {end.spec.flow.name: end.bytes_acked for end in sources}
        self._emit({"event": "progress", "mono_ns": now, "flows": flows}, droppable=True)

    def _finish(self, now: int) -> None:
        self.over = True
        results = {name: end.result() for name, end in self.ends.items()}
        event = {
            "event": "finished",
            "mono_ns": now,
            "why": self._why,
            "ends": results,
            "usage": self._costs(),
        }
        self._emit(event)

    def _costs(self) -> dict[str, Any]:
        ends: Iterable[End] = self.ends.values()
        return {
            "cpu_s": self._usage.cpu_ns() / 1e9,
            "wall_s": self._usage.wall_ns() / 1e9,
            "wakeups": sum(end.wakeups for end in ends),
            "polls": sum(end.polls for end in ends),
            "completions": sum(end.completed_works for end in ends),
        }

    # --- waiting ---------------------------------------------------------------------------------

    def _wait(self, wake: int | None) -> None:
        """Wait until `wake` at the longest; spinning ends are looked at without waiting."""
        spinning = [end for end in self.ends.values() if end.spinning]
        if spinning:
            for end in spinning:
                end.spin()
            self._take(0)
            return
        left = (wake if wake is not None else 0) - clock.now_ns()
        self._take(max(0, left))

    def _take(self, wait_ns: int) -> None:
        """Wait for files and let their ends handle them."""
        if 0 < wait_ns < SHORT_NS and not self._polling.poll(0):
            time.sleep(wait_ns / 1e9)
            wait_ns = 0
        for file, _events in self._polling.poll(max(0, wait_ns // MILLISECOND)):
            end = self._owners.get(file)
            if end is not None:
                end.handle()
                self._forget_closed(end)

    def _forget_closed(self, end: End) -> None:
        """Stop watching files that an end has closed: a program that has ended."""
        current = set(end.files())
        for file in [file for file, owner in self._owners.items() if owner is end and file not in current]:
            del self._owners[file]
            self._polling.unregister(file)
