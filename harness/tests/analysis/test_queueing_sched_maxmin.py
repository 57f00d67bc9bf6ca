from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import maxmin, queueing, sched

RED = {"kmin_bytes": 400_000, "kmax_bytes": 1_600_000, "pmax": 0.2}
amounts = st.floats(0, 1e12)
weights = st.floats(0.01, 100)


@pytest.mark.parametrize(
    ("queue", "probability"), [(0, 0), (400_000, 0), (1_000_000, 0.1), (1_600_000, 0.2), (1_600_001, 1)]
)
def test_red(queue: float, probability: float) -> None:
    assert queueing.red_probability(queue, **RED) == pytest.approx(probability)


def test_red_step() -> None:
    step = {"kmin_bytes": 100, "kmax_bytes": 100, "pmax": 1.0}

    assert [queueing.red_probability(queue, **step) for queue in (99, 100, 101)] == [0, 0, 1]


def test_md1_against_a_simulated_queue() -> None:
    draw = random.Random(1)
    clock, free, waited, customers = 0.0, 0.0, 0.0, 200_000
    for _ in range(customers):
        clock += draw.expovariate(0.7)
        free = max(free, clock)
        waited += free - clock
        free += 1.0

    assert queueing.md1_wait(0.7, 1.0) == pytest.approx(waited / customers, rel=0.03)
    assert queueing.md1_length(0.7) == pytest.approx(0.7 * (1 + queueing.md1_wait(0.7, 1.0)))


def test_saturated_queue_has_no_mean() -> None:
    with pytest.raises(ValueError, match="below 1"):
        queueing.md1_wait(1.0, 1.0)


def test_incast_times() -> None:
    # 100 KB, 8 senders, 100 Gb/s: 1.14 us to fill.
    assert queueing.incast_fill_ps(100_000, 8, 100e9) == pytest.approx(1.14e6, rel=5e-3)
    assert queueing.incast_completion_ps(80e6, 100e9, 4e6) == pytest.approx(6.404e9)
    assert queueing.incast_peak_bytes(8, 1e6) == 7e6


@given(st.lists(st.tuples(amounts, weights), min_size=1, max_size=8), amounts)
def test_water_filling_conserves_capacity_and_demand(
    classes: list[tuple[float, float]], capacity: float
) -> None:
    demands, loads = [item[0] for item in classes], [item[1] for item in classes]

    shares = sched.water_fill(demands, loads, capacity)

    assert sum(shares) == pytest.approx(min(capacity, sum(demands)), rel=1e-6, abs=1e-6)
    assert all(share <= demand * (1 + 1e-9) for share, demand in zip(shares, demands, strict=True))
    levels = [
        share / load
        for share, load, demand in zip(shares, loads, demands, strict=True)
        if share < demand * (1 - 1e-9)
    ]
    highest = max(share / load for share, load in zip(shares, loads, strict=True))
    assert all(level == pytest.approx(highest, rel=1e-6, abs=1e-9) for level in levels)


def test_water_filling_hands_on_what_a_class_leaves() -> None:
    assert sched.water_fill([10, math.inf, math.inf], [1, 1, 2], 100) == [10, 30, 60]
    assert sched.water_fill([0, 5], [1, 1], 0) == [0, 0]


def test_ets_serves_strict_classes_first() -> None:
    assert sched.ets_shares([50, math.inf, 30, math.inf], [1, 1, 1, 3], [2], 100) == [14, 14, 30, 42]
    assert sched.ets_shares([math.inf, 80, 80], [1, 1, 1], [1, 2], 100) == [0, 20, 80]


@pytest.mark.parametrize(
    ("demands", "loads", "capacity", "message"),
    [
        ([1], [1, 2], 1, "1 demands but 2"),
        ([1], [0], 1, "above 0"),
        ([-1], [1], 1, "from 0"),
        ([1], [1], math.nan, "from 0"),
    ],
)
def test_water_filling_refuses_nonsense(
    demands: list[float], loads: list[float], capacity: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sched.water_fill(demands, loads, capacity)


def test_max_min_parking_lot() -> None:
    paths = {"long": ["a", "b", "c"], "x": ["a"], "y": ["b"], "z": ["c"]}

    rates = maxmin.max_min_rates(paths, {"a": 100, "b": 50, "c": 100})

    assert rates == pytest.approx({"long": 25, "x": 75, "y": 25, "z": 75})


def test_max_min_respects_demands_and_weights() -> None:
    paths = {"small": ["a"], "heavy": ["a"], "light": ["a"]}

    rates = maxmin.max_min_rates(paths, {"a": 100}, demand={"small": 10}, weight={"heavy": 2})

    assert rates == pytest.approx({"small": 10, "heavy": 60, "light": 30})


@given(st.data())
def test_max_min_rates_fit_and_every_flow_has_a_bottleneck(data: st.DataObject) -> None:
    capacity = {link: data.draw(st.floats(1, 1000)) for link in range(5)}
    paths = data.draw(
        st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True), min_size=1, max_size=8)
    )
    flows = dict(enumerate(paths))

    rates = maxmin.max_min_rates(flows, capacity)

    load = {link: sum(rates[flow] for flow, path in flows.items() if link in path) for link in capacity}
    assert all(load[link] <= capacity[link] * (1 + 1e-6) for link in capacity)
    for flow, path in flows.items():
        assert any(
            load[link] >= capacity[link] * (1 - 1e-6)
            and all(rates[flow] >= rates[other] * (1 - 1e-6) for other, way in flows.items() if link in way)
            for link in path
        )


def test_max_min_refuses_what_it_cannot_bound() -> None:
    with pytest.raises(ValueError, match="nothing bounds"):
        maxmin.max_min_rates({"a": []}, {})
    with pytest.raises(ValueError, match="link 'l' of flow 'a'"):
        maxmin.max_min_rates({"a": ["l"]}, {"l": 0})
    assert maxmin.max_min_rates({"a": []}, {}, demand={"a": 3.0}) == {"a": 3.0}
    assert maxmin.max_min_rates({}, {}) == {}
