"""The end that is written to, read from, or receives."""

from __future__ import annotations

import heapq
from typing import Any

from . import ibv, payload, results
from .aim import message_of
from .end import DONE, NEVER, PASSIVE, RUNNING, WAITING, End
from .errors import AgentError
from .flow import MAX_INT, TOLD
from .layout import Layout
from .pairs import Pair, Place
from .payload import Verifier, offset_of, readable_tail
from .reduction import Group
from .resources import receive_request
from .slots import Region, Slots, pattern_region

SLOT_BITS = 32
"""A receive's number is its QP shifted by this, and its slot."""

PREFIX = 16
"""Bytes by which a message is recognised where messages before it may be lost."""

_READ_ACCESS = ibv.LOCAL_WRITE | ibv.REMOTE_READ
_WRITE_ACCESS = ibv.LOCAL_WRITE | ibv.REMOTE_WRITE
_ATOMIC_ACCESS = ibv.LOCAL_WRITE | ibv.REMOTE_ATOMIC
_WITHHELD = {
    "no_remote_write": ibv.REMOTE_WRITE,
    "no_remote_read": ibv.REMOTE_READ,
    "no_remote_atomic": ibv.REMOTE_ATOMIC,
}


class Target(End):
    """Holds memory for the peer, posts receives where the verb takes them, and checks what arrived."""

    def __init__(self, place: Place, layout: Layout, group: Group | None = None) -> None:
        super().__init__(place, layout)
        self._group = group
        flow = self.spec.flow
        self._told = flow.verb in TOLD or self.spec.notify
        self._receives_data = flow.verb in {"send", "send_imm"}
        self._lossy = flow.transport in {"uc", "ud"}
        self._head = ibv.GRH_BYTES if flow.transport == "ud" else 0
        self._make_memory()
        self.make_pairs(1, layout.receives)
        self._counts()

    def _counts(self) -> None:
        qps = self.spec.flow.qps
        self.received = [0] * qps
        self._next = [0] * qps
        self._verified = False
        self._reposts: list[tuple[int, int]] = []
        self._requests: dict[int, Any] = {}

    @property
    def passive(self) -> bool:
        """Whether no completion ever comes here."""
        return not self._told

    # --- memory and connection -------------------------------------------------------------------

    def access(self) -> int:
        """Return what the peer may do with the memory, less what a fault withholds."""
        verb = self.spec.flow.verb
        full = (
            _READ_ACCESS if verb == "read" else _ATOMIC_ACCESS if self.spec.flow.is_atomic else _WRITE_ACCESS
        )
        if self._receives_data:
            full = ibv.LOCAL_WRITE
        return full & ~_WITHHELD.get(self.spec.flow.options.fault or "", 0)

    def _make_memory(self) -> None:
        flow, device, stack = self.spec.flow, self.place.device, self.place.stack
        self._pattern: Region | None = None
        self._slots: Slots | None = None
        if flow.verb == "read":
            self._pattern = pattern_region(device, self.layout, self.access(), stack)
        else:
            shared = self.place.srq is not None and self._receives_data
            self._slots = Slots(device, self.layout, 1 if shared else flow.qps, self.access(), stack)

    def memory_of(self, pair: Pair) -> dict[str, Any]:
        """Return the memory that the peer's work requests address."""
        layout = self.layout
        if self._pattern:
            memory = self._pattern.memory
            facts = {"rkey": self._pattern.rkey, "addr": memory.address, "bytes": memory.length}
            return {**facts, "slots": 1, "stride": 0, "period": layout.period}
        if self._slots is None or self._receives_data:
            return super().memory_of(pair)
        region = self._slots.region(pair.index)
        end = region.memory.address + region.memory.length
        base = self._slots.base(pair.index)
        facts = {"rkey": region.rkey, "addr": base, "bytes": end - base}
        return {**facts, "slots": layout.slots, "stride": layout.stride, "period": layout.period}

    def connected(self) -> None:
        """Post the receives."""
        self._by_number = {pair.qpn: pair for pair in self.pairs}
        remote = self.pairs[0].remote
        self._verifier = Verifier(remote.period if remote else payload.PERIOD)
        if not self.layout.receives:
            return
        owners = self.pairs[:1] if self.place.srq else self.pairs
        for pair in owners:
            for slot in range(self.layout.receives):
                self._post_receive(pair.index << SLOT_BITS | slot)

    def _post_receive(self, number: int) -> None:
        request = self._requests.get(number)
        if request is None:
            request = self._requests[number] = self._receive(number)
        queue = self.place.srq or self.pairs[number >> SLOT_BITS].qp
        queue.post_recv(request)

    def _receive(self, number: int) -> Any:
        if self._slots is None:
            raise AgentError("internal", f"end {self.spec.id} has no memory for receives")
        qp, slot = number >> SLOT_BITS, number & (1 << SLOT_BITS) - 1
        size = self.layout.receive_bytes
        if self.spec.flow.options.fault == "long_send":
            size = max(1, size // 2)
        address = self._slots.address(qp, slot) if self._receives_data else self._slots.base(qp)
        return receive_request(self.place.device.library, number, address, size, self._slots.region(qp).lkey)

    def prepare_again(self, fault: str | None) -> None:
        """Give the access back that a fault withheld; forget what arrived."""
        self._counts()
        if self._slots and (fault in _WITHHELD or self.spec.flow.is_atomic):
            self._slots.register_again(self.access())
        if self._slots:
            self._slots.clear()
        if self._pattern and fault in _WITHHELD:
            self._pattern.register_again(self.access())

    # --- run -------------------------------------------------------------------------------------

    def begin(self, zero_ns: int) -> None:
        """Start a run; an end that is never told anything is over at once."""
        super().begin(zero_ns)
        self.status = PASSIVE if self.passive else WAITING
        self.ended = self.passive

    def pump(self, now: int) -> int | None:
        """Post receives again whose time has come."""
        while self._reposts and self._reposts[0][0] <= now:
            self._post_receive(heapq.heappop(self._reposts)[1])
        return self._reposts[0][0] if self._reposts else NEVER

    def on_work(self, work: Any, now: int) -> None:
        """Take a message that arrived."""
        pair = self._by_number.get(work.qp_num)
        if pair is None:
            return
        if work.status != ibv.WC_SUCCESS:
            self.fail(work.status, work.vendor_err, now)
            return
        if not self.ended:
            self.status = RUNNING
        self.received[pair.index] += 1
        self.end_ns = now
        if self._group:
            self._reduce()
        elif self.spec.flow.options.check_payload:
            self._check_arrival(pair, work)
        self._repost(work.wr_id, now)
        self._settle()

    def _reduce(self) -> None:
        """Let the chunk become part of the group's buffer."""
        part, slots = self.spec.flow.reduction, self._slots
        if part and slots and self._group:
            self._group.take(part.op, part.offset, slots.view(0, 0, self.spec.flow.message_bytes))

    def _repost(self, number: int, now: int) -> None:
        flow = self.spec.flow
        if not flow.recv_depth:
            if flow.verb in TOLD and (flow.total_messages or MAX_INT) > self._posted_receives():
                self._post_receive(number)
        elif flow.recv_repost_ns:
            heapq.heappush(self._reposts, (now + flow.recv_repost_ns, number))

    def _posted_receives(self) -> int:
        """Return how many receives were posted before the run."""
        return self.layout.receives * (1 if self.place.srq else self.spec.flow.qps)

    def _settle(self) -> None:
        if self._complete() and not self.ended:
            self.ended, self.status = True, DONE

    def _complete(self) -> bool:
        """Tell whether all that was announced has arrived."""
        flow = self.spec.flow
        if flow.verb not in TOLD:
            return all(self.received)
        return bool(flow.messages) and sum(self.received) >= flow.messages * flow.qps

    # --- checking --------------------------------------------------------------------------------

    def _check_arrival(self, pair: Pair, work: Any) -> None:
        """Check the immediate and, of a send, the payload, before its slot is posted again."""
        qp, expected = pair.index, self._next[pair.index]
        message = expected
        if work.wc_flags & ibv.WC_WITH_IMM:
            message = self._numbered(message_of(work.imm_data), expected)
        if self._receives_data:
            message = self._check_slot(qp, work, message)
        self._next[qp] = message + 1

    def _numbered(self, immediate: int, expected: int) -> int:
        """Return the message an immediate names; one out of turn is wrong where nothing may be lost."""
        if not self.spec.flow.verb.endswith("_imm"):
            return expected  # the one immediate of a notifying write
        if immediate == expected & 0xFFFFFFFF:
            return expected
        if not self._lossy:
            self.check.immediates_wrong += 1
            return expected
        return expected + ((immediate - expected + 2**31) % 2**32 - 2**31)

    def _check_slot(self, qp: int, work: Any, message: int) -> int:
        """Compare a received message; return its number."""
        if self._slots is None:
            return message
        size = self.spec.flow.message_bytes
        owner, slot = work.wr_id >> SLOT_BITS, work.wr_id & (1 << SLOT_BITS) - 1
        address = self._slots.address(owner, slot) + self._head
        if self._lossy and not self.spec.flow.verb.endswith("_imm"):
            message = self._recognise(address, min(size, PREFIX), qp, message)
        skip, length = readable_tail(size, self.layout.slot_window - self._head)
        start = offset_of(qp, message, self._verifier.period) + skip
        if work.byte_len != size + self._head:
            self.check.mismatch(qp, message, min(work.byte_len, size), size)
        else:
            self._verifier.check(address + skip, length, start, qp, message, self.check)
        return message

    def _recognise(self, address: int, length: int, qp: int, expected: int) -> int:
        """Return which message this is, after losses: the nearest whose payload begins like it."""
        verifier = self._verifier
        for distance in range(payload.CYCLE):
            for message in (expected + distance, expected - distance):
                start = offset_of(qp, message, verifier.period)
                if message >= 0 and verifier.equal(address, length, start):
                    return message
        return expected

    def verify(self, posted: tuple[int, ...], completed: tuple[int, ...]) -> None:
        """Check memory that one-sided verbs changed: of each slot the last message that is complete."""
        flow = self.spec.flow
        if self._verified or not flow.options.check_payload or self._group or self._slots is None:
            return
        self._verified = True
        for qp, (sent, done) in enumerate(zip(posted, completed)):  # noqa: B905 - strict came with Python 3.10
            if flow.is_atomic:
                self._check_counter(qp, done, sent)
            elif not self._receives_data:
                self._check_slots(qp, sent, done)

    def _check_counter(self, qp: int, done: int, sent: int) -> None:
        """An atomic's counter has grown by every message that is complete, and maybe by those under way."""
        if self._slots is None:
            return
        value = int.from_bytes(self._slots.view(qp, 0, 8), payload.ORDER)
        if done <= value <= sent:
            self.check.verified_bytes += 8
        else:
            self.check.mismatch(qp, done, 0, 8)

    def _check_slots(self, qp: int, sent: int, done: int) -> None:
        size = self.spec.flow.message_bytes
        for message in range(max(0, sent - self.layout.slots), done):
            skip, length = readable_tail(size, self.layout.slot_window)
            start = offset_of(qp, message, self._verifier.period) + skip
            address = self._slots.address(qp, message % self.layout.slots) + skip if self._slots else 0
            if self._lossy:
                self._check_packets(address, (length, start), qp, message)
            else:
                self._verifier.check(address, length, start, qp, message, self.check)

    def _check_packets(self, address: int, part: tuple[int, int], qp: int, message: int) -> None:
        """Check an unreliable write packet by packet: one that never came left the zeros of before."""
        length, start = part
        for done in range(0, length, self.place.mtu):
            size = min(self.place.mtu, length - done)
            if payload.written_anew(address + done, size):
                self._verifier.check(address + done, size, start + done, qp, message, self.check)

    # --- result ----------------------------------------------------------------------------------

    def _delivered(self) -> int | None:
        """Return payload delivered, where completions tell; the immediate of a reliable write tells of all before."""
        flow = self.spec.flow
        if flow.verb in TOLD:
            return sum(self.received) * flow.message_bytes
        if self.spec.notify and not self._lossy:
            return sum(map(bool, self.received)) * flow.messages * flow.message_bytes
        return None

    def _known(self) -> bool:
        """Whether payload was checked here, and a mismatch would mean corruption."""
        flow = self.spec.flow
        if not flow.options.check_payload or self._group or flow.verb == "read":
            return False
        return self._receives_data or self._verified

    def result(self) -> dict[str, Any]:
        """Return the result of a target end."""
        immediates = self.spec.flow.verb.endswith("_imm") and self.spec.flow.options.check_payload
        found = results.of_payload(self.check, known=self._known())
        if self._lossy and not self._receives_data and self._reused():
            found["payload_mismatched_bytes"] = found["first_mismatch"] = None
        return {
            **results.of_target(self),
            "bytes_delivered": self._delivered(),
            "recv_completions": sum(self.received),
            **found,
            "immediates_wrong": self.check.immediates_wrong if immediates else None,
        }

    def _reused(self) -> bool:
        """Whether slots of an unreliable write were used twice: what differs there may be old, not wrong."""
        return not self.spec.flow.messages or self.spec.flow.messages > self.layout.slots
