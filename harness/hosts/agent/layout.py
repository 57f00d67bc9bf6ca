"""How an end uses memory and queues: how many messages are under way, where they lie, what is folded."""

from __future__ import annotations

from dataclasses import dataclass

from . import ibv
from .errors import AgentError
from .flow import TOLD, EndSpec, FlowSpec
from .memory import ALIGN, round_up
from .payload import CYCLE, PERIOD

SEND_DEPTH = 128
"""Messages under way of a QP that sets no bound; perftest's default depth."""

RECV_DEPTH = 2 * SEND_DEPTH
"""Receives kept posted for a QP that shall never be short: twice what a sender has under way."""

ENDLESS_BYTES = 8 << 20
"""Payload under way of a QP that sends until it is stopped, so that it stops soon."""

LEAST_FOLD = 1 << 16
"""Bytes of real memory a folded buffer has at least."""

PING_SLOTS = 2
"""Buffers of a ping-pong, used in turns: one is checked while the other travels."""


@dataclass(frozen=True)
class Limits:
    """What the device and the host's memory allow one end."""

    budget_bytes: int
    max_qp_wr: int = 1024
    max_cqe: int = 32767
    max_srq_wr: int = 1024


@dataclass(frozen=True)
class Layout:
    """Numbers of one end, per QP: `window` messages under way, `receives` posted, `slots` of `stride` bytes.

    `period` is that of the payload it sends (see payload.py). `pattern_bytes` of memory, of which
    `pattern_window` are real, hold that payload; `slot_window` bytes of a slot are real.
    """

    window: int = 0
    receives: int = 0
    receive_bytes: int = 0
    slots: int = 0
    stride: int = 0
    slot_window: int = 0
    period: int = PERIOD
    pattern_bytes: int = 0
    pattern_window: int = 0

    @property
    def folded(self) -> bool:
        """Whether a slot has less real memory than addresses."""
        return self.slot_window < self.stride


def plan(end: EndSpec, limits: Limits) -> Layout:
    """Return the layout of an end.

    Raises:
        AgentError: no_resources, when the flow asks for more receives than the device takes.
    """
    flow = end.flow
    if flow.options.ping_pong and not flow.fetches:
        return _ping_pong(flow, limits)
    if end.is_source:
        return _fetching(flow, limits) if flow.fetches else _sending(flow, limits)
    return _target(end, limits)


