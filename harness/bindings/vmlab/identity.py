"""The shell script that turns a nameless guest into a node: name, clock, addresses, RDMA device or bridge."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from shlex import quote

from harness.bindings.vmlab.plan import DATA_MTU, GuestPlan, Nic

BRIDGE = "br0"

PIDS_APART = 900
"""Between the first process ids of two guests: 32 guests stay below the kernel's default maximum of 32768."""


def identity(guest: GuestPlan, names: Mapping[str, str], seed: str, *, now: float | None = None) -> str:
    """Return the script for a node.

    `names` maps host names to addresses, for /etc/hosts. `seed` is mixed into the kernel's random numbers,
    since all guests come from one snapshot. `now` is the wall clock in seconds (default: this moment).
    """
    lines = [
        "set -e",
        f"date -s @{time.time() if now is None else now:.6f} > /dev/null",
        f"hostname {quote(guest.node)}; hostname > /etc/hostname",
        f"echo {seed} > /dev/urandom",
        # Programs that draw from their process id (perftest's PSN) would draw the same in every guest.
        f"echo {PIDS_APART * guest.index} > /proc/sys/kernel/ns_last_pid",
        *_hosts_file(names),
        *(line for nic in guest.nics for line in _nic(nic)),
        *(_bridge(guest.nics) if guest.is_switch else _rdma(guest.nics)),
    ]
    return "\n".join(lines) + "\n"


def _hosts_file(names: Mapping[str, str]) -> list[str]:
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in names.items())]
    return [f"printf '%s\\n' {' '.join(quote(line) for line in lines)} > /etc/hosts"]


def _nic(nic: Nic) -> list[str]:
    dev = quote(nic.port)
    lines = [f"ip link set data{nic.slot} name {dev} address {nic.mac} mtu {DATA_MTU}"]
    if nic.address is None:
        # A bridge port has no business with IPv6, and its address would only make noise.
        return [*lines, f"echo 1 > /proc/sys/net/ipv6/conf/{dev}/disable_ipv6", f"ip link set {dev} up"]
    return [*lines, f"ip addr add {nic.address} dev {dev}", f"ip link set {dev} up"]


def _rdma(nics: Sequence[Nic]) -> list[str]:
    return [f"rdma link add {rdma_device(nic)} type rxe netdev {quote(nic.port)}" for nic in nics]


def rdma_device(nic: Nic) -> str:
    """Return the name of the RDMA device on a NIC."""
    return f"rxe{nic.slot - 1}"


def _bridge(nics: Sequence[Nic]) -> list[str]:
    return [
        f"ip link add {BRIDGE} mtu {DATA_MTU} type bridge forward_delay 0 mcast_snooping 0",
        f"echo 1 > /proc/sys/net/ipv6/conf/{BRIDGE}/disable_ipv6",
        *(f"ip link set {quote(nic.port)} master {BRIDGE}" for nic in nics),
        f"ip link set {BRIDGE} up",
    ]
