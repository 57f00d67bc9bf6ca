from __future__ import annotations

import json

import numpy as np

from harness import KB, MB, US, Dcqcn, Ecn, HarnessError, LinkDown, LinkUp, Pfc, Qos, RunResult, Scenario
from harness.core.record import Outcome
from harness.core.record import TestRecord as Record
from harness.core.series import Series
from harness.patterns.incast import Incast
from harness.pytest_plugin.run_record import (
    MAX_COLUMNS,
    MAX_POINTS,
    Place,
    failed_run,
    finished_run,
    series_records,
)

PLACE = Place(1, "star-9", simulated=True)


def series(values: np.ndarray, name: str = "queue_bytes") -> Series:
    columns = tuple(f"sw1:e{i}/3" for i in range(values.shape[1]))
    return Series(name, "bytes", np.arange(len(values), dtype=np.int64) * 10_000_000, columns, values)


def test_a_long_series_keeps_each_columns_peak_and_is_short() -> None:
    values = np.zeros((100_000, 3))
    values[12_345, 0], values[67_890, 1], values[99_999, 2] = 1e6, 2e6, 3e6
    (table,) = series_records(series(values))
    assert len(table.time_ps) <= MAX_POINTS
    assert [max(column) for column in table.values] == [1e6, 2e6, 3e6]
    assert table.reduced_from == 100_000
    assert all(a <= b for a, b in zip(table.time_ps, table.time_ps[1:], strict=False))


def test_a_short_series_is_kept_whole() -> None:
    (table,) = series_records(series(np.array([[1, 2], [3, 4]])))
    assert table.values == ((1.0, 3.0), (2.0, 4.0))
    assert table.time_ps == (0, 10_000_000)


def test_the_loudest_columns_of_a_large_fabric_are_kept() -> None:
    values = np.tile(np.arange(500), (10, 1))
    (table,) = series_records(series(values))
    assert table.columns == tuple(f"sw1:e{i}/3" for i in range(500 - MAX_COLUMNS, 500))


def test_a_column_with_gaps_stands_alone_and_without_them() -> None:
    values = np.array([[1, np.nan], [2, 5], [3, np.nan]])
    whole, gappy = series_records(series(values))
    assert whole.columns == ("sw1:e0/3",)
    assert (gappy.columns, gappy.time_ps, gappy.values) == (("sw1:e1/3",), (10_000_000,), ((5.0,),))


def test_no_data_gives_no_series() -> None:
    assert series_records(Series.absent("queue_bytes", "not asked for")) == []
    assert series_records(series(np.full((4, 1), np.nan))) == []


def scenario() -> Scenario:
    qos = Qos(pfc=Pfc({3}), ecn=Ecn(kmin=400 * KB, kmax=1600 * KB, pmax=0.2), dcqcn=Dcqcn("mlx5"))
    events = [LinkUp(30 * US, "h2:p0"), LinkDown(10 * US, "h2:p0")]
    return Scenario(Incast(8, size=4 * MB), qos=qos, events=events)


def test_a_run_tells_its_scenario_in_words_that_repeat_it() -> None:
    raw = {"format": 1, "simulated": True, "ended": "done", "conservation": {"ok": True}}
    run = finished_run(PLACE, scenario(), RunResult({}, raw), 0.5)
    assert run.title == "incast"
    assert run.events == ("10us: link down h2:p0", "30us: link up h2:p0")
    assert "kmin: 400KB" in run.scenario
    assert {figure.name for figure in run.figures} >= {"goodput", "frames dropped", "pause frames", "CNPs"}
    assert json.dumps(Record("a", outcome=Outcome.PASS, runs=(run,)).to_json(), allow_nan=False)


def test_a_run_without_a_result_keeps_what_was_asked_and_why_there_is_none() -> None:
    run = failed_run(PLACE, scenario(), HarnessError("cable is out"), 0.5)
    assert (run.ended, run.invalid_reasons) == ("error", ("cable is out",))
    assert "incast" in run.scenario
    assert run.figures == ()


def test_a_pattern_of_the_suites_own_is_shown_as_python_shows_it() -> None:
    class Own:
        def flows(self, topology, seed):
            return []

        def __repr__(self) -> str:
            return "Own()"

    run = failed_run(PLACE, Scenario(Own()), HarnessError("x"), 0.1)
    assert "Own()" in run.scenario


def test_the_allowed_rate_is_kept_only_where_something_controls_it(tmp_path) -> None:
    np.save(tmp_path / "time_ps.npy", np.arange(3))
    np.save(tmp_path / "values.npy", np.ones((3, 1)))
    entry = {"file": "values.npy", "unit": "bps", "columns": ["pair-0"]}
    tables = {"goodput_bps": entry, "cc_rate_bps": entry}
    raw = {"format": 1, "ended": "done", "series": {"time_file": "time_ps.npy", "tables": tables}}
    for algorithm, names in (("none", ["goodput_bps"]), ("mlx5", ["goodput_bps", "cc_rate_bps"])):
        result = RunResult({"nic": {"cc": {"algorithm": algorithm}}}, raw, tmp_path)
        assert [part.name for part in finished_run(PLACE, scenario(), result, 0.1).series] == names


def test_counters_that_devices_do_not_have_are_no_figures() -> None:
    raw = {"format": 1, "simulated": False, "ended": "done", "hosts": {"start_skew_ps": 10**9}}
    raw["not_offered"] = {"host": ["cnp_sent"], "switch": ["queue_max"]}
    names = {figure.name for figure in finished_run(PLACE, scenario(), RunResult({}, raw), 0.5).figures}
    assert {"goodput", "frames dropped", "start skew"} <= names
    assert names.isdisjoint({"CNPs", "deepest queue"})
