from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import ns3time, transport
from harness.analysis.transport import Hop, Wire

GBPS = 10**9
US = 10**6
HPCC = Wire(gap_bytes=0, fixed_overhead=48, fixed_ack=60)


# 4.096 us * 2^t: exponent and milliseconds of the table that vendors print.
@pytest.mark.parametrize(
    ("exponent", "ms"),
    [(8, 1.05), (10, 4.19), (12, 16.8), (14, 67.1), (16, 268), (18, 1070), (20, 4290), (22, 17200)],
)
def test_ack_timeout(exponent: int, ms: float) -> None:
    assert transport.ack_timeout_ps(exponent) == pytest.approx(ms * 1e9, rel=5e-3)
    assert transport.ack_timeout_ps(exponent) == 4096 * 1000 * 2**exponent


def test_ack_timeout_zero_is_never() -> None:
    assert transport.ack_timeout_ps(0) is None
    assert transport.give_up_ps(0, 7) is None
    assert transport.give_up_ps(14, 7) == pytest.approx(0.537e12, rel=1e-3)
    with pytest.raises(ValueError, match="0 to 31, not 32"):
        transport.ack_timeout_ps(32)


@pytest.mark.parametrize(
    ("code", "ms"), [(0, 655.36), (1, 0.01), (5, 0.06), (12, 0.64), (14, 1.28), (25, 61.44), (31, 491.52)]
)
def test_rnr_timer(code: int, ms: float) -> None:
    assert transport.rnr_timer_ps(code) == round(ms * 1e9)


def test_rnr_timers_grow_with_their_code() -> None:
    timers = [transport.rnr_timer_ps(code) for code in range(1, 32)]

    assert timers == sorted(set(timers))
    assert timers[-1] < transport.rnr_timer_ps(0)


# 100 Gb/s, 10 us round trip, 1024-byte packets: loss and goodput.
@pytest.mark.parametrize(("loss", "goodput"), [(0, 1), (1e-4, 0.988), (1e-3, 0.89), (1e-2, 0.45)])
def test_go_back_n_goodput(loss: float, goodput: float) -> None:
    window = transport.in_flight_packets(100e9, 10e6, 1024)

    assert window == pytest.approx(122, abs=0.1)
    assert transport.go_back_n_goodput(loss, window) == pytest.approx(goodput, abs=2e-3)


@pytest.mark.parametrize(("mtu", "efficiency"), [(4096, 0.9804), (2048, 0.9615), (1024, 0.926)])
def test_wire_efficiency(mtu: int, efficiency: float) -> None:
    assert Wire().efficiency(mtu) == pytest.approx(efficiency, abs=2e-4)


def test_wire_sizes() -> None:
    wire = Wire()

    assert wire.headers == 62
    assert wire.data(4096) == 4096 + 82
    assert wire.ack() == 86
    assert wire.frame(1) == 66  # padded to 4 bytes
    assert wire.frame(0) == 64  # the minimum frame
    assert Wire(ip_version=6, vlan=True).headers == 86
    assert wire.message(2500, 1024) == [1024 + 98, 1024 + 82, 452 + 82]
    assert HPCC.message(2500, 1000) == [1048, 1048, 548]


def test_single_flow_of_the_ns3_model_completes_to_the_nanosecond() -> None:
    # A published run of the HPCC ns-3 model with 1 ps resolution: 10 MB over two 100 Gb/s links of 1 us
    # takes 842483 ns.
    hop = Hop(100 * GBPS, US)

    done = transport.completion_ps(
        HPCC.message(10**7, 1000), [hop, hop], ack_bytes=60, serialise=ns3time.transmission_ps
    )

    assert done == 10_000 * 83_839 + 83_839 + 2 * US + 2 * 4_799 + 2 * US
    assert done // 1000 == 842_483


def test_native_resolution_of_ns3_runs_faster_than_the_link() -> None:
    hop = Hop(100 * GBPS, US)
    floor = partial(ns3time.transmission_ps, resolution_ps=1000)

    done = transport.completion_ps(HPCC.message(10**7, 1000), [hop, hop], ack_bytes=60, serialise=floor)

    assert done == 10_001 * 83_000 + 4 * US + 2 * 4_000


def test_the_slowest_link_sets_the_pace() -> None:
    path = [Hop(100 * GBPS, US), Hop(25 * GBPS, US), Hop(50 * GBPS, US)]
    packets = [1250] * 100

    done = transport.completion_ps(packets, path, ack_bytes=125)

    assert done == 100_000 + 100 * 400_000 + 200_000 + 3 * US + (20_000 + 40_000 + 10_000) + 3 * US


def test_a_small_last_packet_waits_behind_the_ack_before_it() -> None:
    packets = [1000, 100]
    hop = Hop(8 * 10**12, 0)  # one picosecond a byte

    assert transport.delivery_ps(packets, [hop]) == [1000, 1100]
    assert transport.completion_ps(packets, [hop], ack_bytes=500) == 1000 + 500 + 500
    assert transport.completion_ps(packets, [hop], ack_bytes=500, ack_every=2) == 1100 + 500


@given(
    st.lists(st.integers(64, 4178), min_size=1, max_size=30),
    st.lists(st.integers(1, 400), min_size=1, max_size=4),
)
def test_completion_is_at_least_every_link_time(packets: list[int], gbps: list[int]) -> None:
    path = [Hop(rate * GBPS, US) for rate in gbps]

    done = transport.completion_ps(packets, path, ack_bytes=86)

    assert done >= max(sum(packets) * 8000 // rate for rate in gbps) + 2 * US * len(path)
    assert done >= transport.completion_ps(packets, path, ack_bytes=86, ack_every=len(packets))
