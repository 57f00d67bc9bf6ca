from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.analysis import buffer, pfc

GBPS = 10**9


def test_shared_buffer_is_what_ports_leave() -> None:
    assert buffer.shared_bytes(1000, 4, headroom_bytes=100, reserve_bytes=50) == 400


def test_ports_that_set_all_aside_leave_nothing_to_share() -> None:
    with pytest.raises(ValueError, match="4 ports set aside all of the 1000 bytes"):
        buffer.shared_bytes(1000, 4, headroom_bytes=250)


def test_xon_lies_below_the_threshold_at_its_own_use() -> None:
    alpha, shared, offset = 0.5, 3000, 300
    xon = buffer.xon_bytes(alpha, shared, offset)

    assert xon == pytest.approx(800)
    assert xon + offset == pytest.approx(alpha * (shared - xon))
    assert buffer.xon_bytes(alpha, shared, 0) == pfc.dynamic_queue_bytes(alpha, shared, 1)
    assert buffer.xon_bytes(alpha, shared, 5000) == 0


@pytest.mark.parametrize("senders", [2, 3, 8])
@pytest.mark.parametrize("alpha", [0.125, 1, 4])
def test_a_burst_at_the_bound_fills_each_port_to_its_threshold(senders: int, alpha: float) -> None:
    shared = 9_000_000
    left = buffer.absorbed_burst_bytes(alpha, shared, senders) * (1 - 1 / senders)

    assert left == pytest.approx(alpha * (shared - senders * left))


@pytest.mark.parametrize("senders", [2, 3, 8])
def test_an_egress_burst_at_the_bound_fills_the_queue_to_its_threshold(senders: int) -> None:
    queue = (senders - 1) * buffer.absorbed_egress_burst_bytes(0.5, 9_000_000, senders)

    assert queue == pytest.approx(0.5 * (9_000_000 - queue))


@pytest.mark.parametrize("bound", [buffer.absorbed_burst_bytes, buffer.absorbed_egress_burst_bytes])
def test_one_sender_never_overruns_a_port_of_its_rate(bound: Callable[[float, float, int], float]) -> None:
    with pytest.raises(ValueError, match="at least two senders of its rate, not 1"):
        bound(1, 1000, 1)


def test_pause_cycle_drains_and_fills() -> None:
    # 1000 B: 320 ns to drain at 25 Gb/s, 106.7 ns to fill at the 75 Gb/s by which 100 Gb/s are too much.
    assert buffer.pause_cycle_ps(1000, 100 * GBPS, 25 * GBPS) == pytest.approx(320_000 + 106_667, abs=1)
