"""Chosen packets, and no others, are lost, changed, copied and held back: real tc and nft."""

from __future__ import annotations

import math

import pytest

from harness.core.capability import Capability
from harness.core.errors import ConfigError, DriverError
from harness.tests.switches.bench import (
    ACK,
    ATOMIC_RESPONSE,
    BACK_QPN,
    H1,
    H2,
    QPN,
    READ_RESPONSE_MIDDLE,
    block,
    frame,
    impair,
    route,
    switched_on,
)


def frames(*psns, **keys):
    return [frame(psn, **keys) for psn in psns]


def test_frames_pass_untouched_without_events(switched):
    sent = frames(*range(100, 110))
    there, back = switched.bench.send(*sent, back=[frame(5, src=H2, dst=H1, qpn=BACK_QPN)])
    assert [each.raw for each in there] == sent
    assert [each.psn for each in back] == [5]


def test_named_packets_are_dropped_once(switched):
    before = switched.driver.counters()
    switched.apply(impair("drop", packets=[0, 3], iteration=1))
    sent = frames(*range(100, 106))
    assert switched.bench.psns(*sent, *sent) == [101, 102, 104, 105, *range(100, 106)]
    ports = switched.counted(before)
    assert ports["sw1:e2"]["drops"]["injected"] == 2
    assert ports["sw1:e1"]["drops"]["injected"] == 0
    assert ports["sw1:e1"]["rx_packets"] == 12
    assert ports["sw1:e2"]["tx_packets"] == 10
    assert ports["sw1:e2"]["tx_bytes"] == 10 * len(sent[0])


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_transmissions_of_a_packet_are_counted_by_each_event(switched, order):
    switched.apply(*[impair("drop", packets=[0], iteration=turn) for turn in order])
    assert switched.bench.psns(*frames(100, 100, 100, 100)) == [100, 100]


def test_the_third_transmission_alone_is_dropped(switched):
    switched.apply(impair("drop", packets=[0], iteration=3))
    assert switched.bench.psns(*frames(100, 100, 100, 101, 100)) == [100, 100, 101, 100]


def test_packets_before_the_event_do_not_count(switched):
    assert switched.bench.psns(*frames(100)) == [100]
    switched.apply(impair("drop", packets=[0], iteration=1))
    assert switched.bench.psns(*frames(100, 100)) == [100]


def test_sequence_numbers_wrap(bench):
    switched = switched_on(bench, routes=[route(first_psn=0xFFFFFE)])
    switched.apply(impair("drop", packets=[1, 2], iteration=1))
    assert switched.bench.psns(*frames(0xFFFFFE, 0xFFFFFF, 0, 1)) == [0xFFFFFE, 1]


OTHERS = {
    "another QP": {"qpn": QPN + 1},
    "another UDP port": {"dport": 4792},
    "an acknowledgement": {"opcode": ACK},
    "a response": {"opcode": READ_RESPONSE_MIDDLE},
    "the response of an atomic": {"opcode": ATOMIC_RESPONSE},
    "a notification": {"opcode": 0x81},
}


@pytest.mark.parametrize("keys", OTHERS.values(), ids=OTHERS)
def test_other_packets_are_left_alone(switched, keys):
    switched.apply(impair("drop", packets=[0], iteration=1), impair("drop", fraction=1.0))
    assert switched.bench.psns(*frames(100, 101, **keys)) == [100, 101]


def test_the_other_direction_is_left_alone(switched):
    switched.apply(impair("drop", fraction=1.0))
    there, back = switched.bench.send(*frames(100), back=[frame(100, src=H2, dst=H1)])
    assert (there, [each.psn for each in back]) == ([], [100])


