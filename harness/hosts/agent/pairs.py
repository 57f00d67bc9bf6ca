"""Queue pairs: making them, connecting them to their peer, and bringing them back after an error."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from typing import Any

from . import ibv, sysfs, wire
from .errors import AgentError, BadRequest, of_verbs
from .flow import EndSpec, Qos
from .request import Fields
from .resources import Completions, Device, Stack

HOP_LIMIT = 64
QKEY = 0x11111111
"""Queue key of our UD pairs; the high bit is clear, as those of controlled keys are not for users."""

_TYPES = {"rc": ibv.QPT_RC, "uc": ibv.QPT_UC, "ud": ibv.QPT_UD}
_ACCESS = ibv.LOCAL_WRITE | ibv.REMOTE_WRITE | ibv.REMOTE_READ


@dataclass
class Place:
    """Where the pairs of an end live: device, port, GID and MTU, completion queue, shared receives."""

    device: Device
    spec: EndSpec
    qos: Qos
    gid: dict[str, Any]
    mtu: int
    stack: Stack
    queue: Completions | None = None
    srq: Any = None
    domain: Any = None  # of XRC

    @property
    def completions(self) -> Completions:
        """Return the completion queue; ends of perftest have none."""
        if self.queue is None:
            raise AgentError("internal", f"end {self.spec.id} has no completion queue")
        return self.queue


@dataclass(frozen=True)
class Remote:
    """The other end's pair, as it came in `connect`."""

    qpn: int
    psn: int
    gid: str
    rkey: int = 0
    addr: int = 0
    bytes: int = 0
    mtu: int = 0
    slots: int = 1
    stride: int = 0
    period: int = 1
    srqn: int | None = None
    address: str | None = None
    tcp_port: int | None = None


def read_remote(fields: Fields) -> Remote:
    """Return the peer's pair of a request; keys it has beyond ours are left alone."""
    return Remote(
        qpn=fields.integer("qpn", 0, 2**24 - 1),
        psn=fields.integer("psn", 0, 2**24 - 1),
        gid=_gid(fields),
        rkey=fields.integer("rkey", 0, 2**32 - 1, 0),
        addr=fields.integer("addr", 0, 2**64 - 1, 0),
        bytes=fields.integer("bytes", 0, 2**63, 0),
        mtu=fields.integer("mtu", 0, 4096, 0),
        slots=fields.integer("slots", 0, 2**40, 1),
        stride=fields.integer("stride", 0, 2**40, 0),
        period=fields.integer("period", 1, 2**40, 1),
        srqn=fields.integer_or_none("srqn", 0, 2**32 - 1),
        address=fields.values.get("address"),
        tcp_port=fields.integer_or_none("tcp_port", 1, 65535),
    )


def _gid(fields: Fields) -> str:
    gid = fields.text("gid")
    words = gid.split(":")
    if len(words) != 8 or any(
        len(word) != 4 or set(word.lower()) - set("0123456789abcdef") for word in words
    ):
        raise BadRequest(fields.key("gid"), gid, "eight groups of four hexadecimal digits")
    return gid


@dataclass
class Pair:
    """One queue pair of ours. `remote` is known after connect; `handle` addresses it for UD."""

    index: int
    qp: Any
    psn: int
    stack: Stack = field(default_factory=Stack)
    remote: Remote | None = None
    handle: Any = None
    flow_label: int = 0

    @property
    def qpn(self) -> int:
        """Return the number of the queue pair."""
        return int(self.qp.qp_num)


def make(place: Place, index: int, sends: int, receives: int) -> Pair:
    """Make a queue pair in RESET.

    It is not given attributes here: pyverbs would move it to INIT with their access flags, and later ones
    would not apply.
    """
    pair = Pair(index, None, _first_psn(place.spec, index))
    cap = place.device.library.QPCap(
        max_send_wr=max(1, sends),
        max_recv_wr=0 if place.srq else max(1, receives),
        max_send_sge=1,
        max_recv_sge=1,
    )
    build = _xrc(place, cap) if place.spec.flow.transport == "xrc" else _plain(place, cap)
    pair.qp = place.device.make(f"queue pair {index}", build, pair.stack)
    place.stack.push(f"queue pair {index}", lambda: close(pair))
    return pair


