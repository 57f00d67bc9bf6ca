"""The timed events of a scenario, on the wall clock: who does what when, and when it was really done."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.hosts.gather import each

log = logging.getLogger(__name__)

ACT_TIMEOUT_S = 30.0
"""For one event to be carried out."""

JOIN_S = 5.0
"""How long an event that is being carried out is waited for when the run ends."""


@dataclass(slots=True)
class Played:
    """One event and what became of it; times in ns of the controller's clock, None while it did not happen.

    `said` is what was done by whom, in their words; `certificate` is what a program measured of its own work.
    """

    event: Mapping[str, Any]
    began_ns: int | None = None
    done_ns: int | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    certificate: Mapping[str, Any] | None = None

    def as_result(self, t0_ns: int) -> dict[str, object]:
        """Return it as a result writes it, in ps since the start of the run."""
        return {
            **self.event,
            "began_ps": None if self.began_ns is None else (self.began_ns - t0_ns) * 1000,
            "done_ps": None if self.done_ns is None else (self.done_ns - t0_ns) * 1000,
            "said": dict(self.said),
            **({} if self.certificate is None else {"certificate": dict(self.certificate)}),
        }


Act = Callable[[Played], None]
"""Carries out an event and notes on it when that was and what was done."""


class Schedule:
    """Plays events: those at time 0 before the start, the others when they are due, lanes side by side.

    `act` does it. Events of the kinds in `lasting` are always later ones: it goes on for as long as they do.
    `failed` is called, from another thread, with the first error of each lane.
    """

    def __init__(
        self,
        events: Iterable[Mapping[str, Any]],
        act: Act,
        failed: Callable[[Exception], None],
        lasting: Collection[str] = (),
    ) -> None:
        self.played = [Played(event) for event in events]
        self._act = act
        self._failed = failed
        self._lasting = lasting
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def set_up(self) -> None:
        """Carry out the events of time 0; raise the first error."""
        lanes = self._lanes(first=True)

        def one(lane: str) -> None:
            for played in lanes[lane]:
                self._play(played)

        each(lanes, one, timeout_s=ACT_TIMEOUT_S, what="an event at 0")

    def start(self, t0_ns: int) -> None:
        """Carry out the later events when they are due; `t0_ns` is the start of the run."""
        for name, lane in self._lanes(first=False).items():
            thread = threading.Thread(
                target=self._run, args=(lane, t0_ns), name=f"events {name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Carry out no more; an event that is under way is waited for, but not for ever."""
        self._over.set()
        end = time.monotonic() + JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _lanes(self, *, first: bool) -> dict[str, list[Played]]:
        lanes: defaultdict[str, list[Played]] = defaultdict(list)
        for played in sorted(self.played, key=lambda each: int(each.event["at_ps"])):
            if (played.event["at_ps"] == 0 and played.event["kind"] not in self._lasting) == first:
                lanes[lane_of(played.event)].append(played)
        return dict(lanes)

    def _run(self, lane: list[Played], t0_ns: int) -> None:
        for played in lane:
            due = t0_ns + played.event["at_ps"] // 1000
            if self._over.wait(max(0, due - time.monotonic_ns()) / 1e9):
                return
            try:
                self._play(played)
            except Exception as error:  # noqa: BLE001 - whatever it is, the run must know
                self._failed(error)
                return

    def _play(self, played: Played) -> None:
        self._act(played)
        log.info("%s: %s done", lane_of(played.event), played.event["kind"])


def lane_of(event: Mapping[str, Any]) -> str:
    """Return what an event is done to; events of one lane follow one another, lanes go side by side.

    A storm lasts, and other events of its port do not wait for its end.
    """
    if event["kind"] == "pause_storm":
        return f"{event['port']} paused at {event['at_ps']}"
    keys = {"host_down": "host", "qos": "node", "impair": "flow"}
    return str(event[keys.get(event["kind"], "port")])