@pytest.mark.parametrize("response", [READ_RESPONSE_MIDDLE, ATOMIC_RESPONSE])
def test_data_of_reads_and_atomics_are_the_responses(bench, response):
    switched = switched_on(bench, routes=[route(read=True)])
    switched.apply(impair("drop", packets=[1], iteration=1))
    before = switched.driver.counters()
    responses = frames(100, 101, 102, src=H2, dst=H1, qpn=BACK_QPN, opcode=response)
    there, back = bench.send(*frames(101, opcode=0x0C), back=responses)
    assert [each.psn for each in there] == [101]
    assert [each.psn for each in back] == [100, 102]
    assert switched.counted(before)["sw1:e1"]["drops"]["injected"] == 1


def test_each_queue_pair_has_its_own_packets(bench):
    switched = switched_on(bench, routes=[route(), route(dst_qpn=0x33, first_psn=7)])
    switched.apply(impair("drop", packets=[0], iteration=1, qp=1))
    assert bench.psns(*frames(100, 7), *frames(100, 7, qpn=0x33)) == [100, 7, 100]


def test_a_share_of_all_packets_is_dropped(switched):
    share, count = 0.3, 2000
    before = switched.driver.counters()
    switched.apply(impair("drop", fraction=share))
    arrived = switched.bench.psns(*frames(*range(1000, 1000 + count)))
    lost = switched.counted(before)["sw1:e2"]["drops"]["injected"]
    assert lost == count - len(arrived)
    assert abs(lost - count * share) < 5 * math.sqrt(count * share * (1 - share))


@pytest.mark.parametrize(("fraction", "left"), [(0.0, [100, 101]), (1.0, [])])
def test_none_and_all_are_exact(switched, fraction, left):
    switched.apply(impair("drop", fraction=fraction))
    assert switched.bench.psns(*frames(100, 101)) == left


@pytest.mark.parametrize("udp_sum", [False, True])
def test_corruption_inverts_one_byte_that_only_the_invariant_crc_covers(switched, udp_sum):
    before = switched.driver.counters()
    switched.apply(impair("corrupt", packets=[1], iteration=1))
    sent = frames(100, 101, 102, udp_sum=udp_sum)
    there, _ = switched.bench.send(*sent)
    assert there[0].raw == sent[0]
    assert there[2].raw == sent[2]
    changed = [i for i, (a, b) in enumerate(zip(there[1].raw, sent[1], strict=True)) if a != b]
    first_after_transport_header = 14 + 20 + 8 + 12
    checksum_bytes = {40, 41} if udp_sum else set()
    assert set(changed) == {first_after_transport_header} | checksum_bytes
    assert there[1].raw[first_after_transport_header] == sent[1][first_after_transport_header] ^ 0xFF
    assert there[1].ip_sum_ok
    assert there[1].udp_sum == 0
    ports = switched.counted(before)
    assert ports["sw1:e2"]["injected"]["corrupt"] == 1
    assert sum(ports["sw1:e2"]["drops"].values()) == 0


def test_the_shortest_packet_is_corrupted_in_its_crc(switched):
    switched.apply(impair("corrupt", packets=[0], iteration=1))
    sent = frame(100, payload=0)
    there, _ = switched.bench.send(sent)
    assert [i for i, (a, b) in enumerate(zip(there[0].raw, sent, strict=True)) if a != b] == [54]


def test_marking_sets_congestion_experienced_and_nothing_else(switched):
    before = switched.driver.counters()
    switched.apply(impair("mark", packets=[1], iteration=1))
    there, _ = switched.bench.send(*frames(100, 101))
    assert [(each.ecn, each.ip_sum_ok, each.raw[15] >> 2) for each in there] == [(2, True, 26), (3, True, 26)]
    ports = switched.counted(before)
    assert ports["sw1:e2"]["injected"]["mark"] == 1


def test_copies_arrive_and_are_not_copied_again(switched):
    if Capability.PACKET_DUPLICATE not in switched.driver.capabilities:
        pytest.skip("this kernel has no egress hook")
    before = switched.driver.counters()
    switched.apply(impair("duplicate", packets=[0, 2], iteration=1))
    assert switched.bench.psns(*frames(100, 101, 102, 103)) == [100, 100, 101, 102, 102, 103]
    ports = switched.counted(before)
    assert ports["sw1:e2"]["injected"]["duplicate"] == 2
    assert ports["sw1:e2"]["tx_packets"] == 6


