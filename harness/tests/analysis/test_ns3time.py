from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import ns3time

# Start times in seconds and the nanoseconds that the ns-3 model of HPCC printed for them at 1 ps resolution.
PRINTED = [
    (0.001000000, 1000000), (0.001000037, 1000037), (0.001000074, 1000074), (0.001000111, 1000110),
    (0.001000148, 1000147), (0.001000185, 1000185), (0.001000222, 1000222), (0.001000259, 1000259),
    (0.003, 3000000),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "printed_ns"), PRINTED)
def test_start_times_print_as_ns3_prints_them(seconds: float, printed_ns: int) -> None:
    assert ns3time.seconds_ps(seconds) // 1000 == printed_ns


@pytest.mark.parametrize(
    ("size", "gbps", "resolution_ps", "ps"),
    [
        (1048, 100, 1, 83839),
        (1048, 100, 1000, 83000),
        (1050, 100, 1000, 83000),
        (60, 100, 1, 4799),
        (1020, 40, 1000, 203000),
    ],
)
def test_serialisation_times_lose_their_fraction(size: int, gbps: int, resolution_ps: int, ps: int) -> None:
    assert ns3time.transmission_ps(size, gbps * 10**9, resolution_ps) == ps


@given(st.floats(0, 1e6), st.sampled_from([1, 1000]))
def test_a_time_is_the_exact_value_of_the_double_cut_to_steps(seconds: float, resolution_ps: int) -> None:
    exact = int(Decimal(seconds) * 10**12) // resolution_ps * resolution_ps

    assert exact - resolution_ps <= ns3time.seconds_ps(seconds, resolution_ps) <= exact


def test_microsecond_timers_are_integers() -> None:
    assert ns3time.micro_seconds_ps(55.9) == 55_000_000
    assert ns3time.micro_seconds_ps(0.5) == 0


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_time_is_finite_and_not_negative(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        ns3time.seconds_ps(value)
    with pytest.raises(ValueError, match="finite"):
        ns3time.micro_seconds_ps(value)
