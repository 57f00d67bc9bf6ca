"""A wire of our own, a pair of virtual Ethernet ports in a network namespace, and what passes on it."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

NEAR, FAR = "p0", "p1"
"""The port that frames are sent on, and the one where they arrive."""

HOLD = f"""
ip link add {NEAR} type veth peer name {FAR} &&
ip link set {NEAR} up && ip link set {FAR} up && echo ready && exec sleep 600
"""

CAPTURE = """
import ctypes, json, socket, struct, sys, threading
SO_TIMESTAMPNS = 35
# all types, for a bridge takes frames away from sockets that ask for one; load half-word 12, is it 0x8808?
program = b"".join(struct.pack("HBBI", *step) for step in (
    (0x28, 0, 0, 12), (0x15, 0, 1, 0x8808), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0)))
held = ctypes.create_string_buffer(program)
catcher = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
catcher.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HP", 4, ctypes.addressof(held)))  # SO_ATTACH_FILTER
catcher.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
catcher.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
catcher.bind((sys.argv[1], 0x0003))  # ETH_P_ALL
catcher.settimeout(0.2)
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
print("ready", flush=True)
seen = []
while True:
    try:
        data, control, _, _ = catcher.recvmsg(2048, 128)
    except TimeoutError:
        if over.is_set():
            break
        continue
    except OSError:  # the port was removed
        break
    seconds, ns = struct.unpack("ll", control[0][2][:16])
    seen.append([seconds * 10**9 + ns, data.hex()])
_, dropped = struct.unpack("II", catcher.getsockopt(263, 6, 8))  # PACKET_STATISTICS
print(json.dumps({"frames": seen, "dropped": dropped}))
"""
"""Keeps MAC control frames of a port, and the kernel's time of their arrival, until standard input ends."""


def missing() -> str | None:
    """Say what keeps us from having a wire here."""
    if os.geteuid() != 0:
        return "needs root: network namespaces and packet sockets"
    absent = [tool for tool in ("ip", "unshare", "nsenter", "setpriv") if shutil.which(tool) is None]
    if absent:
        return f"needs {absent[0]} (iproute2, util-linux)"
    tried = subprocess.run(
        ["unshare", "--net", "ip", "link", "add", "p0", "type", "veth", "peer", "name", "p1"],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if tried.returncode == 0 else f"needs virtual Ethernet: {tried.stderr.strip()}"


@dataclass(frozen=True)
class Frame:
    """A frame that arrived, and when by the kernel's wall clock."""

    ns: int
    data: bytes


def frames_of(said: str) -> list[Frame]:
    """Return what a capture kept; it must have lost nothing."""
    kept = json.loads(said)
    assert kept["dropped"] == 0
    return [Frame(ns, bytes.fromhex(data)) for ns, data in kept["frames"]]


class Capture:
    """What arrives at the far port from now on."""

    def __init__(self, prefix: list[str]) -> None:
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-c", CAPTURE, FAR],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def frames(self) -> list[Frame]:
        """End it and return what arrived."""
        out, _ = self._process.communicate(timeout=30)
        return frames_of(out)

    def close(self) -> None:
        with self._process:
            self._process.kill()


class Wire:
    """The namespace; `close` removes it with everything in it."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", HOLD], stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout.readline() == "ready\n"
        self._captures: list[Capture] = []
        self.prefix = ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net"]

    def run(self, *argv: str) -> subprocess.CompletedProcess:
        """Run a command beside the wire."""
        return subprocess.run([*self.prefix, *argv], capture_output=True, text=True, timeout=60, check=False)

    def start(self, *argv: str) -> subprocess.Popen:
        """Start a command beside the wire, its three streams pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen([*self.prefix, *argv], stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def capture(self) -> Capture:
        self._captures.append(Capture(self.prefix))
        return self._captures[-1]

    def close(self) -> None:
        for capture in self._captures:
            capture.close()
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()


def largest_gap_ns(frames: list[Frame]) -> int:
    """Return the longest time between two frames that followed one another."""
    return max(after.ns - before.ns for before, after in pairwise(frames))


def write_pcap(path: Path, frames: list[bytes]) -> None:
    """Write a capture file (magic of microseconds, version 2.4, link type Ethernet)."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    packets = (
        struct.pack("<IIII", 0, number, len(data), len(data)) + data for number, data in enumerate(frames)
    )
    path.write_bytes(head + b"".join(packets))


def decode(path: Path) -> list[dict]:
    """Return what tshark makes of each frame, by layer."""
    told = subprocess.run(
        ["tshark", "-n", "-r", str(path), "-T", "json", "--no-duplicate-keys"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [packet["_source"]["layers"] for packet in json.loads(told.stdout)]