def test_a_packet_may_be_changed_marked_and_copied_at_once(switched):
    switched.apply(*[impair(each, packets=[0], iteration=1) for each in ("corrupt", "mark", "duplicate")])
    there, _ = switched.bench.send(frame(100))
    assert [(each.raw[54], each.ecn, each.ip_sum_ok) for each in there] == [(0xFF, 3, True)] * 2


def test_ipv6(bench):
    switched = switched_on(bench, routes=[route(src_address="fd00::1", dst_address="fd00::2")])
    switched.apply(impair("drop", packets=[0], iteration=1), impair("mark", packets=[1], iteration=1))
    switched.apply(impair("corrupt", packets=[2], iteration=1))
    sent = frames(100, 101, 102, src="fd00::1", dst="fd00::2")
    there, _ = bench.send(*sent, *frames(100))
    assert [(each.psn, each.ecn) for each in there] == [(101, 3), (102, 2), (100, 2)]
    assert there[1].raw[74] == sent[2][74] ^ 0xFF
    assert there[1].udp_sum == 0


def test_packets_are_held_back_for_their_time(full_bench):
    switched = switched_on(full_bench)
    before = switched.driver.counters()
    switched.apply(impair("delay", packets=[0], iteration=1, delay_ps=200_000_000_000))
    switched.apply(impair("delay", packets=[2], iteration=1, delay_ps=100_000_000_000))
    there, _ = full_bench.send(*frames(100, 101, 102, 103), wait_s=0.5)
    assert [each.psn for each in there] == [101, 103, 102, 100]
    at, sent = {each.psn: each.at for each in there}, full_bench.sent_at
    assert 0.1 <= at[102] - sent[2] < 0.2
    assert 0.2 <= at[100] - sent[0] < 0.3
    assert switched.counted(before)["sw1:e2"]["injected"]["delay"] == 2


def test_a_share_held_back_is_reordered_and_none_is_lost(full_bench):
    switched = switched_on(full_bench)
    before = switched.driver.counters()
    switched.apply(impair("delay", fraction=0.5, delay_ps=20_000_000_000))
    arrived = full_bench.psns(*frames(*range(1000, 1400)), wait_s=0.5)
    assert sorted(arrived) == list(range(1000, 1400))
    held = switched.counted(before)["sw1:e2"]["injected"]["delay"]
    assert abs(held - 200) < 5 * 10
    assert arrived != sorted(arrived)


def test_a_port_has_seven_different_delays(full_bench):
    switched = switched_on(full_bench)
    for step in range(1, 8):
        switched.apply(impair("delay", fraction=0.0, delay_ps=step * 10**9))
    switched.apply(impair("delay", fraction=0.0, delay_ps=10**9))
    with pytest.raises(ConfigError, match="7 different delays"):
        switched.apply(impair("delay", fraction=0.0, delay_ps=8 * 10**9))


def test_what_a_kernel_lacks_is_refused(bench):
    switched = switched_on(bench)
    if Capability.PACKET_DELAY in switched.driver.capabilities:
        pytest.skip("this kernel can hold packets back")
    with pytest.raises(ConfigError, match="packet_delay"):
        switched.driver.apply(impair("delay", fraction=0.1, delay_ps=10**9))


def test_flows_that_are_not_connected_cannot_be_impaired(bench):
    driver = bench.driver()
    driver.snapshot()
    driver.configure(block())
    with pytest.raises(DriverError, match="'f' is not connected"):
        driver.apply(impair("drop", fraction=0.1))
    driver.flows_connected({"f": [route()]})
    with pytest.raises(ConfigError, match="no such QP"):
        driver.apply(impair("drop", fraction=0.1, qp=1))
