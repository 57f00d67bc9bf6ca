"""Flows, their ends and the transport settings, as they come in `prepare`."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import AgentError, BadRequest
from .request import Fields

MAX_INT = 2**63 - 1
PS_PER_NS = 1000

VERBS_OF = {
    "rc": ("write", "read", "send", "atomic", "write_imm", "send_imm", "compare_swap", "fetch_add"),
    "xrc": ("write", "read", "send", "atomic", "write_imm", "send_imm", "compare_swap", "fetch_add"),
    "uc": ("write", "send", "write_imm", "send_imm"),
    "ud": ("send", "send_imm"),
}
"""Verbs by transport (InfiniBand Architecture, table 37)."""

ATOMICS = ("atomic", "compare_swap", "fetch_add")
TOLD = ("send", "send_imm", "write_imm")
"""Verbs of which each message completes a receive at the target."""

FAULTS = (
    "bad_rkey",
    "bad_address",
    "no_remote_write",
    "no_remote_read",
    "no_remote_atomic",
    "long_send",
    "bad_lkey",
    "no_receiver",
)


@dataclass(frozen=True)
class Options:
    """The `verbs` of a flow; the defaults are those of a flow without them."""

    check_payload: bool = True
    ping_pong: bool = False
    fault: str | None = None
    recover: str | None = None
    engine: str = "pyverbs"
    srq: bool = False


@dataclass(frozen=True)
class Reduction:
    """The `reduce` of a flow: which part of which buffer it carries, and what becomes of it at the target."""

    group: str
    ranks: int
    src_rank: int
    dst_rank: int
    offset: int
    op: str
    dtype: str
    buffer_bytes: int


@dataclass(frozen=True)
class FlowSpec:
    """A flow of the job; times in ns, the rest as in docs/job-format.md."""

    name: str
    verb: str
    transport: str
    message_bytes: int
    messages: int
    qps: int
    start_ns: int
    after: tuple[str, ...]
    after_delay_ns: int
    rate_bps: int
    window_bytes: int
    max_outstanding: int
    interval_ns: int
    poisson: bool
    flow_label: int | None
    udp_sport: int | None
    recv_depth: int
    recv_repost_ns: int
    options: Options
    reduction: Reduction | None

    @property
    def is_atomic(self) -> bool:
        """Whether it reads and changes 8 bytes at the target."""
        return self.verb in ATOMICS

    @property
    def fetches(self) -> bool:
        """Whether data comes back to the source: reads and atomics."""
        return self.verb == "read" or self.is_atomic

    @property
    def total_messages(self) -> int | None:
        """Messages over all QPs, or None when it sends until it is stopped."""
        return self.messages * self.qps or None


@dataclass(frozen=True)
class GidWish:
    """Which GID a QP is to have: by index, or by RoCE version and address family."""

    index: int | None = None
    roce: str = "v2"
    family: str | None = None


@dataclass(frozen=True)
class EndSpec:
    """One end of a flow on this host."""

    id: str
    flow: FlowSpec
    role: str
    device: str
    port: int
    gid: GidWish
    tos: int
    sl: int
    first_psn: int | None
    notify: bool

    @property
    def is_source(self) -> bool:
        """Whether this end posts the work requests of the flow."""
        return self.role == "src"


@dataclass(frozen=True)
class Qos:
    """The keys of the job's `nic` that queue pairs have."""

    mtu_bytes: int = 1024
    ack_timeout_exponent: int = 14
    retry_count: int = 7
    rnr_timer: int = 12
    rnr_retry: int = 7
    max_rd_atomic: int = 16


def read_qos(fields: Fields) -> Qos:
    """Return the transport settings of a `qos` object; keys that NICs have beside them are left alone."""
    return Qos(
        mtu_bytes=fields.choice("mtu_bytes", (256, 512, 1024, 2048, 4096), 1024),
        ack_timeout_exponent=fields.integer("ack_timeout_exponent", 0, 31, 14),
        retry_count=fields.integer("retry_count", 0, 7, 7),
        rnr_timer=fields.integer("rnr_timer", 0, 31, 12),
        rnr_retry=fields.integer("rnr_retry", 0, 7, 7),
        max_rd_atomic=fields.integer("max_rd_atomic", 1, 255, 16),
    )


def read_end(fields: Fields) -> EndSpec:
    """Return a flow end; raise BadRequest or, for what no host can do, AgentError unsupported."""
    fields.only("id", "flow", "role", "device", "port", "gid", "tos", "sl", "first_psn", "notify", "dport")
    fields.choice("dport", (4791,), 4791)
    return EndSpec(
        id=fields.text("id"),
        flow=read_flow(fields.object("flow")),
        role=fields.choice("role", ("src", "dst")),
        device=fields.text("device"),
        port=fields.integer("port", 1, 255),
        gid=_read_gid(fields.object("gid", {})),
        tos=fields.integer("tos", 0, 255, 0),
        sl=fields.integer("sl", 0, 15, 0),
        first_psn=fields.integer_or_none("first_psn", 0, 2**24 - 1),
        notify=fields.boolean("notify", False),
    )


def _read_gid(fields: Fields) -> GidWish:
    fields.only("index", "roce", "family")
    family = fields.choice("family", ("ipv4", "ipv6", "link_local", None), None)
    return GidWish(
        fields.integer_or_none("index", 0, 1023), fields.choice("roce", ("v1", "v2"), "v2"), family
    )


