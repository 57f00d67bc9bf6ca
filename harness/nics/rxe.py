"""Soft-RoCE: the kernel's `rdma_rxe` on any network device (docs/drivers.md has what was measured)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from harness.core.capability import Capability
from harness.core.counters import Counter
from harness.nics._mapping import MappedNic, Sources, hw, netdev


class Rxe(MappedNic):
    """The 15 counters of rxe are the same files in Linux 6.1 and 6.12; it has none of bytes, CE, CNP or pause."""

    name = "rxe"
    table: ClassVar[Mapping[Counter, Sources]] = {
        Counter.TX_PACKETS: netdev("tx_packets"),
        Counter.RX_PACKETS: netdev("rx_packets"),
        Counter.TX_BYTES: netdev("tx_bytes"),
        Counter.RX_BYTES: netdev("rx_bytes"),
        Counter.OUT_OF_SEQUENCE: hw("out_of_seq_request"),
        Counter.DUPLICATE_REQUEST: hw("duplicate_request"),
        Counter.RNR_NAK_SENT: hw("send_rnr_err"),
        Counter.RNR_NAK_RECEIVED: hw("rcvd_rnr_err"),
        Counter.RETRY_EXHAUSTED: hw("retry_exceeded_err"),
        Counter.RNR_RETRY_EXHAUSTED: hw("retry_rnr_exceeded_err"),
        Counter.RX_DISCARDS: netdev("rx_dropped", "rx_missed_errors"),
    }
    deviations: ClassVar[Mapping[str, str]] = {
        "frames and bytes": "those of the network device, without FCS, with whatever else it carries (ARP)",
        "retry count": "7 is for ever; 0 to 6 are as in the standard",
        "sequence NAKs received": "rcvd_seq_err leaves out NAKs that acknowledge nothing new, so it is not offered",
        "timeouts": "completer_retry_err counts going back for a timer or a NAK alike, so it is not offered",
        "invariant CRC": "packets whose CRC is wrong are dropped without a count",
        "lost read responses": "found by the timer alone: a later response is no implied NAK",
        "lost tails": "the timer sends the whole unacknowledged part of a message again, not its last packet",
        "long sends": "a send longer than its receive ends with REM_OP_ERR (11), not with REM_INV_REQ_ERR (9)",
        "bad local keys": "the work request of a write or send ends with WR_FLUSH_ERR (5), not with LOC_PROT_ERR (4)",
        "timer and new requests": "each work request starts the retransmission timer anew: a busy sender gives up late",
        "congestion": "CE is ignored and there are no CNPs",
    }
    more_capabilities = frozenset({Capability.UNRELIABLE_TRANSPORTS})
