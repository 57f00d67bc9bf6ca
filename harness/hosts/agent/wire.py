"""Sizes on the wire, for pacing: what a message takes of a link, headers and gaps included (RoCEv2, untagged)."""

from __future__ import annotations

GAP = 20
"""Preamble 8 and least gap between frames 12 bytes (IEEE 802.3, 4.4.2)."""

FRAME = 14 + 8 + 12 + 4 + 4
"""Ethernet, UDP, BTH, ICRC and FCS."""

IP = {"ipv4": 20, "ipv6": 40, "link_local": 40}
_RETH, _DETH, _IMM, _AETH, _ATOMIC = 16, 8, 4, 4, 28


def message_bits(message_bytes: int, mtu: int, verb: str, transport: str, family: str) -> int:
    """Return the bits that the packets of a message take in the direction of its data."""
    packets = max(1, -(-message_bytes // mtu))
    padded = message_bytes + -message_bytes % 4
    return 8 * (packets * (FRAME + IP[family] + GAP) + padded + _extensions(verb, transport))


def _extensions(verb: str, transport: str) -> int:
    """Return the bytes of extension headers a message has beside those of every packet."""
    if verb in {"atomic", "compare_swap", "fetch_add"}:
        return _ATOMIC - 8  # its operands are in the header: no payload
    size = {"write": _RETH, "write_imm": _RETH + _IMM, "send_imm": _IMM, "read": 2 * _AETH}.get(verb, 0)
    return size + (_DETH if transport == "ud" else 0)


def flow_label_of(udp_sport: int) -> int:
    """Return a flow label that gives this UDP source port (49152 to 65535).

    Linux folds a label as ((fl & 0x3FFF) ^ (fl >> 14)) | 0xC000 and takes 0 for "none" (rdma/ib_verbs.h).
    """
    low = udp_sport & 0x3FFF
    return low or (1 << 14 | 1)


def udp_sport_of(flow_label: int, local_qpn: int, remote_qpn: int) -> int:
    """Return the UDP source port Linux gives a QP: of its flow label, or of both QP numbers when it is 0."""
    label = flow_label
    if not label:
        product = local_qpn * remote_qpn
        product ^= product >> 20
        product ^= product >> 40
        label = product & 0xFFFFF
    return (label & 0x3FFF) ^ (label >> 14 & 0x3F) | 0xC000
