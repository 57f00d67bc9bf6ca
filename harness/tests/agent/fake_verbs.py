"""A verbs library that moves bytes within one process: what the agent needs of pyverbs, nothing more.

Work is done when it is posted, memory is really copied, keys and access flags are checked, receives are
consumed. A test can corrupt what travels (`corrupt`) or lose it (`lose`), and sees all objects that are open
in `Fabric.open`, in the order in which they were made.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from types import SimpleNamespace

from harness.hosts.agent import ibv

GID = "0000:0000:0000:0000:0000:ffff:c612:0101"


class VerbsError(Exception):
    def __init__(self, text, error_code):
        super().__init__(text)
        self.error_code = error_code


class Fabric:
    """All queue pairs and memory regions of a test, by number and key."""

    def __init__(self):
        self.qps, self.regions, self.open = {}, {}, []
        self.closed_early = []
        self.corrupt = self.lose = lambda data: None
        self.refuse = set()
        self._number = 16

    def number(self):
        self._number += 1
        return self._number

    def library(self):
        names = {
            "Context": lambda name: Context(self, name),
            "PD": lambda context: Closable(self, "PD", context),
            "MR": lambda *args, **kw: MR(self, *args, **kw),
            "CompChannel": lambda context: CompChannel(self, context),
            "CQ": lambda *args: CQ(self, *args),
            "QP": lambda *args: QP(self, *args),
            "SRQ": lambda domain, _attributes: SRQ(self, domain),
            "SGE": lambda addr, length, lkey: SimpleNamespace(addr=addr, length=length, lkey=lkey),
            "AH": lambda _domain, attr: Closable(self, "AH", attr),
            "SendWR": SendWR,
            "RecvWR": lambda wr_id, num_sge, sg: SimpleNamespace(wr_id=wr_id, sge=sg[0]),
        }
        plain = ("QPAttr", "QPCap", "QPInitAttr", "GID", "GlobalRoute", "AHAttr", "SrqAttr", "SrqInitAttr")
        return SimpleNamespace(**names, **dict.fromkeys(plain, attributes))


def attributes(*args, **kw):
    return SimpleNamespace(args=args, **kw)


class Closable:
    def __init__(self, fabric, kind, *parents):
        if kind in fabric.refuse:
            raise VerbsError(f"no {kind}", 12)
        self.fabric, self.kind, self.parents, self.is_open = fabric, kind, parents, True
        fabric.open.append(self)

    def close(self):
        if self.is_open:
            users = [o.kind for o in self.fabric.open if self in o.parents]
            self.fabric.closed_early += [f"{self.kind} before {user}" for user in users]
            self.fabric.open.remove(self)
            self.is_open = False


class Context(Closable):
    def __init__(self, fabric, name):
        super().__init__(fabric, "Context")
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def query_device(self):
        limits = dict.fromkeys(
            ("max_qp", "max_qp_wr", "max_cq", "max_cqe", "max_mr", "max_srq", "max_srq_wr"), 4096
        )
        atomic = {"max_qp_rd_atom": 16, "max_qp_init_rd_atom": 16, "local_ca_ack_delay": 15}
        return SimpleNamespace(**limits, **atomic, max_mr_size=2**40, device_cap_flags=0, atomic_caps=1)

    def query_port(self, _port):
        return SimpleNamespace(active_mtu=5, max_mtu=5)

    def query_gid_table(self, _most):
        entry = SimpleNamespace(port_num=1, gid_index=1, gid_type=2, ndev_ifindex=1, gid_str=lambda: GID)
        return [entry]


class MR(Closable):
    def __init__(self, fabric, domain, length, access, address):
        super().__init__(fabric, "MR", domain)
        self.length, self.access, self.address = length, access, address
        self.lkey = self.rkey = fabric.number() << 8
        fabric.regions[self.rkey] = self

    def close(self):
        self.fabric.regions.pop(self.rkey, None)
        super().close()

    def holds(self, address, length):
        return self.address <= address and address + length <= self.address + self.length


class CompChannel(Closable):
    def __init__(self, fabric, context):
        super().__init__(fabric, "CompChannel", context)
        self.fd, self._write = os.pipe()

    def ring(self):
        os.write(self._write, b"x")

    def get_cq_event(self, _queue):
        os.read(self.fd, 1)

    def close(self):
        if self.is_open:
            os.close(self.fd)
            os.close(self._write)
        super().close()


class CQ(Closable):
    def __init__(self, fabric, context, _entries, _cookie, channel, _vector):
        super().__init__(fabric, "CQ", context, channel)
        self._channel, self._works, self._armed = channel, deque(), False

    def req_notify(self):
        self._armed = True

    def add(self, **work):
        self._works.append(SimpleNamespace(**work))
        if self._armed:
            self._armed = False
            self._channel.ring()

    def poll(self, most):
        found = [self._works.popleft() for _ in range(min(most, len(self._works)))]
        return len(found), found


class SRQ(Closable):
    def __init__(self, fabric, domain):
        super().__init__(fabric, "SRQ", domain)
        self.receives = deque()

    def post_recv(self, request):
        self.receives.append(request)


class SendWR:
    def __init__(self, opcode, num_sge, sg, send_flags):
        assert num_sge == 1
        self.opcode, self.sge, self.send_flags = opcode, sg[0], send_flags
        self.wr_id = self.imm_data = 0
        self.remote = self.operands = self.ud = None

    def set_wr_rdma(self, rkey, address):
        self.remote = (rkey, address)

    def set_wr_atomic(self, rkey, address, compare_add, swap):
        self.remote, self.operands = (rkey, address), (compare_add, swap)

    def set_wr_ud(self, _handle, qpn, _qkey):
        self.ud = qpn


_IMMEDIATES = {ibv.WR_RDMA_WRITE_WITH_IMM, ibv.WR_SEND_WITH_IMM}
_WRITES = {ibv.WR_RDMA_WRITE, ibv.WR_RDMA_WRITE_WITH_IMM}
_SENDS = {ibv.WR_SEND, ibv.WR_SEND_WITH_IMM}
_ATOMICS = {ibv.WR_ATOMIC_CMP_AND_SWP, ibv.WR_ATOMIC_FETCH_AND_ADD}


class QP(Closable):
    def __init__(self, fabric, domain, wanted):
        parents = [domain, wanted.scq] + ([wanted.srq] if wanted.srq else [])
        super().__init__(fabric, "QP", *parents)
        self.qp_num, self.queue, self.kind = fabric.number(), wanted.scq, wanted.qp_type
        self.receives = wanted.srq.receives if wanted.srq else deque()
        self.state, self.peer = "RESET", None
        fabric.qps[self.qp_num] = self

    def close(self):
        self.fabric.qps.pop(self.qp_num, None)
        super().close()

    def modify(self, wanted, mask):
        assert (mask, wanted.qp_state) == (ibv.QP_STATE, ibv.QPS_RESET)
        self.state = "RESET"
        self.receives.clear()

    def to_rts(self, wanted):
        self.state, self.peer = "RTS", getattr(wanted, "dest_qp_num", None)

    def post_recv(self, request):
        self.receives.append(request)

    def post_send(self, request):
        status = "flush" if self.state != "RTS" else self._carry(request)
        number = {"flush": 5, None: 0}.get(status, status)
        if number:
            self.state = "ERR"
        if number or request.send_flags & ibv.SEND_SIGNALED:
            self._complete(self, request.wr_id, number)

    def _carry(self, request):
        """Do the work; return None or the number of its error."""
        sge = request.sge
        region = self.fabric.regions.get(sge.lkey)
        if region is None or not region.holds(sge.addr, sge.length):
            return 4  # LOC_PROT_ERR
        target = self.fabric.qps.get(request.ud or self.peer)
        if target is None:
            return 12  # RETRY_EXC_ERR
        if request.opcode in _SENDS:
            return self._send(request, target)
        if request.opcode in _WRITES:
            return self._write(request, target)
        return self._fetch(request)

    def _remote(self, request, access, length):
        region = self.fabric.regions.get(request.remote[0])
        good = region and region.access & access and region.holds(request.remote[1], length)
        return None if good else 10  # REM_ACCESS_ERR

    def _data(self, request):
        data = bytearray(ctypes.string_at(request.sge.addr, request.sge.length))
        self.fabric.corrupt(data)
        return bytes(data)

    def _write(self, request, target):
        error = self._remote(request, ibv.REMOTE_WRITE, request.sge.length)
        if error:
            return error
        data = self._data(request)
        if self.fabric.lose(data):
            return None
        ctypes.memmove(request.remote[1], data, len(data))
        if request.opcode in _IMMEDIATES:
            self._receive(request, target, b"")
        return None

    def _send(self, request, target):
        data = self._data(request)
        if self.fabric.lose(data):
            return None
        return self._receive(request, target, data)

    def _receive(self, request, target, data):
        if not target.receives:
            return 13 if self.kind == ibv.QPT_RC else None  # RNR_RETRY_EXC_ERR
        taken = target.receives.popleft()
        head = ibv.GRH_BYTES if self.kind == ibv.QPT_UD else 0
        if head + len(data) > taken.sge.length:
            self._complete(target, taken.wr_id, 1)
            return 9  # LOC_LEN_ERR there, REM_INV_REQ_ERR here
        ctypes.memmove(taken.sge.addr + head, data, len(data))
        flags = ibv.WC_WITH_IMM if request.opcode in _IMMEDIATES else 0
        length = head + len(data)
        self._complete(target, taken.wr_id, 0, wc_flags=flags, imm_data=request.imm_data, byte_len=length)
        return None

    def _fetch(self, request):
        atomic = request.opcode in _ATOMICS
        error = self._remote(request, ibv.REMOTE_ATOMIC if atomic else ibv.REMOTE_READ, request.sge.length)
        if error:
            return error
        data = bytearray(ctypes.string_at(request.remote[1], request.sge.length))
        self.fabric.corrupt(data)
        ctypes.memmove(request.sge.addr, bytes(data), len(data))
        if atomic:
            self._change(request)
        return None

    @staticmethod
    def _change(request):
        cell = ctypes.c_uint64.from_address(request.remote[1])
        first, second = request.operands
        if request.opcode == ibv.WR_ATOMIC_FETCH_AND_ADD:
            cell.value += first
        elif cell.value == first:
            cell.value = second

    @staticmethod
    def _complete(qp, wr_id, status, **facts):
        none = {"wc_flags": 0, "imm_data": 0, "byte_len": 0}
        qp.queue.add(qp_num=qp.qp_num, wr_id=wr_id, status=status, vendor_err=0, **{**none, **facts})
