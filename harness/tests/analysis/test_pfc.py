from __future__ import annotations

import pytest

from harness.analysis import pfc

GBPS = 10**9

# IEEE 802.3 31B: 512 bit times a quantum. Rate in Gb/s, quantum in ns, 65535 quanta in us.
QUANTA = [
    (10, 51.2, 3355), (25, 20.48, 1342), (40, 12.8, 838.8), (50, 10.24, 671.1), (100, 5.12, 335.5),
    (200, 2.56, 167.8), (400, 1.28, 83.88), (800, 0.64, 41.94),
]  # fmt: skip

# SONiC's headroom calculation, MTU 9216, no cell inflation, no MAC/PHY delay:
# Gb/s, metres, cable bytes, response bytes, total bytes.
HEADROOM = [
    (25, 5, 158, 5120, 23710), (25, 40, 1263, 5120, 24815), (25, 300, 9470, 5120, 33022),
    (100, 5, 631, 25216, 44279), (100, 40, 5051, 25216, 48699), (100, 100, 12626, 25216, 56274),
    (100, 2000, 252525, 25216, 296173), (200, 300, 75758, 28992, 123182), (400, 5, 2525, 57920, 78877),
    (400, 100, 50505, 57920, 126857), (800, 100, 101010, 57920, 177362), (800, 2000, 2020202, 57920, 2096554),
]  # fmt: skip


@pytest.mark.parametrize(("gbps", "quantum_ns", "longest_us"), QUANTA)
def test_pause_quanta(gbps: int, quantum_ns: float, longest_us: float) -> None:
    assert pfc.quantum_ps(gbps * GBPS) == pytest.approx(quantum_ns * 1e3)
    assert pfc.pause_ps(gbps * GBPS) == pytest.approx(longest_us * 1e6, rel=2e-4)


@pytest.mark.parametrize(("gbps", "frames"), [(100, 2980), (400, 11921), (800, 23842)])
def test_slowest_storm_that_never_lets_go(gbps: int, frames: int) -> None:
    assert pfc.min_pause_frame_rate(gbps * GBPS) == pytest.approx(frames, rel=2e-4)


@pytest.mark.parametrize(("gbps", "metres", "cable", "response", "total"), HEADROOM)
def test_headroom_table(gbps: int, metres: float, cable: int, response: int, total: int) -> None:
    rate = gbps * GBPS

    assert pfc.cable_bytes(rate, metres) == cable
    assert pfc.response_bytes(rate) == response
    assert pfc.headroom_bytes(rate, metres) == total


def test_cell_inflation_only_touches_what_arrives() -> None:
    plain = pfc.headroom_bytes(100 * GBPS, 5)

    assert pfc.headroom_bytes(100 * GBPS, 5, cell_factor=2) == 2 * plain - 9216


def test_unknown_rate_has_no_response_time() -> None:
    with pytest.raises(ValueError, match=r"33000000000 bit/s; known: 100M, .*400000M"):
        pfc.response_bytes(33 * GBPS)


@pytest.mark.parametrize(("senders", "fraction"), [(1, 0), (2, 0.5), (8, 0.875)])
def test_pause_fraction_of_an_incast(senders: int, fraction: float) -> None:
    assert pfc.pause_fraction(senders) == fraction


def test_worst_headroom_counts_whole_packets() -> None:
    # 100 Gb/s, 1 us: 25000 B flight, 1108 B wait, 84 B pause = 26192 B: 24 packets and the one begun.
    bound = pfc.worst_headroom_bytes(100 * GBPS, 10**6, mtu_wire_bytes=1108, mtu_buffer_bytes=1088)

    assert bound == 25 * 1088


def test_dynamic_threshold_of_k_queues() -> None:
    assert pfc.dynamic_queue_bytes(1, 900, 2) == 300
    assert pfc.dynamic_queue_bytes(1 / 8, 9, 1) == 1


def test_hpcc_threshold_of_an_empty_switch() -> None:
    # Nine ports of 100 Gb/s and 1 us, 32 MiB, as traced at time 0 of a run of that model: 4147508 bytes.
    ports = [(100 * GBPS, 10**6)] * 9

    assert pfc.hpcc_headroom_bytes(*ports[0]) == 37_500
    assert pfc.hpcc_threshold_bytes(32 * 2**20, ports, 100 * GBPS) == 4_147_508
    assert pfc.hpcc_threshold_bytes(32 * 2**20, ports[:3], 100 * GBPS) == 4_178_705


@pytest.mark.parametrize(("gbps", "shift"), [(25, 3), (100, 3), (200, 2), (400, 1), (800, 0), (3200, 0)])
def test_hpcc_shift_falls_with_port_speed(gbps: int, shift: int) -> None:
    assert pfc.hpcc_shift(gbps * GBPS, 100 * GBPS) == shift


def test_pause_fraction_of_a_run_is_bounded_by_one_buffer() -> None:
    # 1 ms at 100 Gb/s carries 12.5 MB; a buffer of 1.25 MB is a tenth of that.
    low, high = pfc.pause_fraction_range(4, 100 * GBPS, 10**9, buffer_bytes=1_250_000)

    assert (low, high) == (pytest.approx(1 - 1.1 / 4), pytest.approx(3 / 4))


def test_pause_fraction_of_a_run_allows_for_unequal_shares() -> None:
    low, high = pfc.pause_fraction_range(4, 100 * GBPS, 10**9, buffer_bytes=0, unfair=0.04)

    assert (low, high) == (pytest.approx(0.74), pytest.approx(0.76))
    assert pfc.pause_fraction_range(1, 100 * GBPS, 10**9, buffer_bytes=10**6)[0] == 0
