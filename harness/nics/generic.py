"""Any RDMA NIC without a driver of its own: what every Linux network device counts, and nothing of RoCE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from harness.core.counters import Counter
from harness.nics._mapping import MappedNic, Sources, dcb_pfc, netdev


class Generic(MappedNic):
    """Frames of the network device, and pause frames where the kernel's DCB interface tells them."""

    name = "generic"
    table: ClassVar[Mapping[Counter, Sources]] = {
        Counter.TX_PACKETS: netdev("tx_packets"),
        Counter.RX_PACKETS: netdev("rx_packets"),
        Counter.TX_BYTES: netdev("tx_bytes"),
        Counter.RX_BYTES: netdev("rx_bytes"),
    }
    by_priority: ClassVar[Mapping[Counter, Sources]] = {
        Counter.PAUSE_TX: dcb_pfc("requests"),
        Counter.PAUSE_RX: dcb_pfc("indications"),
    }
    deviations: ClassVar[Mapping[str, str]] = {
        "frames": "many NICs leave RDMA out of the statistics of their network device",
        "RoCE counters": "there is no driver for this NIC in harness/nics, so its own counters are not read",
    }
