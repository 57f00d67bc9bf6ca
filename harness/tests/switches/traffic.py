"""Send frames from one namespace to another and tell what arrived, with times. Stands alone: it travels."""

import ctypes
import json
import select
import socket
import sys
import time
from pathlib import Path

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33


def opened(namespace):
    """A raw socket on the one device of a namespace."""
    with Path(f"/run/netns/{namespace}").open() as handle:
        if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    # Frames count against the sender while they wait in the queue of the switch: its namespace is the same machine.
    for buffer in (SO_SNDBUFFORCE, SO_RCVBUFFORCE):
        found.setsockopt(socket.SOL_SOCKET, buffer, 64 << 20)
    found.bind(("p0", 0))
    return found


def main():
    """Read the work on stdin; print what each side received, [[time, frame]…], and when each sent."""
    work = json.load(sys.stdin)
    sockets = [opened(each) for each in work["namespaces"]]
    received, sent = [[], []], [[], []]
    frames = [[bytes.fromhex(each) for each in side] for side in work["frames"]]
    began = time.monotonic()

    def collect(until):
        while True:
            ready, _, _ = select.select(sockets, [], [], max(until - time.monotonic(), 0))
            if not ready:
                return
            for each in ready:
                data, address = each.recvfrom(65536)
                if address[2] != socket.PACKET_OUTGOING:
                    received[sockets.index(each)].append((time.monotonic() - began, data.hex()))

    for side, listed in enumerate(frames):
        for data in listed:
            sent[side].append(time.monotonic() - began)
            sockets[side].send(data)
            if work["gap_s"]:
                collect(time.monotonic() + work["gap_s"])
    collect(time.monotonic() + work["wait_s"])
    json.dump({"received": received, "sent": sent}, sys.stdout)


main()
