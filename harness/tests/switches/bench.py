"""A switch in miniature: a bridge and two hosts as network namespaces, real tc and nft, frames made by hand.

It stands on this machine, when it is root's and has the programs, and (marked `lab`) on the switch of a VM lab,
whose kernel has what this one may lack.
"""

from __future__ import annotations

import json
import secrets
import struct
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from harness.core.blocks import SwitchBlock, complete, merge
from harness.core.topology import Topology
from harness.switches import QpRoute, load
from harness.transport.remote import Completed

H1, H2 = "198.18.0.1", "198.18.0.2"
QPN, BACK_QPN = 0x11, 0x22
MAC = {
    H1: "02:00:00:00:00:01",
    H2: "02:00:00:00:00:02",
    "fd00::1": "02:00:00:00:00:01",
    "fd00::2": "02:00:00:00:00:02",
}
TRAFFIC = (Path(__file__).parent / "traffic.py").read_text(encoding="utf-8")
WRITE_MIDDLE, ACK, READ_RESPONSE_MIDDLE, ATOMIC_RESPONSE = 0x07, 0x11, 0x0E, 0x12


def topology(rate="100Mbps"):
    nodes = {"h1": {"kind": "host"}, "h2": {"kind": "host"}, "sw1": {"kind": "switch"}}
    links = [{"endpoints": [f"h{i}:p0", f"sw1:e{i}"], "rate": rate} for i in (1, 2)]
    return Topology(name="bench", nodes=nodes, links=links)


class InNamespace:
    """A remote whose commands run in a network namespace."""

    def __init__(self, machine, namespace):
        self.machine, self.namespace = machine, namespace
        self.host, self.scripts = "sw1", []

    @property
    def alive(self):
        return self.machine.alive

    def run(self, argv, *, timeout_s=60.0, silence_s=None, stdin=b"", check=True):
        self.scripts.append(stdin.decode())
        inside = ["ip", "netns", "exec", self.namespace, *argv]
        return self.machine.run(inside, timeout_s=timeout_s, stdin=stdin, check=check)


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF ^ total


def frame(
    psn, *, qpn=QPN, opcode=WRITE_MIDDLE, src=H1, dst=H2, tos=0x6A, payload=64, udp_sum=False, dport=4791
):
    """A RoCEv2 frame; the last four bytes stand for the invariant CRC. ToS 0x6A: DSCP 26, ECT(0)."""
    bth = struct.pack("!BBHII", opcode, 0, 0xFFFF, qpn, psn)
    segment = bth + bytes(i & 0xFF for i in range(payload)) + b"ICRC"
    udp = bytearray(struct.pack("!HHHH", 50000, dport, 8 + len(segment), 0) + segment)
    head = ip_header(src, dst, tos, len(udp))
    if udp_sum:
        pseudo = socket_bytes(src) + socket_bytes(dst) + struct.pack("!HH", 17, len(udp))
        udp[6:8] = struct.pack("!H", checksum(pseudo + bytes(udp)))
    return bytes.fromhex((MAC[dst] + MAC[src]).replace(":", "")) + head + bytes(udp)


def socket_bytes(address):
    return ip_address(address).packed


def ip_header(src, dst, tos, length):
    if ":" in src:
        first = 6 << 28 | tos << 20
        return (
            b"\x86\xdd" + struct.pack("!IHBB", first, length, 17, 64) + socket_bytes(src) + socket_bytes(dst)
        )
    head = (
        struct.pack("!BBHHHBBH", 0x45, tos, 20 + length, 7, 0x4000, 64, 17, 0)
        + socket_bytes(src)
        + socket_bytes(dst)
    )
    return b"\x08\x00" + head[:10] + struct.pack("!H", checksum(head)) + head[12:]


@dataclass(frozen=True)
class Seen:
    """A frame that arrived: what of it tests look at."""

    raw: bytes
    at: float

    @property
    def udp(self):
        return self.raw[54:] if self.raw[12:14] == b"\x86\xdd" else self.raw[34:]

    @property
    def psn(self):
        return int.from_bytes(self.udp[17:20], "big")

    @property
    def ecn(self):
        tos = int.from_bytes(self.raw[14:16], "big") >> 4 if self.raw[12:14] == b"\x86\xdd" else self.raw[15]
        return tos & 3

    @property
    def ip_sum_ok(self):
        return checksum(self.raw[14:34]) == 0

    @property
    def udp_sum(self):
        return int.from_bytes(self.udp[6:8], "big")