def read_flow(fields: Fields) -> FlowSpec:
    """Return the flow of a job."""
    transport = fields.choice("transport", tuple(VERBS_OF), "rc")
    flow = FlowSpec(
        name=fields.text("name"),
        verb=fields.choice("verb", VERBS_OF[transport], "write"),
        transport=transport,
        message_bytes=fields.integer("message_bytes", 1, 2**31),
        messages=fields.integer("messages", 0, 2**40, 1),
        qps=fields.integer("qps", 1, 2_000_000, 1),
        start_ns=fields.integer("start_ps", 0, MAX_INT, 0) // PS_PER_NS,
        after=fields.texts("after", []),
        after_delay_ns=fields.integer("after_delay_ps", 0, MAX_INT, 0) // PS_PER_NS,
        rate_bps=fields.integer("rate_bps", 0, MAX_INT, 0),
        window_bytes=fields.integer("window_bytes", 0, MAX_INT, 0),
        max_outstanding=fields.integer("max_outstanding", 0, 2**31 - 1, 0),
        interval_ns=fields.integer("message_interval_ps", 0, MAX_INT, 0) // PS_PER_NS,
        poisson=fields.choice("arrivals", ("fixed", "poisson"), "fixed") == "poisson",
        flow_label=fields.integer_or_none("flow_label", 0, 2**20 - 1),
        udp_sport=fields.integer_or_none("udp_sport", 0, 2**16 - 1),
        recv_depth=fields.integer("recv_depth", 0, 2**31 - 1, 0),
        recv_repost_ns=fields.integer("recv_repost_ps", 0, MAX_INT, 0) // PS_PER_NS,
        options=_read_options(fields),
        reduction=_read_reduction(fields),
    )
    _check(flow, fields)
    return flow


def _read_options(fields: Fields) -> Options:
    if fields.values.get("verbs") is None:
        return Options()
    verbs = fields.object("verbs")
    verbs.only("check_payload", "ping_pong", "fault", "recover", "engine", "srq")
    return Options(
        check_payload=verbs.boolean("check_payload", True),
        ping_pong=verbs.boolean("ping_pong", False),
        fault=verbs.choice("fault", (None, *FAULTS), None),
        recover=verbs.choice("recover", (None, "reset", "rebuild"), None),
        engine=verbs.choice("engine", ("pyverbs", "perftest"), "pyverbs"),
        srq=verbs.boolean("srq", False),
    )


def _read_reduction(fields: Fields) -> Reduction | None:
    if fields.values.get("reduce") is None:
        return None
    reduce = fields.object("reduce")
    reduce.only("group", "ranks", "src_rank", "dst_rank", "offset", "op", "dtype", "buffer_bytes")
    ranks = reduce.integer("ranks", 2, 65536)
    return Reduction(
        group=reduce.text("group"),
        ranks=ranks,
        src_rank=reduce.integer("src_rank", 0, ranks - 1),
        dst_rank=reduce.integer("dst_rank", 0, ranks - 1),
        offset=reduce.integer("offset", 0, 2**40),
        op=reduce.choice("op", ("sum", "copy")),
        dtype=reduce.choice("dtype", ("int32", "float32")),
        buffer_bytes=reduce.integer("buffer_bytes", 4, 2**40),
    )


def _check(flow: FlowSpec, fields: Fields) -> None:
    """Refuse what contradicts itself, and what this engine cannot do."""
    if fields.values.get("load") is not None:
        message = f"flow {flow.name}: load: only the native generator has these options"
        raise AgentError("unsupported", message, {"feature": "load"})
    if flow.is_atomic and flow.message_bytes != 8:
        raise BadRequest(fields.key("message_bytes"), flow.message_bytes, "8 for an atomic")
    if flow.options.ping_pong and flow.options.engine == "pyverbs" and flow.verb in {"write_imm", "send_imm"}:
        raise BadRequest(fields.key("verb"), flow.verb, "write, send, read or an atomic for ping_pong")
    if flow.options.srq and flow.transport not in {"rc", "xrc"}:
        raise BadRequest(fields.key("verbs.srq"), True, "false for a transport other than rc and xrc")
    if flow.udp_sport is not None and not 49152 <= flow.udp_sport <= 65536 - flow.qps:
        message = f"flow {flow.name}: UDP source port {flow.udp_sport}: verbs give ports 49152 to 65535 alone"
        raise AgentError("unsupported", message, {"feature": "udp_sport"})
    if flow.reduction:
        _check_reduction(flow, flow.reduction, fields)


def _check_reduction(flow: FlowSpec, part: Reduction, fields: Fields) -> None:
    if flow.messages != 1 or flow.qps != 1 or flow.verb not in {"write", "write_imm", "send", "send_imm"}:
        raise BadRequest(fields.key("reduce"), flow.verb, "one message of one QP, a write or a send")
    if flow.transport != "rc" or flow.options.ping_pong or flow.options.engine != "pyverbs":
        raise BadRequest(fields.key("reduce"), flow.transport, "transport rc, no ping_pong, engine pyverbs")
    for key, size in (("offset", part.offset), ("buffer_bytes", part.buffer_bytes)):
        if size % 4:
            raise BadRequest(fields.key(f"reduce.{key}"), size, "a multiple of 4")
    if flow.message_bytes % 4 or part.offset + flow.message_bytes > part.buffer_bytes:
        raise BadRequest(fields.key("message_bytes"), flow.message_bytes, "whole elements within the buffer")
