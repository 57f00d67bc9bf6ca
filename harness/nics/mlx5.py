"""NVIDIA ConnectX-4 and later, BlueField: counters of the kernel driver `mlx5` (Linux 6.12, vendor documentation).

Counters only: PFC, ETS and DCQCN of these NICs are left as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from harness.core.counters import Counter
from harness.nics._mapping import MappedNic, Sources, dcb_pfc, ethtool, ethtool_by_priority, hw

PS_PER_US = 1_000_000
"""Pause durations of `ethtool -S` are in µs."""

Q_COUNTER_BITS = 32
"""Fields of the firmware's q-counters; the driver hands them on as they are, so they wrap."""


def _q(name: str) -> Sources:
    return hw(name, Q_COUNTER_BITS)


class Mlx5(MappedNic):
    """Transport counters from the firmware's q-counters, congestion and port counters with 64 bits.

    `ethtool -S` shows pause times of a priority only while PFC is on there; without a pause frame of that
    priority there was no pause.
    """

    name = "mlx5"
    table: ClassVar[Mapping[Counter, Sources]] = {
        Counter.TX_PACKETS: ethtool("tx_packets_phy"),
        Counter.RX_PACKETS: ethtool("rx_packets_phy"),
        Counter.TX_BYTES: ethtool("tx_bytes_phy"),
        Counter.RX_BYTES: ethtool("rx_bytes_phy"),
        Counter.DROPS_RX_BUFFER: ethtool("rx_discards_phy"),
        Counter.DROPS_EGRESS_LIMIT: ethtool("tx_discards_phy"),
        Counter.DROPS_BIT_ERROR: ethtool("rx_crc_errors_phy"),
        Counter.RX_DISCARDS: ethtool("rx_discards_phy"),
        Counter.OUT_OF_SEQUENCE: _q("out_of_sequence"),
        Counter.PACKET_SEQ_ERR: _q("packet_seq_err"),
        Counter.IMPLIED_NAK: _q("implied_nak_seq_err"),
        Counter.LOCAL_ACK_TIMEOUT: _q("local_ack_timeout_err"),
        Counter.DUPLICATE_REQUEST: _q("duplicate_request"),
        Counter.RNR_NAK_RECEIVED: _q("rnr_nak_retry_err"),
        Counter.RETRY_EXHAUSTED: _q("req_transport_retries_exceeded"),
        Counter.RNR_RETRY_EXHAUSTED: _q("req_rnr_retries_exceeded"),
        Counter.ECN_MARKED_RX: hw("np_ecn_marked_roce_packets"),
        Counter.CNP_SENT: hw("np_cnp_sent"),
        Counter.CNP_RECEIVED: hw("rp_cnp_handled") + hw("rp_cnp_ignored"),
        Counter.CNP_HANDLED: hw("rp_cnp_handled"),
        Counter.CNP_IGNORED: hw("rp_cnp_ignored"),
        Counter.ICRC_ERRORS: hw("rx_icrc_encapsulated"),
    }
    by_priority: ClassVar[Mapping[Counter, Sources]] = {
        Counter.TX_PACKETS: ethtool_by_priority("tx_prio{}_packets"),
        Counter.RX_PACKETS: ethtool_by_priority("rx_prio{}_packets"),
        Counter.TX_BYTES: ethtool_by_priority("tx_prio{}_bytes"),
        Counter.RX_BYTES: ethtool_by_priority("rx_prio{}_bytes"),
        Counter.PAUSE_TX: dcb_pfc("requests"),
        Counter.PAUSE_RX: dcb_pfc("indications"),
        Counter.PAUSE_TX_DURATION: ethtool_by_priority(
            "tx_prio{}_pause_duration", PS_PER_US, dcb_pfc("requests")
        ),
        Counter.PAUSE_RX_DURATION: ethtool_by_priority(
            "rx_prio{}_pause_duration", PS_PER_US, dcb_pfc("indications")
        ),
        Counter.PAUSE_TRANSITIONS: ethtool_by_priority(
            "rx_prio{}_pause_transition", unmoved=dcb_pfc("indications")
        ),
    }
    deviations: ClassVar[Mapping[str, str]] = {
        "recoverable events": "timeouts and NAKs are counted while the retry budget lasts, not the one that ends a QP",
        "RNR NAKs sent": "out_of_buffer also counts packets that are dropped without a NAK (UC, UD): not offered",
        "port counters": "frames, bytes, pauses and discards are those of the whole port, of all its functions",
        "bonds": "congestion counters of a bond are summed over both ports",
        "notifications": "with slow restart on, ConnectX-5 and -6 send a CNP for each NAK as well",
    }
