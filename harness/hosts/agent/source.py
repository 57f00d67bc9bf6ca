"""The end that posts the work requests of a flow and counts their completions."""

from __future__ import annotations

from typing import Any

from . import aim, clock, ibv, pacing, results, wire
from .end import DONE, FAILED, NEVER, RUNNING, WAITING, End
from .errors import AgentError, of_verbs
from .latency import Latencies
from .layout import Layout
from .pairs import QKEY, Pair, Place, Remote
from .payload import ORDER, Verifier, offset_of, readable_tail
from .resources import send_request
from .slots import Region, Slots, pattern_region

BAD_KEY = 0x00DEAD00
"""Flipped in a key to make one that names no memory region."""

BEYOND = 1 << 16
"""How far behind a memory region `bad_address` aims."""


class Lane:
    """One QP of a source and its messages under way."""

    def __init__(self, pair: Pair, pacer: pacing.Pacer) -> None:
        self.pair, self.pacer = pair, pacer
        self.aim: aim.Aim | None = None
        self.begin(0, 1)

    def begin(self, start_ns: int, window: int) -> None:
        """Forget the last run."""
        self.posted = self.completed = self.flushed = 0
        self.status = WAITING
        self.error: str | None = None
        self.vendor_err: int | None = None
        self.start_ns: int | None = None
        self.end_ns: int | None = None
        self.posted_at = [0] * window
        self.pacer.begin(start_ns)

    @property
    def under_way(self) -> int:
        """Messages posted whose completion has not come."""
        return self.posted - self.completed - self.flushed

    @property
    def over(self) -> bool:
        """Whether nothing more happens on it."""
        return self.status in {DONE, FAILED}

    def result(self) -> dict[str, Any]:
        """Return an entry of `qps`."""
        remote = self.pair.remote
        return {
            "index": self.pair.index,
            "qpn": self.pair.qpn,
            "remote_qpn": remote.qpn if remote else None,
            "start_mono_ns": self.start_ns,
            "end_mono_ns": self.end_ns,
            "status": self.status,
            "error": self.error,
            "vendor_err": self.vendor_err,
            "messages_completed": self.completed,
        }


