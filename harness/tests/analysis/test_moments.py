"""First and last rises of counters, cuts and recoveries of rates."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.convergence import Cut, last_cut, time_until_above
from harness.analysis.dcqcn import ReactionPoint, fast_recovery, recovery_s
from harness.analysis.moments import time_to_first_rise, time_to_last_rise
from harness.analysis.queueing import fill_ps, incast_fill_ps
from harness.core.evidence import Missing
from harness.core.series import Series

TIMES = np.array([10, 20, 30, 40, 50])


def counter(*values: int) -> Series:
    return Series("ecn_marked", "packets", TIMES, ("sw1:e9",), np.array(values)[:, np.newaxis])


def test_a_counter_that_rises_tells_when() -> None:
    marks = counter(0, 3, 3, 7, 7)

    assert time_to_first_rise(marks, "sw1:e9") == 20
    assert time_to_last_rise(marks, "sw1:e9") == 40
    assert time_to_first_rise(marks, "sw1:e9", since_ps=25) == 15
    assert time_to_last_rise(marks, "sw1:e9", since_ps=40) == 0


def test_what_was_counted_before_the_first_sample_is_a_rise_at_it() -> None:
    assert time_to_first_rise(counter(2, 2, 2, 2, 2), "sw1:e9") == 10


def test_a_counter_that_stands_still_took_as_long_as_was_looked() -> None:
    assert time_to_first_rise(counter(0, 0, 0, 0, 0), "sw1:e9") == 50
    assert time_to_last_rise(counter(0, 0, 0, 0, 0), "sw1:e9") == 0


@pytest.mark.parametrize("moment", [time_to_first_rise, time_to_last_rise])
def test_no_samples_are_no_data(moment) -> None:
    assert isinstance(moment(Series.absent("ecn_marked", "not recorded"), "sw1:e9"), Missing)
    assert isinstance(moment(counter(0, 1, 2, 3, 4), "sw1:e1"), Missing)
    assert isinstance(moment(counter(0, 1, 2, 3, 4), "sw1:e9", since_ps=50), Missing)


def test_the_last_cut_is_found_with_its_rates() -> None:
    assert last_cut(TIMES, [40, 20, 30, 15, 16]) == Cut(40, 30, 15)


def test_a_rate_that_never_fell_has_no_cut_and_no_recovery() -> None:
    cut = last_cut(TIMES, [10, 20, 30, 30, 40])

    assert isinstance(cut.time_ps, Missing)
    assert isinstance(time_until_above(TIMES, [10, 20, 30, 30, 40], 38, cut.time_ps), Missing)
    assert isinstance(recovery_s(ReactionPoint(), cut.after, cut.before, 38e9), Missing)


def test_time_until_a_rate_stays_above_its_goal() -> None:
    assert time_until_above(TIMES, [5, 40, 30, 38, 39], 38) == 40
    assert time_until_above(TIMES, [5, 40, 30, 38, 39], 38, since_ps=20) == 20
    assert time_until_above(TIMES, [40, 40, 40, 40, 40], 38) == 0


def test_a_rate_that_never_comes_back_took_as_long_as_was_looked() -> None:
    assert time_until_above(TIMES, [5, 40, 30, 30, 30], 38, since_ps=20) == 30


def test_recovery_in_halves_takes_one_timer_period_each() -> None:
    rates = fast_recovery(20e9, 40e9, 5)
    for periods, rate in enumerate(rates, start=1):
        assert recovery_s(ReactionPoint(), 20e9, 40e9, rate) == pytest.approx(periods * 55e-6)


def test_additive_increase_by_hand() -> None:
    # nothing to recover in five periods; from then on 40 Mb/s a period, the rate a step behind the target
    point = ReactionPoint(byte_counter_bytes=1e12)
    seconds = recovery_s(point, 10e9, 10e9, 20e9)
    steps = round(seconds / 55e-6) - 5
    assert seconds == pytest.approx((5 + steps) * 55e-6)
    assert 10e9 / 40e6 <= steps <= 10e9 / 40e6 + 2


def test_bytes_add_steps_and_both_together_hyper_increase() -> None:
    slow = recovery_s(ReactionPoint(byte_counter_bytes=1e12), 10e9, 10e9, 38e9)
    assert recovery_s(ReactionPoint(), 10e9, 10e9, 38e9) < slow
    assert recovery_s(ReactionPoint(byte_counter_bytes=1e5), 10e9, 10e9, 38e9) < slow / 10


def test_a_goal_above_the_line_is_refused() -> None:
    with pytest.raises(ValueError, match="rates go up"):
        recovery_s(ReactionPoint(), 10e9, 10e9, 41e9)


def test_filling_a_queue_by_any_rates() -> None:
    assert fill_ps(80_000, 101e9, 100e9) == pytest.approx(640e6)
    assert fill_ps(500_000, 4 * 100e9, 100e9) == pytest.approx(incast_fill_ps(500_000, 4, 100e9))
    with pytest.raises(ValueError, match="only grows"):
        fill_ps(80_000, 100e9, 100e9)