def send_window(flow: FlowSpec, limits: Limits) -> int:
    """Return how many messages of a QP may be under way."""
    window = min(flow.max_outstanding or SEND_DEPTH, limits.max_qp_wr, max(1, limits.max_cqe // flow.qps))
    if flow.window_bytes:
        window = min(window, flow.window_bytes // flow.message_bytes)
    if flow.messages:
        window = min(window, flow.messages)
    elif not flow.max_outstanding:
        window = min(window, max(2, ENDLESS_BYTES // flow.message_bytes))
    return 1 if flow.options.ping_pong else max(1, window)


def _sending(flow: FlowSpec, limits: Limits) -> Layout:
    window = send_window(flow, limits)
    if flow.reduction:
        return Layout(window=window)
    period, length, real = _pattern(flow.message_bytes, limits.budget_bytes)
    return Layout(window=window, period=period, pattern_bytes=length, pattern_window=real)


def _pattern(message_bytes: int, budget: int) -> tuple[int, int, int]:
    """Return period, bytes and real bytes of the payload of messages of this size."""
    if message_bytes + PERIOD <= max(budget, LEAST_FOLD * 2):
        return PERIOD, message_bytes + PERIOD, message_bytes + PERIOD
    fold = _power_of_two(budget)
    return fold, round_up(message_bytes, fold), fold


def _fetching(flow: FlowSpec, limits: Limits) -> Layout:
    window = send_window(flow, limits)
    slots, stride, real = _slots(flow.message_bytes, window, limits.budget_bytes // flow.qps)
    return Layout(window=min(window, slots), slots=slots, stride=stride, slot_window=real)


def _slots(size: int, wanted: int, budget: int) -> tuple[int, int, int]:
    """Return how many of the wanted slots fit, their stride and the real bytes of each."""
    stride = round_up(size, ALIGN)
    if stride <= max(budget, LEAST_FOLD):
        slots = max(1, min(wanted, budget // stride))
        return slots - (slots < wanted and slots % CYCLE == 0), stride, stride
    fold = _power_of_two(budget)
    return 1, round_up(size, fold), fold


def _power_of_two(budget: int) -> int:
    """Return the greatest power of two within a budget, LEAST_FOLD at least."""
    return max(LEAST_FOLD, 1 << budget.bit_length() - 1 if budget > 0 else 0)


def _target(end: EndSpec, limits: Limits) -> Layout:
    flow = end.flow
    budget = limits.budget_bytes // flow.qps
    if flow.verb == "read":
        period, length, real = _pattern(flow.message_bytes, limits.budget_bytes)
        return Layout(period=period, pattern_bytes=length, pattern_window=real)
    if flow.is_atomic:
        return Layout(slots=1, stride=ALIGN, slot_window=ALIGN)
    if flow.verb in {"send", "send_imm"}:
        return _receiving(flow, limits, budget)
    slots, stride, real = _slots(flow.message_bytes, flow.messages or SEND_DEPTH, budget)
    receives = _receives(flow, limits) if flow.verb in TOLD else int(end.notify)
    return Layout(receives=receives, slots=slots, stride=stride, slot_window=real)


def _receiving(flow: FlowSpec, limits: Limits, budget: int) -> Layout:
    size = flow.message_bytes + (ibv.GRH_BYTES if flow.transport == "ud" else 0)
    wanted = _receives(flow, limits)
    shared = flow.options.srq or flow.transport == "xrc"
    slots, stride, real = _slots(size, wanted, budget * (flow.qps if shared else 1))
    if flow.recv_depth and slots < wanted:
        message = f"flow {flow.name}: recv_depth {wanted} of {size} bytes: memory for {slots}"
        raise AgentError("no_resources", message, {"recv_depth": wanted, "possible": slots})
    return Layout(receives=slots, receive_bytes=size, slots=slots, stride=stride, slot_window=real)


def _receives(flow: FlowSpec, limits: Limits) -> int:
    """Return how many receives a QP keeps posted; with a shared queue, all QPs of the flow together."""
    sharing = flow.qps if flow.options.srq or flow.transport == "xrc" else 1
    each = max(1, limits.max_cqe * sharing // flow.qps)
    most = min(limits.max_srq_wr if sharing > 1 else limits.max_qp_wr, each)
    if flow.recv_depth > most:
        message = f"flow {flow.name}: recv_depth {flow.recv_depth}: the device takes {most}"
        raise AgentError("no_resources", message, {"recv_depth": flow.recv_depth, "possible": most})
    return flow.recv_depth or min(sharing * min(flow.messages or RECV_DEPTH, RECV_DEPTH), most)


def _ping_pong(flow: FlowSpec, limits: Limits) -> Layout:
    """Return two send slots and two receive slots: the same memory layout at both ends."""
    size = flow.message_bytes + (ibv.GRH_BYTES if flow.transport == "ud" else 0)
    stride = round_up(size, ALIGN)
    needed = 2 * PING_SLOTS * stride * flow.qps
    if needed > limits.budget_bytes:
        message = (
            f"flow {flow.name}: ping_pong needs {needed} bytes of memory, there are {limits.budget_bytes}"
        )
        raise AgentError("no_resources", message, {"needed": needed, "possible": limits.budget_bytes})
    return Layout(
        window=PING_SLOTS, receives=PING_SLOTS if flow.verb == "send" else 0, receive_bytes=size,
        slots=PING_SLOTS, stride=stride, slot_window=stride,
    )  # fmt: skip