def close(pair: Pair) -> None:
    """Destroy a pair; what could not be closed is raised as one OSError."""
    pair.stack.close()
    if pair.stack.errors:
        raise OSError("; ".join(pair.stack.errors))


def _first_psn(spec: EndSpec, index: int) -> int:
    if spec.first_psn is None:
        return secrets.randbits(24)
    return (spec.first_psn + index) % 2**24


def _plain(place: Place, cap: Any) -> Any:
    queue, kind = place.completions.queue, _TYPES[place.spec.flow.transport]

    def build(v: Any) -> Any:
        wanted = v.QPInitAttr(qp_type=kind, scq=queue, rcq=queue, srq=place.srq, cap=cap, sq_sig_all=0)
        return v.QP(place.device.domain, wanted)

    return build


def _xrc(place: Place, cap: Any) -> Any:
    """XRC has two kinds: the source's sends alone, the target's receives from a shared queue alone."""
    queue = place.completions.queue

    def build(v: Any) -> Any:
        if place.spec.is_source:
            wanted = v.QPInitAttrEx(
                qp_type=ibv.QPT_XRC_SEND, scq=queue, cap=cap, pd=place.device.domain, comp_mask=ibv.QP_INIT_PD
            )
        else:
            wanted = v.QPInitAttrEx(
                qp_type=ibv.QPT_XRC_RECV, xrcd=place.domain, comp_mask=ibv.QP_INIT_XRCD, cap=v.QPCap()
            )
        return v.QP(place.device.context, wanted)

    return build


def open_domain(device: Device, stack: Stack) -> Any:
    """Return an XRC domain of this process alone."""
    return device.make(
        "XRC domain",
        lambda v: v.XRCD(
            device.context, v.XRCDInitAttr(ibv.XRCD_INIT_FD | ibv.XRCD_INIT_OFLAGS, os.O_CREAT, -1)
        ),
        stack,
    )


def shared_receives(place: Place, depth: int) -> Any:
    """Return a shared receive queue, of the XRC domain when there is one."""
    device = place.device

    def build(v: Any) -> Any:
        if place.domain is None:
            return v.SRQ(device.domain, v.SrqInitAttr(v.SrqAttr(max_wr=depth)))
        wanted = v.SrqInitAttrEx(max_wr=depth)
        wanted.srq_type, wanted.pd, wanted.xrcd = ibv.SRQT_XRC, device.domain, place.domain
        wanted.cq = place.completions.queue
        wanted.comp_mask = ibv.SRQ_INIT_TYPE | ibv.SRQ_INIT_PD | ibv.SRQ_INIT_CQ | ibv.SRQ_INIT_XRCD
        return v.SRQ(device.context, wanted)

    return device.make("shared receive queue", build, place.stack)


def connect(place: Place, pair: Pair, remote: Remote, path: str) -> None:
    """Bring a pair to RTS towards its peer.

    Raises:
        BadRequest: the MTUs of both ends differ.
        AgentError: the device refuses.
    """
    if remote.mtu != place.mtu:
        raise BadRequest(f"{path}.mtu", remote.mtu, str(place.mtu))
    spec = place.spec
    pair.remote = remote
    pair.flow_label = _flow_label(spec, pair.index)
    try:
        pair.qp.to_rts(_attributes(place, pair, remote))
        if spec.flow.transport == "ud":
            route = place.device.library.AHAttr(
                is_global=1, port_num=spec.port, sl=spec.sl, gr=_route(place, pair)
            )
            pair.handle = place.device.library.AH(place.device.domain, attr=route)
            pair.stack.push("address handle", pair.handle.close)
    except Exception as error:
        raise of_verbs(error, f"end {spec.id}: QP {pair.qpn} cannot be connected", end=spec.id) from error


