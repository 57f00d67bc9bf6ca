"""What the controller's requests do: from `prepare` to `teardown`, one run after another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import clock, pairs, verbs
from .end import End
from .engine import Emit, Plan, Run
from .errors import AgentError, BadRequest
from .flow import MAX_INT, EndSpec, Qos, read_end, read_qos
from .layout import Limits, plan
from .memory import available_bytes
from .native import FORWARDED, Relay
from .native import Run as NativeRun
from .pairs import Place, read_remote
from .perftest import PerftestEnd
from .pingpong import PingPong
from .programs import Children
from .reduction import Group
from .request import Fields
from .resources import Completions, Device, Stack
from .slots import Region
from .source import Source
from .sysfs import ROOT, Sysfs
from .target import Target

Operation = Callable[[Fields], "dict[str, Any]"]
"""Does what a request asks and returns the keys of its answer."""

MOST_MEMORY = 512 << 20
"""Bytes of payload memory a run uses at most, unless `prepare` says otherwise."""

SHARE_OF_AVAILABLE = 4
"""A run uses at most one part in so many of the memory that is available: pinned memory cannot be reclaimed."""


class Session:
    """The state between requests. Used from the engine's thread alone."""

    def __init__(self, emit: Emit, children: Children, sysfs_root: Path = ROOT) -> None:
        self._emit, self._children = emit, children
        self.sysfs = Sysfs(sysfs_root)
        self.run: Run | NativeRun | None = None
        self.quitting = False
        self._forget()

    def _forget(self) -> None:
        self._name: str | None = None
        self._stack = Stack()
        self._devices: dict[str, Device] = {}
        self._groups: dict[str, Group] = {}
        self._group_regions: dict[tuple[str, str], Region] = {}
        self._gids: dict[str, dict[str, Any]] = {}
        self._ends: dict[str, End] = {}
        self._connected: set[str] = set()
        self._duration_ns: int | None = None
        self._relay: Relay | None = None

    @property
    def operations(self) -> dict[str, Operation]:
        """Return what answers each request, by its name."""
        own: dict[str, Operation] = {
            "prepare": self.prepare,
            "connect": self.connect,
            "start": self.start,
            "stop": self.stop,
            "verify": self.verify,
            "recover": self.recover,
            "resume": self.resume,
            "reduce_check": self.reduce_check,
            "series": self.series,
            "teardown": self.teardown,
            "quit": self.quit,
        }
        relay = self._relay
        return own if relay is None else {name: self._relayed(relay, name, own[name]) for name in own}

    @property
    def is_own(self) -> bool:
        """Whether the agent itself makes the traffic."""
        return self._relay is None

    def _relayed(self, relay: Relay, name: str, own: Operation) -> Operation:
        """Return what answers a request while the native generator makes the traffic."""
        return (lambda fields: self._forward(relay, name, fields)) if name in FORWARDED else own

    def _forward(self, relay: Relay, name: str, fields: Fields) -> dict[str, Any]:
        answer = relay.forward(name, fields)
        self.run = relay.run
        return answer

    # --- prepare ---------------------------------------------------------------------------------

    def prepare(self, fields: Fields) -> dict[str, Any]:
        """Make everything the ends need; after an error nothing of it is left."""
        fields.only("id", "op", "run", "qos", "ends", "memory_bytes", "duration_ns", "native")
        if self._name is not None:
            raise BadRequest(
                "run", fields.values.get("run"), f"teardown first: run {self._name!r} is still here"
            )
        if fields.values.get("native") is not None:
            return self._prepare_native(fields)
        name, qos = fields.text("run"), read_qos(fields.object("qos", {}))
        budget = fields.integer("memory_bytes", 1 << 16, MAX_INT, _budget())
        self._duration_ns = fields.integer_or_none("duration_ns", 1, MAX_INT)
        specs = [read_end(item) for item in fields.objects("ends")]
        _check_ids(specs)
        _check_after(specs)
        try:
            for spec in specs:
                self._make_end(spec, qos, max(1, budget // len(specs)))
        except BaseException:
            self._close()
            raise
        self._name = name
        ends = {name: end.describe() for name, end in self._ends.items()}
        return {
            "run": name, "engine": "pyverbs", "ends": ends, "gids": self._gids, "memory": {"budget_bytes": budget}
        }  # fmt: skip

    def _prepare_native(self, fields: Fields) -> dict[str, Any]:
        """Let the native generator make everything."""
        name, relay = fields.text("run"), Relay(fields.object("native"), self._children, self._emit)
        answer = relay.prepare(fields)
        self._name, self._relay = name, relay
        return {**answer, "engine": "native"}

    def _make_end(self, spec: EndSpec, qos: Qos, budget: int) -> None:
        try:
            self._ends[spec.id] = self._build(spec, qos, budget)
        except AgentError as error:
            error.detail = {**(error.detail or {}), "end": spec.id}
            raise

    def _build(self, spec: EndSpec, qos: Qos, budget: int) -> End:
        device = self._device(spec.device)
        mtu = min(qos.mtu_bytes, device.active_mtu(spec.port))
        gid = device.gid(spec.port, spec.gid)
        self._gids[f"{spec.device}/{spec.port}"] = gid
        _check_capabilities(spec, device.caps)
        if spec.flow.transport == "ud" and spec.flow.message_bytes > mtu:
            raise BadRequest(
                f"flow {spec.flow.name}: message_bytes", spec.flow.message_bytes, f"at most {mtu} on UD"
            )
        stack = Stack()
        self._stack.push(f"end {spec.id}", lambda: _close_part(stack))
        if spec.flow.options.engine == "perftest":
            return PerftestEnd(Place(device, spec, qos, gid, mtu, stack), self._children, self._duration_ns)
        place = Place(device, spec, qos, gid, mtu, stack)
        return self._build_verbs(place, budget)

    def _build_verbs(self, place: Place, budget: int) -> End:
        spec, device, stack = place.spec, place.device, place.stack
        caps = device.caps
        layout = plan(spec, Limits(budget, caps["max_qp_wr"], caps["max_cqe"], caps["max_srq_wr"]))
        entries = min(caps["max_cqe"], 64 + _completions(spec, layout.window, layout.receives))
        place.queue = Completions(device, entries, stack)
        xrc = spec.flow.transport == "xrc"
        if (spec.flow.options.srq or xrc) and not spec.is_source:
            place.domain = pairs.open_domain(device, stack) if xrc else None
            place.srq = pairs.shared_receives(place, max(1, layout.receives))
        if spec.flow.options.ping_pong and not spec.flow.fetches:
            return PingPong(place, layout)
        if spec.is_source:
            return Source(place, layout, self._group_region(spec, device))
        return Target(place, layout, self._group(spec))

    def _device(self, name: str) -> Device:
        if name not in self._devices:
            self._devices[name] = Device(verbs.load(), name, self.sysfs, self._stack)
        return self._devices[name]

    def _group(self, spec: EndSpec) -> Group | None:
        """Return the group buffer that an end belongs to; the first end that names it makes it."""
        part = spec.flow.reduction
        if part is None:
            return None
        rank = part.src_rank if spec.is_source else part.dst_rank
        key = f"{part.group}/{rank}"
        if key not in self._groups:
            group = Group(part.group, rank, part.ranks, part.dtype, part.buffer_bytes)
            self._stack.push(f"group {key}", group.close)
            self._groups[key] = group
        group = self._groups[key]
        if (group.ranks, group.dtype, group.length) != (part.ranks, part.dtype, part.buffer_bytes):
            raise BadRequest(
                f"flow {spec.flow.name}: reduce", key, "the ranks, dtype and buffer_bytes of its group"
            )
        return group

    def _group_region(self, spec: EndSpec, device: Device) -> Region | None:
        group = self._group(spec)
        if group is None:
            return None
        key = (group.key, device.name)
        if key not in self._group_regions:
            self._group_regions[key] = Region(device, group.memory, 1, self._stack)
        return self._group_regions[key]

    # --- connect, start, stop --------------------------------------------------------------------

    def connect(self, fields: Fields) -> dict[str, Any]:
        """Bring ends to RTS towards their peers."""
        fields.only("id", "op", "ends")
        self._refuse_while_running("connect")
        wanted = fields.object("ends")
        took, routes = {}, {}
        for name in wanted.values:
            end, began = self._end(name, wanted.key(name)), clock.now_ns()
            end.connect([read_remote(item) for item in wanted.objects(name)], wanted.key(name))
            took[name] = {"took_ns": clock.now_ns() - began}
            routes[name] = [pairs.route(pair) for pair in end.pairs]
            if end.recovery_local_ns is not None:
                end.recovery_local_ns += took[name]["took_ns"]
            self._connected.add(name)
        return {"ends": took, "routes": routes}

    def start(self, fields: Fields) -> dict[str, Any]:
        """Start all ends at an instant."""
        fields.only("id", "op", "at_mono_ns", "duration_ns", "until", "progress_ms", "drain_ns")
        self._refuse_while_running("start")
        if self._name is None:
            raise BadRequest("op", "start", "prepare and connect first")
        self._launch(self._ends, fields)
        return {"now_mono_ns": clock.now_ns()}

    def _launch(self, ends: dict[str, End], fields: Fields) -> None:
        missing = [name for name in ends if name not in self._connected]
        if missing:
            raise BadRequest("ends", ", ".join(missing), "ends that are connected")
        until = fields.choice("until", ("done", "duration"), "done")
        duration = fields.integer_or_none("duration_ns", 0, MAX_INT)
        if until == "duration" and duration is None:
            raise BadRequest(fields.key("duration_ns"), None, "a duration, as until is duration")
        wanted = Plan(
            at_ns=fields.integer("at_mono_ns", 0, MAX_INT, clock.now_ns()),
            duration_ns=duration,
            until_done=until == "done",
            progress_ns=fields.integer("progress_ms", 1, 3_600_000, 100) * 1_000_000,
            drain_ns=fields.integer("drain_ns", 0, MAX_INT, 0),
        )
        self.run = Run(ends, wanted, self._emit)

    def stop(self, fields: Fields) -> dict[str, Any]:
        """Post nothing more; `finished` follows."""
        fields.only("id", "op", "drain_ns")
        drain = fields.integer("drain_ns", 0, MAX_INT, 0)
        if isinstance(self.run, Run):
            self.run.stop(drain)
        return {}

    def verify(self, fields: Fields) -> dict[str, Any]:
        """Check the memory of targets against what their sources say they have sent."""
        fields.only("id", "op", "ends")
        self._refuse_while_running("verify")
        wanted = fields.object("ends")
        found = {}
        for name in wanted.values:
            end, told = self._end(name, wanted.key(name)), wanted.object(name)
            told.only("posted", "completed")
            qps = end.spec.flow.qps
            if isinstance(end, Target):
                end.verify(told.integers("posted", qps), told.integers("completed", qps))
            found[name] = end.result()
        return {"ends": found}

    # --- recovery --------------------------------------------------------------------------------

    def recover(self, fields: Fields) -> dict[str, Any]:
        """Bring ends back to where they can be connected again."""
        fields.only("id", "op", "ends")
        self._refuse_while_running("recover")
        named = [(name, self._end(name, fields.key("ends"))) for name in fields.texts("ends")]
        for name, end in named:
            if end.spec.flow.options.recover is None:
                raise BadRequest(fields.key("ends"), name, "ends of flows whose verbs.recover is set")
        for name, end in named:
            self._connected.discard(name)
            end.recover()
        took = {name: end.recovery_local_ns for name, end in named}
        return {"ends": {name: end.describe() for name, end in named}, "took_ns": took}

    def resume(self, fields: Fields) -> dict[str, Any]:
        """Start ends that were recovered: they send all their messages again."""
        fields.only("id", "op", "ends", "at_mono_ns", "duration_ns", "until", "progress_ms", "drain_ns")
        self._refuse_while_running("resume")
        names = fields.texts("ends")
        self._launch({name: self._end(name, fields.key("ends")) for name in names}, fields)
        return {"now_mono_ns": clock.now_ns()}

    # --- the end ---------------------------------------------------------------------------------

    def reduce_check(self, fields: Fields) -> dict[str, Any]:
        """Compare every group buffer with the sum over all ranks."""
        fields.only("id", "op")
        return {"groups": {key: group.check() for key, group in self._groups.items()}}

    def series(self, fields: Fields) -> dict[str, Any]:
        """Return rows of a series that the native generator wrote."""
        if self._relay is None:
            raise BadRequest("op", "series", "a run of the native generator")
        return self._relay.series(fields)

    def teardown(self, fields: Fields) -> dict[str, Any]:
        """Close everything, running or not."""
        fields.only("id", "op")
        return self._close()

    def quit(self, fields: Fields) -> dict[str, Any]:
        """Close everything; the agent ends after this answer."""
        fields.only("id", "op")
        self.quitting = True
        self._close()
        return {}

    def _close(self) -> dict[str, Any]:
        self.run = None
        relay = self._relay
        if relay is not None:
            answer = relay.close()
            self._forget()
            return answer
        stack = self._stack
        stack.close()
        self._forget()
        return {"closed": stack.closed, "errors": stack.errors}

    # --- checks ----------------------------------------------------------------------------------

    def _end(self, name: str, key: str) -> End:
        if name not in self._ends:
            raise BadRequest(key, name, "one of " + (", ".join(self._ends) or "no ends: prepare first"))
        return self._ends[name]

    def _refuse_while_running(self, op: str) -> None:
        if self.run is not None:
            raise BadRequest("op", op, "a run that has finished; stop or teardown ends it")


def _budget() -> int:
    return max(1 << 20, min(MOST_MEMORY, available_bytes() // SHARE_OF_AVAILABLE))


def _close_part(stack: Stack) -> None:
    stack.close()
    if stack.errors:
        raise OSError("; ".join(stack.errors))


def _completions(spec: EndSpec, window: int, receives: int) -> int:
    """Return how many completions can wait at an end."""
    shared = spec.flow.options.srq or spec.flow.transport == "xrc"
    return spec.flow.qps * window + receives * (1 if shared else spec.flow.qps)


def _check_ids(specs: list[EndSpec]) -> None:
    if not specs:
        raise BadRequest("ends", [], "at least one end")
    seen: set[str] = set()
    for spec in specs:
        if spec.id in seen:
            raise BadRequest("ends", spec.id, "ids that are different")
        seen.add(spec.id)


def _check_after(specs: list[EndSpec]) -> None:
    """Refuse a flow that waits for one that never tells this host that it is complete."""
    telling = {spec.flow.name for spec in specs if spec.is_source or spec.notify or spec.flow.verb in _TELL}
    for spec in specs:
        for name in spec.flow.after if spec.is_source else ():
            if name not in telling:
                raise BadRequest(f"flow {spec.flow.name}: after", name, "a flow that ends here and notifies")


_TELL = ("send", "send_imm", "write_imm")


def _check_capabilities(spec: EndSpec, caps: dict[str, Any]) -> None:
    for feature, needed in (
        ("xrc", spec.flow.transport == "xrc"),
        ("srq", spec.flow.options.srq),
        ("atomics", spec.flow.is_atomic),
    ):
        if needed and not caps[feature]:
            message = f"flow {spec.flow.name}: {spec.device} has no {feature}"
            raise AgentError("unsupported", message, {"feature": feature, "device": spec.device})
    if spec.flow.qps > caps["max_qp"]:
        message = f"flow {spec.flow.name}: {spec.flow.qps} QPs; {spec.device} has {caps['max_qp']}"
        raise AgentError("no_resources", message, {"max_qp": caps["max_qp"]})
