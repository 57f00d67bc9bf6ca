"""What all ends of flows have in common, whoever posts and whatever for."""

from __future__ import annotations

import dataclasses
from typing import Any

from . import clock, ibv, pairs
from .errors import BadRequest
from .flow import EndSpec
from .layout import Layout
from .pairs import Pair, Place, Remote
from .payload import Check
from .resources import drain

PASSIVE, WAITING, RUNNING, DONE = "passive", "not_started", "unfinished", "done"
FAILED = "failed"

MOST_SAMPLES = 8192

NEVER = None
"""Answer of `pump` when nothing but a completion can bring work."""


class End:
    """One end of a flow: queue pairs, memory, and what happened in the current run.

    The engine calls, in this order: `begin`, then `pump` (post what may be posted; returns when to come
    again, in ns of the monotonic clock, or NEVER), `handle` (its file is readable) and `spin` (when
    `spinning`) until `ended`, and `result`. `stop` forbids further posting, `cut` ends it as it is.
    """

    spinning = False
    """Whether it must be polled without waiting."""

    def __init__(self, place: Place, layout: Layout) -> None:
        self.place, self.layout = place, layout
        self.pairs: list[Pair] = []
        self.ended = True
        self.status = WAITING
        self.error: str | None = None
        self.vendor_err: int | None = None
        self.end_ns: int | None = None
        self.check = Check()
        self.polls = self.wakeups = self.completed_works = 0
        self.stopping = False
        self.recovery_local_ns: int | None = None
        self.bytes_acked = 0
        self.samples: list[list[int]] = []
        self.cpu_ns = 0
        self.waits_for: set[str] = set()

    @property
    def spec(self) -> EndSpec:
        """Return what the controller asked for."""
        return self.place.spec

    @property
    def passive(self) -> bool:
        """Whether nothing ever tells this end that it is complete."""
        return False

    @property
    def satisfied(self) -> bool:
        """Whether flows that wait for this one may go."""
        return self.ended and self.status == DONE

    def make_pairs(self, sends: int, receives: int) -> None:
        """Make the queue pairs; `sends` and `receives` is what each must hold."""
        self._depths = (sends, receives)
        self.pairs = [pairs.make(self.place, index, sends, receives) for index in range(self.spec.flow.qps)]

    def files(self) -> list[int]:
        """Return the files whose readability `handle` wants to know of."""
        return [self.place.completions.fd]

    # --- connection ------------------------------------------------------------------------------

    def describe(self) -> list[dict[str, Any]]:
        """Return what the peer must know, one object a queue pair."""
        return [{**pairs.description(self.place, pair), **self.memory_of(pair)} for pair in self.pairs]

    def memory_of(self, pair: Pair) -> dict[str, Any]:  # noqa: ARG002 - for ends with memory
        """Return which memory the peer may use through a pair; none, unless an end has some."""
        return {"rkey": 0, "addr": 0, "bytes": 0, "slots": 0, "stride": 0, "period": self.layout.period}

    def connect(self, remotes: list[Remote], path: str) -> None:
        """Bring all pairs to RTS and make the end ready to receive."""
        if len(remotes) != len(self.pairs):
            raise BadRequest(path, len(remotes), f"{len(self.pairs)} queue pairs")
        for pair, remote in zip(self.pairs, remotes):  # noqa: B905 - strict came with Python 3.10
            pairs.connect(self.place, pair, remote, f"{path}[{pair.index}]")
        self.connected()

    def connected(self) -> None:
        """Do what follows the connection of all pairs."""

    def recover(self) -> None:
        """Bring the pairs back to where they can be connected, and forget the fault and all that was counted."""
        began = clock.now_ns()
        fault = self.spec.flow.options.fault
        if self.spec.flow.options.recover == "reset":
            for pair in self.pairs:
                pairs.reset(self.place, pair)
                pair.remote = None
        else:
            for pair in self.pairs:
                pairs.close(pair)
            self.make_pairs(*self._depths)
        drain(self.place.completions)
        self._forget_fault()
        self.prepare_again(fault)
        self.recovery_local_ns = clock.now_ns() - began

    def _forget_fault(self) -> None:
        flow = self.spec.flow
        options = dataclasses.replace(flow.options, fault=None)
        self.place.spec = dataclasses.replace(self.spec, flow=dataclasses.replace(flow, options=options))
        self.error = self.vendor_err = self.end_ns = None
        self.check = Check()
        self.bytes_acked, self.samples = 0, []

    def prepare_again(self, fault: str | None) -> None:
        """Undo what a fault had spoiled in this end."""

    # --- run -------------------------------------------------------------------------------------

    def begin(self, zero_ns: int) -> None:  # noqa: ARG002 - for ends that post
        """Start a run whose times count from `zero_ns`."""
        self.ended, self.stopping = False, False
        self.status, self.error, self.vendor_err = WAITING, None, None

    def pump(self, now: int) -> int | None:  # noqa: ARG002 - as above
        """Post what may be posted now."""
        return NEVER

    def release(self, name: str, now: int) -> None:
        """A flow that this one may wait for is complete."""

    def handle(self) -> None:
        """Take completions; the completion queue's file is readable."""
        self.wakeups += 1
        self.place.completions.acknowledge()
        self.poll()

    def poll(self) -> None:
        """Take all completions that are there."""
        while True:
            self.polls += 1
            works = self.place.completions.poll()
            if not works:
                return
            self.completed_works += len(works)
            now = clock.now_ns()
            for work in works:
                self.on_work(work, now)

    def on_work(self, work: Any, now: int) -> None:
        """Take one completion."""

    def spin(self) -> None:
        """Look once, without waiting, for what a spinning end waits for."""

    def stop(self) -> None:
        """Post nothing more; end as soon as nothing is under way."""
        self.stopping = True

    def cut(self) -> None:
        """End as things are."""
        self.ended = True

    def sample(self, now: int) -> None:
        """Keep a point of the rate series; every other one is dropped when there are very many."""
        self.samples.append([now, self.bytes_acked])
        if len(self.samples) > MOST_SAMPLES:
            del self.samples[::2]

    def fail(self, status: int, vendor_err: int, now: int) -> None:
        """Keep the first error; the flush errors of later work say nothing new."""
        if self.error is None or (self.error == "WR_FLUSH_ERR" and status != ibv.WC_WR_FLUSH_ERR):
            self.error, self.vendor_err = ibv.status_name(status), vendor_err
        self.status, self.end_ns = FAILED, now

    def result(self) -> dict[str, Any]:
        """Return the result of this end."""
        raise NotImplementedError  # not abstract: the hooks above are empty on purpose, each kind of end has its result
