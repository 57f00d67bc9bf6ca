"""Differences of raw counters: widths, resets, and what is not shown."""

from __future__ import annotations

from typing import ClassVar

import pytest

from harness.core.counters import Counter
from harness.nics._mapping import MappedNic, Source, dcb_pfc, ethtool_by_priority, hw, netdev
from harness.nics.mlx5 import Mlx5
from harness.nics.rxe import Rxe


def reading(value, name="n", group="hw_counters"):
    return {group: {} if value is None else {name: value}}


@pytest.mark.parametrize(
    ("bits", "saturates", "before", "after", "delta"),
    [
        (64, False, 5, 12, 7),
        (64, False, 5, 5, 0),
        (64, False, 12, 5, None),
        (32, False, 2**32 - 3, 4, 7),
        (32, False, 5, 12, 7),
        (32, False, 2**32 + 5, 4, None),
        (16, True, 5, 12, 7),
        (16, True, 12, 5, None),
        (16, True, 5, 65535, None),
        (64, False, None, 5, None),
        (64, False, 5, None, None),
        (64, False, 5, -1, None),
        (64, False, 5, True, None),
        (64, False, 5, "7", None),
    ],
)
def test_differences(bits, saturates, before, after, delta):
    source = Source("hw_counters", "n", bits, saturates=saturates)
    assert source.delta(reading(before), reading(after)) == delta


def test_a_factor_makes_the_unit_of_the_vocabulary():
    assert Source("hw_counters", "n", factor=4).delta(reading(10), reading(12)) == 8


def test_a_group_that_is_no_table_has_no_counters():
    assert Source("hw_counters", "n").delta({"hw_counters": None}, {}) is None


class OneSum(MappedNic):
    name = "sum"
    table: ClassVar = {
        Counter.RX_DISCARDS: netdev("a", "b"),
        Counter.DROPS_RX_BUFFER: hw("c"),
        Counter.DROPS_BIT_ERROR: hw("d"),
    }


def test_a_sum_with_a_part_missing_is_missing():
    both = {"netdev": {"a": 1, "b": 2}, "hw_counters": {"c": 1, "d": 1}}
    port = OneSum(both, "").counters(both, both | {"netdev": {"a": 5}})
    assert port == {"nic": {}, "drops": {"rx_buffer": 0, "bit_error": 0}}
    assert OneSum(both, "").counters(both, both | {"netdev": {"a": 5, "b": 3}})["nic"] == {"rx_discards": 5}


def test_drops_are_told_with_all_their_reasons_or_not_at_all():
    both = {"netdev": {}, "hw_counters": {"c": 1, "d": 1}}
    assert "drops" not in OneSum(both, "").counters(both, {"hw_counters": {"c": 1}})


class Pauses(MappedNic):
    name = "pauses"
    by_priority: ClassVar = {
        Counter.PAUSE_RX: dcb_pfc("indications"),
        Counter.PAUSE_RX_DURATION: ethtool_by_priority("rx_prio{}_d", 10**6, dcb_pfc("indications")),
    }


def pauses(frames, shown):
    return {"dcb_pfc": {"indications": frames}, "ethtool": {f"rx_prio{p}_d": us for p, us in shown.items()}}


def test_a_priority_without_pause_frames_was_not_paused():
    before, after = pauses([0] * 8, {3: 100}), pauses([0, 0, 0, 4, 0, 0, 0, 0], {3: 150})
    driver = Pauses(before, "")
    assert Counter.PAUSE_RX_DURATION in driver.offered
    assert driver.counters(before, after)["rx_pause_duration_ps"] == [0, 0, 0, 50_000_000, 0, 0, 0, 0]


def test_a_priority_with_pause_frames_and_no_time_is_unknown():
    before, after = pauses([0] * 8, {3: 100}), pauses([0, 9, 0, 4, 0, 0, 0, 0], {3: 150})
    port = Pauses(before, "").counters(before, after)
    assert "rx_pause_duration_ps" not in port
    assert port["rx_pause"] == [0, 9, 0, 4, 0, 0, 0, 0]


def test_pause_times_cannot_be_known_without_pause_frames():
    before = {"ethtool": {"rx_prio3_d": 1}}
    assert Pauses(before, "").offered == frozenset()


def test_firmware_counters_of_mlx5_wrap_at_32_bits():
    low, high = {"hw_counters": {"out_of_sequence": 2**32 - 1}}, {"hw_counters": {"out_of_sequence": 1}}
    assert Mlx5(low, "").counters(low, high)["nic"] == {"out_of_sequence": 2}


def test_congestion_counters_of_mlx5_do_not():
    low, high = {"hw_counters": {"np_cnp_sent": 2**32 - 1}}, {"hw_counters": {"np_cnp_sent": 1}}
    assert Mlx5(low, "").counters(low, high)["nic"] == {}


def test_notifications_received_are_those_handled_and_those_ignored():
    before = {"hw_counters": {"rp_cnp_handled": 1, "rp_cnp_ignored": 1}}
    after = {"hw_counters": {"rp_cnp_handled": 5, "rp_cnp_ignored": 2}}
    nic = Mlx5(before, "").counters(before, after)["nic"]
    assert nic == {"cnp_received": 5, "cnp_handled": 4, "cnp_ignored": 1}


def test_an_old_mlx5_kernel_lacks_exhausted_retries():
    old = {"hw_counters": {"out_of_sequence": 0, "req_cqe_error": 0}}
    assert Mlx5(old, "6.1.0").offered == {Counter.OUT_OF_SEQUENCE}


RXE = dict.fromkeys(
    [
        "ack_deferred", "completer_retry_err", "duplicate_request", "link_downed", "out_of_seq_request", "rcvd_pkts",
        "rcvd_rnr_err", "rcvd_seq_err", "rdma_recvs", "rdma_sends", "retry_exceeded_err", "retry_rnr_exceeded_err",
        "send_err", "send_rnr_err", "sent_pkts",
    ],
    0,
)  # fmt: skip
"""The 15 files of rxe, in Linux 6.1 and 6.12 alike."""


def test_every_counter_of_rxe_that_is_mapped_exists():
    read = {"hw_counters": RXE, "netdev": {}}
    mapped = {
        source.name for sources in Rxe.table.values() for source in sources if source.group == "hw_counters"
    }
    assert mapped <= set(RXE)
    assert Counter.OUT_OF_SEQUENCE in Rxe(read, "").offered


def test_rxe_does_not_offer_what_its_counters_do_not_say():
    """Measured on 6.12: docs/drivers.md."""
    read = {"hw_counters": RXE, "netdev": {"rx_dropped": 0, "rx_missed_errors": 0, "tx_packets": 0}}
    unknown = {Counter.PACKET_SEQ_ERR, Counter.LOCAL_ACK_TIMEOUT, Counter.ICRC_ERRORS, Counter.RETRANSMITTED,
               Counter.ACKS_RECEIVED, Counter.IMPLIED_NAK, Counter.DROPS}  # fmt: skip
    assert not unknown & Rxe(read, "6.12").offered