@dataclass
class Bench:
    """The miniature; `on` is the machine that carries it."""

    on: object
    tag: str = field(default_factory=lambda: f"rb{secrets.token_hex(3)}")

    def __post_init__(self):
        self.switch = InNamespace(self.on, f"{self.tag}s")
        self.sh(f"""
set -e
for each in s a b; do ip netns add {self.tag}$each; done
for each in s a b; do
  ip netns exec {self.tag}$each sh -c 'for f in all default; do echo 1 > /proc/sys/net/ipv6/conf/$f/disable_ipv6; done'
done
ip -n {self.tag}s link add e1 type veth peer name p0 netns {self.tag}a
ip -n {self.tag}s link add e2 type veth peer name p0 netns {self.tag}b
ip -n {self.tag}a link set p0 address {MAC[H1]}
ip -n {self.tag}b link set p0 address {MAC[H2]}
ip -n {self.tag}s link add br0 type bridge stp_state 0 mcast_snooping 0
for each in e1 e2; do ip -n {self.tag}s link set $each master br0 up; done
ip -n {self.tag}s link set br0 up
for each in a b; do ip -n {self.tag}$each link set p0 up; done
""")

    def close(self):
        self.sh(f"for each in s a b; do ip netns del {self.tag}$each; done")

    def sh(self, script, *, switch=False, check=True):
        remote = self.switch if switch else self.on
        return remote.run(["sh", "-s"], stdin=script.encode(), check=check).stdout

    def driver(self, rate="100Mbps"):
        return load("linux")(self.switch, "sw1", {"e1": "e1", "e2": "e2"}, topology(rate))

    def send(self, *frames, wait_s=0.3, back=(), gap_s=0.0):
        """Send from h1 (and `back` from h2); return what arrived at h2 and at h1.

        `sent_at` then has when each frame of h1 was sent, in s on the clock of the arrivals.
        """
        work = {
            "namespaces": [f"{self.tag}a", f"{self.tag}b"],
            "frames": [[each.hex() for each in frames], [each.hex() for each in back]],
            "wait_s": wait_s,
            "gap_s": gap_s,
        }
        done = self.on.run(["python3", "-c", TRAFFIC], stdin=json.dumps(work).encode(), timeout_s=60)
        told = json.loads(done.stdout)
        self.sent_at = told["sent"][0]
        sides = (told["received"][1], told["received"][0])
        return tuple([Seen(bytes.fromhex(raw), at) for at, raw in side] for side in sides)

    def psns(self, *frames, **kwargs):
        return [each.psn for each in self.send(*frames, **kwargs)[0]]


def block(**changes):
    return merge(complete(SwitchBlock()), changes)


def ecn(kmin, kmax, pmax, **more):
    profile = {"rate_bps": 0, "kmin_bytes": kmin, "kmax_bytes": kmax, "pmax": pmax}
    return {"priorities": [3], "mark_at": "dequeue", "wred_drop": False, "profiles": [profile], **more}


def route(**changes):
    fields = {
        "src": "h1:p0", "dst": "h2:p0", "src_address": H1, "dst_address": H2, "src_qpn": BACK_QPN, "dst_qpn": QPN,
        "first_psn": 100,
    }  # fmt: skip
    return QpRoute(**{**fields, **changes})


def impair(action, **keys):
    return {"kind": "impair", "at_ps": 0, "flow": "f", "action": action, "qp": 0, **keys}


@dataclass
class Switched:
    """A bench with its driver, configured, and one flow from h1 to h2."""

    bench: Bench
    driver: object

    def apply(self, *events):
        done = [self.driver.apply(each) for each in events]
        assert all(each.acted for each in done)

    def counted(self, before):
        return self.driver.deltas(before, self.driver.counters())


def switched_on(bench, rate="100Mbps", routes=None, **changes):
    driver = bench.driver(rate)
    driver.snapshot()
    driver.configure(block(**changes))
    driver.flows_connected({"f": routes or [route()]})
    return Switched(bench, driver)


class Recording:
    """A remote that answers every script with what it is told, for what no kernel needs to be asked."""

    def __init__(self, *answers, host="sw1"):
        self.host, self.alive, self.answers, self.scripts = host, True, list(answers), []

    def run(self, argv, *, timeout_s=60.0, silence_s=None, stdin=b"", check=True):
        self.scripts.append(stdin.decode())
        return self.answers.pop(0) if self.answers else Completed(0, "", "")