class Source(End):
    """Posts messages as pacing, windows and dependencies allow."""

    def __init__(self, place: Place, layout: Layout, group: Region | None = None) -> None:
        super().__init__(place, layout)
        self._group = group
        self._opcode, self._aiming = aim.OPCODES[self.spec.flow.verb]
        self.lanes: list[Lane] = []
        self._make_memory()
        self.make_pairs(layout.window, 1)
        self._counts()

    @property
    def spinning(self) -> bool:  # type: ignore[override]
        """Reads and atomics of a ping-pong poll without waiting, as their latency is measured."""
        return self.spec.flow.options.ping_pong and not self.ended and self.status == RUNNING

    def _counts(self) -> None:
        self.latencies = Latencies(self.spec.flow.name)
        self.start_ns: int | None = None
        self.told_ns: int | None = None
        self.failed_ns: int | None = None
        self.recovery_ns: int | None = None

    # --- memory and connection -------------------------------------------------------------------

    def _make_memory(self) -> None:
        flow, device, stack = self.spec.flow, self.place.device, self.place.stack
        self._slots: Slots | None = None
        if flow.fetches:
            self._slots = Slots(device, self.layout, flow.qps, ibv.LOCAL_WRITE, stack)
        elif self._group:
            self._region = self._group
        else:
            self._region = pattern_region(device, self.layout, ibv.LOCAL_WRITE, stack)

    def connected(self) -> None:
        """Prepare the work requests of every pair."""
        flow = self.spec.flow
        self.lanes = [Lane(pair, self._pacer(pair.index)) for pair in self.pairs]
        self._by_number = {lane.pair.qpn: lane for lane in self.lanes}
        for lane in self.lanes:
            lane.aim = self._aim(lane.pair)
        if flow.fetches and flow.options.check_payload and not flow.is_atomic:
            period = self.lanes[0].aim.remote.period if self.lanes[0].aim else 1
            self._verifier: Verifier | None = Verifier(period)
        else:
            self._verifier = None

    def _pacer(self, index: int) -> pacing.Pacer:
        flow = self.spec.flow
        bits = wire.message_bits(
            flow.message_bytes, self.place.mtu, flow.verb, flow.transport, self.place.gid["family"]
        )
        seed = f"{flow.name}/{index}" if flow.poisson else None
        return pacing.Pacer(pacing.gap_ns(bits, flow.rate_bps), flow.interval_ns, seed)

    def _aim(self, pair: Pair) -> aim.Aim:
        remote = pair.remote
        if remote is None:
            raise AgentError("internal", f"end {self.spec.id}: QP {pair.index} has no peer")
        address, lkey = self._local(pair.index)
        slots, stride = (self._slots.count, self._slots.stride) if self._slots else (0, 0)
        local = aim.Local(address, slots, stride, self.layout.period, fixed=self._group is not None)
        target, rkey = self._remote(remote)
        there = aim.Remote(target, rkey, max(1, remote.slots), remote.stride, remote.period)
        return aim.Aim(pair.index, lambda at: self._request(pair, remote, at, lkey), local, there)

    def _request(self, pair: Pair, remote: Remote, address: int, lkey: int) -> Any:
        flow = self.spec.flow
        request = send_request(self.place.device.library, self._opcode, address, flow.message_bytes, lkey)
        if pair.handle is not None:
            request.set_wr_ud(pair.handle, remote.qpn, QKEY)
        if flow.transport == "xrc" and remote.srqn is not None:
            request.set_qp_type_xrc(remote.srqn)
        return request

    def _local(self, qp: int) -> tuple[int, int]:
        """Return address and key of the local memory of a QP."""
        spoiled = BAD_KEY if self.spec.flow.options.fault == "bad_lkey" else 0
        if self._slots:
            return self._slots.base(qp), self._slots.region(qp).lkey ^ spoiled
        part = self.spec.flow.reduction
        return self._region.memory.address + (part.offset if part else 0), self._region.lkey ^ spoiled

    def _remote(self, remote: Remote) -> tuple[int, int]:
        """Return address and key of the remote memory, spoiled when a fault says so."""
        fault = self.spec.flow.options.fault
        address = remote.addr + (remote.bytes + BEYOND if fault == "bad_address" else 0)
        return address, remote.rkey ^ (BAD_KEY if fault == "bad_rkey" else 0)

    def prepare_again(self, fault: str | None) -> None:  # noqa: ARG002 - work requests are made anew
        """Forget the counts; the time of the failure is kept to measure the recovery."""
        failed = self.failed_ns
        self._counts()
        self.failed_ns = failed

    # --- run -------------------------------------------------------------------------------------

    def begin(self, zero_ns: int) -> None:
        """Start a run; the flow's own start and those it waits for come on top."""
        super().begin(zero_ns)
        self._ready_ns = zero_ns + self.spec.flow.start_ns
        for lane in self.lanes:
            lane.begin(self._ready_ns, self.layout.window)

    def release(self, name: str, now: int) -> None:
        """A flow this one waits for is complete."""
        if name in self.waits_for:
            self.waits_for.discard(name)
            self._ready_ns = max(self._ready_ns, now + self.spec.flow.after_delay_ns)

    def pump(self, now: int) -> int | None:
        """Post on every QP what its window and pacing allow."""
        if self.ended or self.stopping or self.waits_for:
            return NEVER
        if now < self._ready_ns:
            return self._ready_ns
        if self.status == WAITING:
            self._launch(now)
        times = [time for time in map(self._fill, self.lanes) if time is not None]
        return min(times) if times else NEVER

    def _launch(self, now: int) -> None:
        self.status, self.start_ns = RUNNING, now
        for lane in self.lanes:
            lane.status = RUNNING
            lane.pacer.begin(now)

    def _fill(self, lane: Lane) -> int | None:
        """Post on one QP; return when pacing allows more, NEVER when a completion must come first."""
        limit, window = self.spec.flow.messages, self.layout.window
        while lane.status == RUNNING and lane.under_way < window and (not limit or lane.posted < limit):
            now = clock.now_ns()
            if lane.pacer.next_ns > now:
                return lane.pacer.next_ns
            self._post(lane, now)
        return NEVER

    def _post(self, lane: Lane, now: int) -> None:
        if lane.aim is None:
            raise AgentError("internal", f"end {self.spec.id} runs without a connection")
        k = lane.posted
        request = lane.aim.request(k)
        self._aiming(request, lane.aim, k)
        request.wr_id = k
        if self.spec.notify and self._opcode == ibv.WR_RDMA_WRITE:
            self._mark_last(request, k)
        lane.posted_at[k % self.layout.window] = now
        lane.start_ns = lane.start_ns or now
        try:
            lane.pair.qp.post_send(request)
        except Exception as error:  # noqa: BLE001 - whatever pyverbs raises is the fate of this QP
            self._refused(lane, of_verbs(error, "post_send"), now)
            return
        lane.posted += 1
        lane.pacer.posted(now)

    def _mark_last(self, request: Any, k: int) -> None:
        """Let the last write tell the target by an immediate; the others are plain."""
        last = k + 1 == self.spec.flow.messages
        request.opcode = ibv.WR_RDMA_WRITE_WITH_IMM if last else ibv.WR_RDMA_WRITE
        request.imm_data = aim.immediate(k) if last else 0

    def _refused(self, lane: Lane, error: Any, now: int) -> None:
        lane.status, lane.error, lane.end_ns = (
            FAILED,
            f"POST_{error.message.rsplit('(', 1)[-1].rstrip(')')}",
            now,
        )
        self.error, self.status, self.end_ns, self.failed_ns = lane.error, FAILED, now, now
        self._settle()

    def on_work(self, work: Any, now: int) -> None:
        """Count a message that is complete, or take the error of one that is not."""
        lane = self._by_number.get(work.qp_num)
        if lane is None:
            return
        if work.status != ibv.WC_SUCCESS:
            self._on_error(lane, work, now)
        else:
            self._on_success(lane, work.wr_id, now)
        self._settle()

    def _on_success(self, lane: Lane, k: int, now: int) -> None:
        flow = self.spec.flow
        lane.completed += 1
        lane.end_ns = self.end_ns = now
        self.bytes_acked += flow.message_bytes
        self.latencies.add(now - lane.posted_at[k % self.layout.window])
        if self.failed_ns is not None and self.recovery_ns is None:
            self.recovery_ns = now - self.failed_ns
        if self._slots and flow.options.check_payload:
            self._check(lane, k)
        if flow.messages and lane.completed == flow.messages:
            lane.status = DONE

    def _on_error(self, lane: Lane, work: Any, now: int) -> None:
        lane.flushed += 1
        if lane.status == FAILED:
            return
        lane.status, lane.error, lane.vendor_err = FAILED, ibv.status_name(work.status), work.vendor_err
        lane.end_ns = now
        if self.told_ns is None:
            self.told_ns, self.failed_ns = now - lane.posted_at[work.wr_id % self.layout.window], now
        self.fail(work.status, work.vendor_err, now)

    def _check(self, lane: Lane, k: int) -> None:
        """Compare what a read or an atomic brought back, before its slot is used again."""
        slots, qp, size = self._slots, lane.pair.index, self.spec.flow.message_bytes
        if slots is None:
            return
        slot = k % slots.count
        if self._verifier:
            skip, length = readable_tail(size, self.layout.slot_window)
            start = offset_of(qp, k, self._verifier.period) + skip
            self._verifier.check(slots.address(qp, slot) + skip, length, start, qp, k, self.check)
            return
        value = int.from_bytes(slots.view(qp, slot, 8), ORDER)
        if value == k:
            self.check.verified_bytes += 8
        else:
            self.check.mismatch(qp, k, 0, 8)

    def _settle(self) -> None:
        """End when every QP is done, failed with all its work flushed, or idle after a stop."""
        idle = all(lane.over or (self.stopping and not lane.under_way) for lane in self.lanes)
        if idle and not self.ended:
            self.ended = True
            if self.status == RUNNING and all(lane.status == DONE for lane in self.lanes):
                self.status = DONE

    def stop(self) -> None:
        """Post nothing more."""
        super().stop()
        self._settle()

    # --- result ----------------------------------------------------------------------------------

    def rate_reached(self) -> bool | None:
        """Tell whether the asked rate was reached over the time the flow was posting; None without one."""
        flow = self.spec.flow
        if not flow.rate_bps:
            return None
        if self.start_ns is None or self.end_ns is None or self.end_ns <= self.start_ns:
            return False
        bits = wire.message_bits(
            flow.message_bytes, self.place.mtu, flow.verb, flow.transport, self.place.gid["family"]
        )
        asked = flow.rate_bps * flow.qps
        sent = sum(lane.completed for lane in self.lanes) * bits
        return bool(sent * 1e9 / (self.end_ns - self.start_ns) >= pacing.REACHED * asked)

    def result(self) -> dict[str, Any]:
        """Return the result of a source end."""
        flow = self.spec.flow
        posted, completed = [lane.posted for lane in self.lanes], [lane.completed for lane in self.lanes]
        known = flow.fetches and flow.options.check_payload
        return {
            **results.of_source(self),
            "start_mono_ns": self.start_ns,
            "messages_posted": sum(posted),
            "messages_completed": sum(completed),
            "bytes_sent": sum(posted) * flow.message_bytes,
            "posted": posted,
            "completed": completed,
            "latencies": self.latencies.summary(),
            "rate_reached": self.rate_reached(),
            "bytes_delivered": self.bytes_acked if flow.fetches else None,
            **results.of_payload(self.check, known=known),
            "told_ns": self.told_ns,
            "recovery_ns": self.recovery_ns,
            "qps": [lane.result() for lane in self.lanes],
        }