def _flow_label(spec: EndSpec, index: int) -> int:
    if spec.flow.udp_sport is not None:
        return wire.flow_label_of(spec.flow.udp_sport + index)
    return spec.flow.flow_label or 0


def _route(place: Place, pair: Pair) -> Any:
    v, spec = place.device.library, place.spec
    if pair.remote is None:
        raise AgentError("internal", f"end {spec.id}: no peer")
    return v.GlobalRoute(
        dgid=v.GID(pair.remote.gid), flow_label=pair.flow_label, sgid_index=place.gid["index"],
        hop_limit=HOP_LIMIT, traffic_class=spec.tos,
    )  # fmt: skip


def _attributes(place: Place, pair: Pair, remote: Remote) -> Any:
    """Return every attribute a pair needs on its way to RTS; pyverbs takes those of its transport."""
    v, spec, qos, caps = place.device.library, place.spec, place.qos, place.device.caps
    wanted = v.QPAttr()
    wanted.port_num, wanted.pkey_index = spec.port, 0
    wanted.qkey, wanted.sq_psn = QKEY, pair.psn
    wanted.qp_access_flags = _ACCESS | (ibv.REMOTE_ATOMIC if caps["atomics"] else 0)
    if spec.flow.transport == "ud":
        return wanted
    wanted.path_mtu = ibv.mtu_number(place.mtu)
    wanted.dest_qp_num, wanted.rq_psn = _addressed(spec, remote), remote.psn
    wanted.max_rd_atomic = min(qos.max_rd_atomic, caps["max_init_rd_atomic"] or 1)
    wanted.max_dest_rd_atomic = min(qos.max_rd_atomic, caps["max_rd_atomic"] or 1)
    wanted.timeout, wanted.retry_cnt = qos.ack_timeout_exponent, qos.retry_count
    wanted.rnr_retry, wanted.min_rnr_timer = qos.rnr_retry, qos.rnr_timer
    wanted.ah_attr = v.AHAttr(is_global=1, port_num=spec.port, sl=spec.sl, gr=_route(place, pair))
    return wanted


NO_SUCH_QP = 1 << 22
"""Flipped in a QP number to address one that does not exist: devices number upwards from small values."""


def _addressed(spec: EndSpec, remote: Remote) -> int:
    if spec.is_source and spec.flow.options.fault == "no_receiver":
        return remote.qpn ^ NO_SUCH_QP
    return remote.qpn


def reset(place: Place, pair: Pair) -> None:
    """Take a pair through RESET, where it forgets its error; it has a new first PSN."""
    v = place.device.library
    wanted = v.QPAttr()
    wanted.qp_state = ibv.QPS_RESET
    try:
        pair.qp.modify(wanted, ibv.QP_STATE)
    except Exception as error:
        raise of_verbs(
            error, f"end {place.spec.id}: QP {pair.qpn} cannot be reset", end=place.spec.id
        ) from error
    pair.psn = _first_psn(place.spec, pair.index)


def description(place: Place, pair: Pair) -> dict[str, Any]:
    """Return what the peer must know of a pair itself; its memory is added by the end."""
    return {
        "qpn": pair.qpn,
        "psn": pair.psn,
        "gid": place.gid["gid"],
        "gid_index": place.gid["index"],
        "mtu": place.mtu,
        "srqn": place.srq.get_srq_num() if place.srq and place.domain else None,
        "address": sysfs.address(place.gid["gid"]),
        "tcp_port": None,
    }


def route(pair: Pair) -> dict[str, Any]:
    """Return what identifies the packets of a pair towards its peer."""
    remote = pair.remote
    if remote is None:
        raise AgentError("internal", "route of a pair that is not connected")
    sport = wire.udp_sport_of(pair.flow_label, pair.qpn, remote.qpn)
    return {"src_qpn": pair.qpn, "dst_qpn": remote.qpn, "first_psn": pair.psn, "udp_sport": sport}
