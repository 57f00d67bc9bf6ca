"""What the packet filter does to packets: chosen ones are tagged, then dropped, changed or copied.

Each port has a chain of choices, one jump per `impair` event, which only set bits of the packet's mark; the chain
after it acts on the bits. So the n-th transmission of a packet is counted whatever becomes of the others, and
two events never hide each other. Where a packet is held back or copied, the mark says so to the queue of the
port and to its egress hook.

RoCEv2 is matched by UDP port 4791 and, in the base transport header after UDP's 8 bytes: opcode (bit 64),
destination QP (bit 104, 24 bits), PSN (bit 136, 24 bits); InfiniBand 9.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from harness.core.errors import ConfigError
from harness.switches import QpRoute
from harness.switches.linux.ports import SwitchPort
from harness.switches.linux.queues import DELAY_MASK, DELAY_SHIFT

TABLE = "roce_harness"
"""The name of our tables, in the families bridge and netdev; what an earlier run left is known by it."""

ROCE_PORT = 4791
PSN_MASK = 0xFF_FFFF
MAX_PACKETS = 1024
"""Packets one event may name: each is a rule that all packets of the QP pass."""

BITS: Mapping[str, int] = {
    "drop": 0x0100_0000, "corrupt": 0x0200_0000, "mark": 0x0400_0000, "duplicate": 0x0800_0000
}  # fmt: skip
ALL_BITS = 0x7F00_0000
ACTIONS = (*BITS, "delay")
COUNTERS = (*ACTIONS, "down")
"""Each port has a counter of each; `down` counts what was lost to a link that is down."""

CHANCES = 1 << 31
"""Steps of a random draw."""

MANY = (1 << 31) - 1
"""More transmissions than there will be: `numgen inc` starts again there."""

REQUESTS = "0x00-0x0c, 0x13-0x17, 0x20-0x2b, 0x64-0x65, 0xa0-0xac, 0xb3-0xb7"
"""Opcodes of requests: RC, UC, UD, XRC; acknowledgements (0x11) and CNPs (0x81) are none."""

RESPONSES = "0x0d-0x10, 0x12, 0xad-0xb0, 0xb2"
"""Opcodes of responses with data, those of reads and atomics: RC, XRC."""


def tables(ports: Sequence[SwitchPort], *, copies: bool) -> str:
    """Return the tables without any event; `copies` leaves out what packets are copied with."""
    return "\n".join([_bridge(ports), *([_egress(ports)] if copies else [])])


def _bridge(ports: Sequence[SwitchPort]) -> str:
    lines = [f"table bridge {TABLE} {{", "set downed { type ifname; }"]
    lines += ["chain mark_ce {", "ip ecn set ce", "ip6 ecn set ce", "}"]
    for port in ports:
        lines += [f"counter {each}_{port.key} {{ }}" for each in COUNTERS]
        lines += [f"set behind_{port.key} {{ type ether_addr; }}", f"chain choose_{port.key} {{ }}"]
        lines += [f"chain act_{port.key} {{", *_acts(port), "}"]
    lines += ["chain arrive {", "type filter hook prerouting priority -350; policy accept;"]
    for port in ports:
        lost = f"counter name down_{port.key} drop"
        lines += [f'iifname "{port.netdev}" iifname @downed {lost}', f"ether daddr @behind_{port.key} {lost}"]
    lines += ["}", "chain leave {", "type filter hook forward priority 0; policy accept;"]
    for port in ports:
        out = f'oifname "{port.netdev}"'
        lines += [f"{out} oifname @downed counter name down_{port.key} drop"]
        lines += [
            f"{out} jump choose_{port.key}",
            f"{out} meta mark & {ALL_BITS:#x} != 0 jump act_{port.key}",
        ]
    return "\n".join([*lines, "}", "}"])


def _acts(port: SwitchPort) -> Iterator[str]:
    """Yield the rules that do what the bits say; what is dropped is not changed as well.

    A corrupted packet has all bits of the byte after its transport header inverted: payload, an extension
    header or the CRC itself, so that there is always one and the invariant CRC always fails. Its UDP checksum
    becomes 0, which is "none", lest the host drop it for that.
    """

    def on(action: str) -> str:
        return f"meta mark & {BITS[action]:#x} != 0 counter name {action}_{port.key}"

    yield f"{on('drop')} drop"
    yield f"{on('corrupt')} @th,160,8 set @th,160,8 ^ 0xff udp checksum set 0"
    yield f"{on('mark')} jump mark_ce"
    yield on("duplicate")
    yield f"meta mark & {DELAY_MASK:#x} != 0 counter name delay_{port.key}"


def _egress(ports: Sequence[SwitchPort]) -> str:
    """Copy on the way into the queue. The bit is cleared first: the copy passes here again."""
    bit = BITS["duplicate"]
    lines = [f"table netdev {TABLE} {{"]
    for port in ports:
        hook = f'type filter hook egress device "{port.netdev}" priority 0; policy accept;'
        copy = f'meta mark & {bit:#x} != 0 meta mark set meta mark & {0xFFFFFFFF ^ bit:#x} dup to "{port.netdev}"'
        lines += [f"chain copy_{port.key} {{", hook, copy, "}"]
    return "\n".join([*lines, "}"])


def impair(port: SwitchPort, number: int, event: Mapping[str, Any], route: QpRoute, band: int) -> str:
    """Return the rules of one `impair` event at the port by which the flow's data leaves.

    `number` tells events apart, `band` is that of its delay (0: none).
    """
    chain = f"event{number}"
    choices = [
        f"add rule bridge {TABLE} {chain} {each} {_tag(event['action'], band)}"
        for each in _choices(event, route)
    ]
    jump = f"add rule bridge {TABLE} choose_{port.key} {_data_of(route)} jump {chain}"
    return "\n".join([f"add chain bridge {TABLE} {chain}", *choices, jump])


def _tag(action: str, band: int) -> str:
    """Set the bit of an action; of several delays of one packet the first counts."""
    if action == "delay":
        return f"meta mark & {DELAY_MASK:#x} == 0 meta mark set meta mark | {band << DELAY_SHIFT:#x}"
    return f"meta mark set meta mark | {BITS[action]:#x}"


def _choices(event: Mapping[str, Any], route: QpRoute) -> Iterator[str]:
    """Yield a match for each packet that is named, or the one for a share of all."""
    packets = event.get("packets")
    if not packets:
        share = event["fraction"]
        yield f"numgen random mod {CHANCES} < {round(share * CHANCES)}" if share < 1 else ""
        return
    if len(packets) > MAX_PACKETS:
        hint = f"at most {MAX_PACKETS}"
        raise ConfigError("too many packets in one event", key="packets", value=len(packets), hint=hint)
    turn = event.get("iteration", 1) - 1
    for index in packets:
        psn = (route.first_psn + index) & PSN_MASK
        yield f"@th,136,24 {psn:#x} numgen inc mod {MANY} {turn}"


def _data_of(route: QpRoute) -> str:
    """Match the data packets of a QP, in the direction they travel."""
    source, target, qpn = route.src_address, route.dst_address, route.dst_qpn
    if route.read:
        source, target, qpn = target, source, route.src_qpn
    family = "ip6" if ip_address(source).version == 6 else "ip"
    opcodes = RESPONSES if route.read else REQUESTS
    addresses = f"{family} saddr {source} {family} daddr {target}"
    return f"{addresses} udp dport {ROCE_PORT} @th,104,24 {qpn:#x} @th,64,8 {{ {opcodes} }}"
