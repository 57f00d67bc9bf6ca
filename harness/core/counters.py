"""The vendor-neutral vocabulary of counters.

Drivers map vendors' names to it; nothing else knows those names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Scope(Enum):
    """The finest thing that a counter is kept for."""

    PORT = "port"
    PRIORITY = "priority"
    QUEUE = "queue"
    DEVICE = "device"
    QP = "qp"
    FLOW = "flow"


class Direction(Enum):
    """Seen from the port that counts."""

    TX = "tx"
    RX = "rx"
    NONE = "none"


class Aggregation(Enum):
    """How values of several ports or priorities become one."""

    SUM = "sum"
    MAX = "max"


class Where(Enum):
    """The kind of node that keeps the counter."""

    HOST = "host"
    SWITCH = "switch"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class CounterSpec:
    """What a counter means; `key` is its name in records and files."""

    key: str
    unit: str
    scope: Scope
    direction: Direction
    doc: str
    where: Where = Where.ANY
    aggregation: Aggregation = Aggregation.SUM


def _port(key: str, unit: str, direction: Direction, doc: str, where: Where = Where.ANY) -> CounterSpec:
    return CounterSpec(key, unit, Scope.PORT, direction, doc, where)


def _prio(key: str, unit: str, direction: Direction, doc: str) -> CounterSpec:
    return CounterSpec(key, unit, Scope.PRIORITY, direction, doc)


def _host(key: str, direction: Direction, doc: str, unit: str = "packets") -> CounterSpec:
    return CounterSpec(key, unit, Scope.DEVICE, direction, doc, Where.HOST)


def _peak(key: str, scope: Scope, doc: str) -> CounterSpec:
    return CounterSpec(key, "B", scope, Direction.NONE, doc, Where.ANY, Aggregation.MAX)


_TX, _RX, _NONE = Direction.TX, Direction.RX, Direction.NONE


class Counter(Enum):
    """A counter of the vocabulary; all are deltas over a run, except the peaks (`*_MAX`)."""

    TX_BYTES = _prio("tx_bytes", "B", _TX, "Bytes of frames sent")
    RX_BYTES = _prio("rx_bytes", "B", _RX, "Bytes of frames received")
    TX_PACKETS = _prio("tx_packets", "packets", _TX, "Frames sent")
    RX_PACKETS = _prio("rx_packets", "packets", _RX, "Frames received")

    DROPS = _port("drops", "packets", _NONE, "Frames dropped, for whatever reason")
    DROPS_INGRESS_LIMIT = _port(
        "drops_ingress_limit", "packets", _RX, "Dropped: the ingress share of the buffer was used up"
    )
    DROPS_HEADROOM = _port(
        "drops_headroom", "packets", _RX, "Dropped: a lossless priority overran its headroom"
    )
    DROPS_EGRESS_LIMIT = _port("drops_egress_limit", "packets", _TX, "Dropped: the egress queue was full")
    DROPS_WRED = _port("drops_wred", "packets", _TX, "Dropped: not ECN-capable where marking was due")
    DROPS_LINK_DOWN = _port("drops_link_down", "packets", _NONE, "Dropped: the link was down")
    DROPS_BIT_ERROR = _port(
        "drops_bit_error", "packets", _RX, "Dropped: frame check failed after a bit error"
    )
    DROPS_INJECTED = _port("drops_injected", "packets", _NONE, "Dropped on the scenario's order")
    DROPS_WATCHDOG = _port("drops_watchdog", "packets", _TX, "Dropped by the pause watchdog")
    DROPS_NO_ROUTE = _port("drops_no_route", "packets", _NONE, "Dropped: no path to the destination")
    DROPS_RX_BUFFER = _port(
        "drops_rx_buffer", "packets", _RX, "Dropped: the receive buffer of the NIC was full"
    )

    PAUSE_TX = _prio("pause_tx", "frames", _TX, "Pause frames sent that stop the priority")
    PAUSE_RX = _prio("pause_rx", "frames", _RX, "Pause frames received that stop the priority")
    RESUME_TX = _prio("resume_tx", "frames", _TX, "Pause frames with time zero sent")
    RESUME_RX = _prio("resume_rx", "frames", _RX, "Pause frames with time zero received")
    PAUSE_TX_DURATION = _prio("pause_tx_duration", "ps", _TX, "Time this port kept its peer from sending")
    PAUSE_RX_DURATION = _prio("pause_rx_duration", "ps", _RX, "Time this port was kept from sending")
    PAUSE_TRANSITIONS = _prio("pause_transitions", "events", _RX, "Changes from sending to paused")
    WATCHDOG_DETECTED = _prio("watchdog_detected", "events", _NONE, "Pause storms detected by the watchdog")
    WATCHDOG_RESTORED = _prio("watchdog_restored", "events", _NONE, "Pause storms that the watchdog saw end")

    ECN_MARKED = CounterSpec(
        "ecn_marked", "packets", Scope.PRIORITY, _TX, "Packets marked CE by the switch", Where.SWITCH
    )
    ECN_MARKED_RX = _host("ecn_marked_rx", _RX, "CE-marked packets received")
    CNP_SENT = _host("cnp_sent", _TX, "Congestion notifications sent by the receiver")
    CNP_RECEIVED = _host("cnp_received", _RX, "Congestion notifications received by the sender")
    CNP_HANDLED = _host("cnp_handled", _RX, "Congestion notifications acted on")
    CNP_IGNORED = _host("cnp_ignored", _RX, "Congestion notifications not acted on")

    OUT_OF_SEQUENCE = _host("out_of_sequence", _RX, "Packets received with an unexpected sequence number")
    PACKET_SEQ_ERR = _host("packet_seq_err", _RX, "Sequence-error NAKs received")
    IMPLIED_NAK = _host("implied_nak_seq_err", _RX, "Losses told by a later acknowledgement")
    LOCAL_ACK_TIMEOUT = _host("local_ack_timeout", _NONE, "Acknowledgement timeouts of the sender", "events")
    DUPLICATE_REQUEST = _host("duplicate_request", _RX, "Requests received again")
    RNR_NAK_SENT = _host("rnr_nak_sent", _TX, "Receiver-not-ready NAKs sent")
    RNR_NAK_RECEIVED = _host("rnr_nak_received", _RX, "Receiver-not-ready NAKs received")
    RETRANSMITTED = _host("retransmitted_packets", _TX, "Data packets sent again")
    RETRY_EXHAUSTED = _host("retry_exhausted", _NONE, "QPs that gave up after timeouts or NAKs", "events")
    RNR_RETRY_EXHAUSTED = _host(
        "rnr_retry_exhausted", _NONE, "QPs that gave up on a receiver that is not ready", "events"
    )
    ICRC_ERRORS = _host("icrc_errors", _RX, "Packets received whose invariant CRC is wrong")
    RX_DISCARDS = _host("rx_discards", _RX, "Packets discarded by the receiving NIC")
    ACKS_SENT = _host("acks_sent", _TX, "Acknowledgements sent")
    ACKS_RECEIVED = _host("acks_received", _RX, "Acknowledgements received")

    QUEUE_MAX = _peak("queue_max", Scope.QUEUE, "Highest occupancy of an egress queue")
    INGRESS_MAX = _peak("ingress_max", Scope.PRIORITY, "Highest occupancy of an ingress port and priority")
    HEADROOM_MAX = _peak(
        "headroom_max", Scope.PRIORITY, "Highest use of the headroom of an ingress port and priority"
    )

    @property
    def key(self) -> str:
        """Name in records and files."""
        return self.value.key

    @property
    def unit(self) -> str:
        """Unit of the value."""
        return self.value.unit

    @property
    def scope(self) -> Scope:
        """The finest thing it is kept for."""
        return self.value.scope

    @property
    def direction(self) -> Direction:
        """Seen from the port that counts."""
        return self.value.direction

    @property
    def doc(self) -> str:
        """What it counts, in a phrase."""
        return self.value.doc

    @property
    def where(self) -> Where:
        """The kind of node that keeps it."""
        return self.value.where

    @property
    def aggregation(self) -> Aggregation:
        """How several values become one."""
        return self.value.aggregation

    def __str__(self) -> str:
        return self.key
