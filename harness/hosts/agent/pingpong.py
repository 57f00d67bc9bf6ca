"""Ping-pong of writes and sends: each message is answered by an equal one; latency is half the round trip.

A write is noticed by looking at its last byte in memory, as polling receivers do; a send by its completion.
Both look without waiting, giving the processor away after each look in vain: on a software device the
kernel's half of the transport may need the same processor.
"""

from __future__ import annotations

import os
from typing import Any

from . import clock, ibv, results
from .aim import OPCODES
from .end import DONE, FAILED, NEVER, RUNNING, WAITING, End
from .errors import AgentError, of_verbs
from .latency import Latencies
from .layout import PING_SLOTS, Layout
from .pairs import QKEY, Pair, Place
from .payload import Verifier, offset_of
from .resources import receive_request, send_request
from .slots import Slots

SPINS = 256
"""Looks in vain before the engine may look after other things."""

SIGNAL_EVERY = 16
"""Every how many messages the device is asked for a completion of the send side."""

DEPTH = 4 * SIGNAL_EVERY


class Turn:
    """The state of one QP: whose turn it is, and with which message."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.requests: list[Any] = []
        self.receives: list[Any] = []
        self.bytes: list[memoryview] = []
        self.begin()

    def begin(self) -> None:
        """Forget the last run."""
        self.message = 0
        self.sent = 0
        self.sent_ns = 0
        self.start_ns: int | None = None
        self.end_ns: int | None = None
        self.over = False


class PingPong(End):
    """Either end of a ping-pong; the source serves."""

    def __init__(self, place: Place, layout: Layout) -> None:
        super().__init__(place, layout)
        flow, device, stack = self.spec.flow, place.device, place.stack
        self._polls_memory = flow.verb == "write"
        self._head = ibv.GRH_BYTES if flow.transport == "ud" else 0
        access = ibv.LOCAL_WRITE | (ibv.REMOTE_WRITE if self._polls_memory else 0)
        self._arriving = Slots(device, layout, flow.qps, access, stack)
        self._leaving = Slots(device, layout, flow.qps, ibv.LOCAL_WRITE, stack)
        self._verifier = Verifier()
        self.make_pairs(DEPTH, layout.receives)
        self.turns: list[Turn] = []
        self.latencies = Latencies(flow.name)

    @property
    def spinning(self) -> bool:  # type: ignore[override]
        """It looks without waiting while it runs."""
        return not self.ended and self.status == RUNNING

    def memory_of(self, pair: Pair) -> dict[str, Any]:
        """Return where the peer writes its messages."""
        if not self._polls_memory:
            return super().memory_of(pair)
        region, layout = self._arriving.region(pair.index), self.layout
        facts = {"rkey": region.rkey, "addr": self._arriving.base(pair.index), "bytes": self._arriving.bytes}
        return {**facts, "slots": layout.slots, "stride": layout.stride, "period": layout.period}

    def connected(self) -> None:
        """Prepare work requests and post receives."""
        self.turns = [Turn(pair) for pair in self.pairs]
        self._by_number = {turn.pair.qpn: turn for turn in self.turns}
        for turn in self.turns:
            for slot in range(PING_SLOTS):
                self._prepare(turn, slot)

    def _prepare(self, turn: Turn, slot: int) -> None:
        flow, pair, library = self.spec.flow, turn.pair, self.place.device.library
        if pair.remote is None:
            raise AgentError("internal", f"end {self.spec.id}: QP {pair.index} has no peer")
        lkey = self._leaving.region(pair.index).lkey
        address = self._leaving.address(pair.index, slot)
        request = send_request(library, OPCODES[flow.verb][0], address, flow.message_bytes, lkey)
        turn.requests.append(request)
        turn.bytes.append(self._arriving.view(pair.index, slot, flow.message_bytes + self._head))
        if self._polls_memory:
            request.set_wr_rdma(pair.remote.rkey, pair.remote.addr + slot * pair.remote.stride)
            return
        if pair.handle is not None:
            request.set_wr_ud(pair.handle, pair.remote.qpn, QKEY)
        key, place = self._arriving.region(pair.index).lkey, self._arriving.address(pair.index, slot)
        turn.receives.append(receive_request(library, _RECEIVE | slot, place, self.layout.receive_bytes, key))
        pair.qp.post_recv(turn.receives[slot])

    def prepare_again(self, fault: str | None) -> None:  # noqa: ARG002 - faults spoil no ping-pong
        """Forget what was exchanged."""
        self._arriving.clear()
        self.latencies = Latencies(self.spec.flow.name)

    # --- run -------------------------------------------------------------------------------------

    def begin(self, zero_ns: int) -> None:
        """Start a run."""
        super().begin(zero_ns)
        self._ready_ns = zero_ns + (self.spec.flow.start_ns if self.spec.is_source else 0)
        for turn in self.turns:
            turn.begin()
            self._compose(turn)

    def release(self, name: str, now: int) -> None:
        """A flow this one waits for is complete."""
        if name in self.waits_for:
            self.waits_for.discard(name)
            self._ready_ns = max(self._ready_ns, now + self.spec.flow.after_delay_ns)

    def pump(self, now: int) -> int | None:
        """Serve, once it is time."""
        if self.ended or self.status != WAITING or self.waits_for or self.stopping:
            return NEVER
        if now < self._ready_ns:
            return self._ready_ns
        self.status = RUNNING
        if self.spec.is_source:
            for turn in self.turns:
                self._send(turn)
        return NEVER

    def spin(self) -> None:
        """Look for messages; return after some that came or many looks in vain."""
        look = self._look if self._polls_memory else self._look_at_queue
        for _ in range(SPINS):
            if look():
                break
            os.sched_yield()
        if self._polls_memory:
            self.poll()

    def _look(self) -> bool:
        last, seen = self.spec.flow.message_bytes - 1, False
        for turn in self.turns:
            k = turn.message
            if not turn.over and turn.bytes[k % PING_SLOTS][last] == _marker(k):
                self._arrived(turn, clock.now_ns())
                seen = True
        return seen

    def _look_at_queue(self) -> bool:
        self.polls += 1
        works = self.place.completions.poll(4)
        now = clock.now_ns()
        self.completed_works += len(works)
        for work in works:
            self.on_work(work, now)
        return bool(works)

    def on_work(self, work: Any, now: int) -> None:
        """Take an error, or a receive; completions of the send side only make room."""
        turn = self._by_number.get(work.qp_num)
        if turn is None:
            return
        if work.status != ibv.WC_SUCCESS:
            turn.over = True
            self.fail(work.status, work.vendor_err, now)
            self._settle()
        elif work.wr_id & _RECEIVE:
            self._arrived(turn, now)

    def _arrived(self, turn: Turn, now: int) -> None:
        """Answer (or, at the source, take the time and serve again), and check what came."""
        k = turn.message
        turn.message, turn.end_ns, self.end_ns = k + 1, now, now
        self.bytes_acked += self.spec.flow.message_bytes
        over = turn.message == self.spec.flow.messages
        if self.spec.is_source:
            self.latencies.add((now - turn.sent_ns) // 2)
            self._take(turn, k)
            if not over and not self.stopping:
                self._compose(turn)
                self._send(turn)
            turn.over = over or self.stopping
        else:
            self._send(turn)
            self._take(turn, k)
            turn.over = over
            if not over:
                self._compose(turn)
        if turn.over:
            self._settle()

    def _settle(self) -> None:
        if all(turn.over for turn in self.turns) and not self.ended:
            self.ended = True
            finished = all(turn.message == self.spec.flow.messages for turn in self.turns)
            if finished and self.status == RUNNING:
                self.status = DONE

    def _compose(self, turn: Turn) -> None:
        """Write the next message before it is its turn to go."""
        k, size = turn.sent, self.spec.flow.message_bytes
        address = self._leaving.address(turn.pair.index, k % PING_SLOTS)
        side = 0 if self.spec.is_source else 1
        self._verifier.copy(address, size, offset_of(2 * turn.pair.index + side, k, self._verifier.period))
        if self._polls_memory:
            self._leaving.view(turn.pair.index, k % PING_SLOTS, size)[size - 1] = _marker(k)

    def _send(self, turn: Turn) -> None:
        k = turn.sent
        request = turn.requests[k % PING_SLOTS]
        request.send_flags = 0 if (k + 1) % SIGNAL_EVERY else ibv.SEND_SIGNALED
        turn.sent = k + 1
        turn.sent_ns = clock.now_ns()
        turn.start_ns = turn.start_ns or turn.sent_ns
        try:
            turn.pair.qp.post_send(request)
        except Exception as error:  # noqa: BLE001 - whatever pyverbs raises is the fate of this QP
            message = of_verbs(error, "post_send").message
            turn.over, self.status, self.end_ns = True, FAILED, clock.now_ns()
            self.error = f"POST_{message.rsplit('(', 1)[-1].rstrip(')')}"
            self._settle()

    def _take(self, turn: Turn, k: int) -> None:
        """Check message k and make its slot ready for the one after the next."""
        flow, qp, slot = self.spec.flow, turn.pair.index, k % PING_SLOTS
        if flow.options.check_payload:
            side = 1 if self.spec.is_source else 0
            size = flow.message_bytes - (1 if self._polls_memory else 0)
            start = offset_of(2 * qp + side, k, self._verifier.period)
            address = self._arriving.address(qp, slot) + self._head
            self._verifier.check(address, size, start, qp, k, self.check)
            self.check.verified_bytes += flow.message_bytes - size  # the marker: it was seen
        if not self._polls_memory:
            turn.pair.qp.post_recv(turn.receives[slot])

    # --- result ----------------------------------------------------------------------------------

    def result(self) -> dict[str, Any]:
        """Return the result of either end."""
        flow = self.spec.flow
        rounds = [turn.message for turn in self.turns]
        found = results.of_payload(self.check, known=flow.options.check_payload)
        if not self.spec.is_source:
            delivered = sum(rounds) * flow.message_bytes
            received = 0 if self._polls_memory else sum(rounds)
            facts = {"bytes_delivered": delivered, "recv_completions": received}
            return {**results.of_target(self), **facts, **found}
        sent = [turn.sent for turn in self.turns]
        return {
            **results.of_source(self),
            **found,
            "start_mono_ns": min((turn.start_ns for turn in self.turns if turn.start_ns), default=None),
            "messages_posted": sum(sent),
            "messages_completed": sum(rounds),
            "bytes_sent": sum(sent) * flow.message_bytes,
            "posted": sent,
            "completed": rounds,
            "latencies": self.latencies.summary(),
            "qps": [self._qp_result(turn) for turn in self.turns],
        }

    def _qp_result(self, turn: Turn) -> dict[str, Any]:
        remote = turn.pair.remote
        done = turn.message == self.spec.flow.messages
        return {
            "index": turn.pair.index,
            "qpn": turn.pair.qpn,
            "remote_qpn": remote.qpn if remote else None,
            "start_mono_ns": turn.start_ns,
            "end_mono_ns": turn.end_ns,
            "status": DONE if done else self.status,
            "error": None if done else self.error,
            "vendor_err": None if done else self.vendor_err,
            "messages_completed": turn.message,
        }


_RECEIVE = 1 << 48
"""Marks the numbers of receives."""


def _marker(k: int) -> int:
    """Return the last byte of message k of a write: never 0, and not that of the message before in its slot."""
    return 1 + k // PING_SLOTS % 255
