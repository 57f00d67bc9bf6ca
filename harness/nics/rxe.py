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
    }
    deviations: ClassVar[Mapping[str, str]] = {}
    more_capabilities = frozenset({Capability.UNRELIABLE_TRANSPORTS})
