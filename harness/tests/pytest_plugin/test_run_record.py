from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from harness import (
    KB,
    MB,
    US,
    Dcqcn,
    Ecn,
    HarnessError,
    LinkDown,
    LinkUp,
    Pfc,
    Qos,
    QosChange,
    RunResult,
    Scenario,
    Topology,
)
from harness.core.job import compile_job
from harness.core.record import Outcome
from harness.core.record import TestRecord as Record
from harness.core.series import Series
from harness.patterns.incast import Incast
from harness.pytest_plugin.network_record import network_of
from harness.pytest_plugin.run_record import (
    ALL_FLOWS,
    BY_QP,
    MAX_COLUMNS,
    MAX_POINTS,
    QP_SPREAD,
    Place,
    by_qp,
    failed_run,
    finished_run,
    rate_by_node,
    series_records,
    with_total,
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


def test_the_sum_of_all_flows_is_kept_even_where_single_ones_are_not() -> None:
    values = np.ones((5, 40))
    (table,) = series_records(with_total(series(values, "goodput_bps")))
    assert ALL_FLOWS in table.columns
    assert table.values[table.columns.index(ALL_FLOWS)] == (40.0,) * 5
    assert with_total(series(np.ones((5, 1)))).columns == ("sw1:e0/3",)


def queue_pairs(values: np.ndarray) -> Series:
    return replace(series(values, BY_QP), columns=tuple(f"f[{index}]" for index in range(values.shape[1])))


def test_few_queue_pairs_have_a_line_each_and_their_spread() -> None:
    values = np.arange(5 * 32, dtype=float).reshape(5, 32)
    spread, lines = by_qp(queue_pairs(values))
    assert (spread.name, spread.columns) == (QP_SPREAD, ("fastest QP", "median QP", "slowest QP"))
    assert spread.values.tolist() == [[row.max(), np.median(row), row.min()] for row in values]
    (table,) = series_records(lines)
    assert len(table.columns) == 32


def test_many_queue_pairs_are_told_by_their_spread_alone() -> None:
    (spread,) = by_qp(queue_pairs(np.ones((5, 1024))))
    (table,) = series_records(spread)
    assert table.columns == ("fastest QP", "median QP", "slowest QP")


def test_a_single_queue_pair_is_its_flow() -> None:
    assert list(by_qp(queue_pairs(np.ones((5, 1))))) == []
    alone = replace(queue_pairs(np.ones((5, 2))), columns=("f[0]", "g[0]"))
    assert list(by_qp(alone)) == []
    assert list(by_qp(Series.absent(BY_QP, "not recorded"))) == []


def test_counts_over_time_become_rates_that_keep_their_bursts() -> None:
    counted = np.zeros((1000, 2))
    counted[500:, 0] = 100  # all within one interval of 10 us
    counted[:, 1] = np.arange(1000)
    rates = rate_by_node(series(counted, "ecn_marked"), "mark_rate")
    assert (rates.columns, rates.unit) == (("sw1",), "1/s")
    assert rates.values.max() == 101 / 10e-6
    assert rate_by_node(series(np.zeros((9, 2))), "mark_rate").missing is not None


def test_the_network_has_shape_load_and_pauses() -> None:
    job = compile_job(scenario(), Topology.load("star-9"), seed=1)
    port = {
        "tx_bytes": 125_000_000,
        "rx_pause_duration_ps": [0, 0, 0, 10**9, 0, 0, 0, 0],
        "drops": {"a": 1, "b": 2},
    }
    raw = {
        "format": 1,
        "ended": "done",
        "end_ps": 2 * 10**10,
        "ports": {"h1:p0": port, "sw1:e1": {"tx_bytes": None}},
    }
    network = network_of(RunResult(job, raw))
    assert network is not None
    assert (len(network.hosts), network.switches, len(network.links), len(network.flows)) == (
        9,
        ("sw1",),
        9,
        8,
    )
    link = network.links[0]
    assert (link.a, link.b) == ("h1:p0", "sw1:e1")
    assert (link.load, link.paused, link.dropped) == ((0.5, None), (0.05, None), (3, None))


def test_a_huge_network_is_told_and_not_kept() -> None:
    job = {"nodes": [{"name": "h1", "kind": "host"}], "links": [{}] * 601}
    network = network_of(RunResult(job, {"format": 1}))
    assert network is not None
    assert network.links == ()
    assert network.left_out == "1 hosts and 601 links are too many to draw"
    assert network_of(RunResult({}, {"format": 1})) is None


def test_an_event_with_nested_settings_is_told_in_words() -> None:
    events = [QosChange(5 * US, "h2", nic={"cc": {"algorithm": "none"}})]
    run = failed_run(PLACE, Scenario(Incast(2, size=MB), events=events), HarnessError("x"), 0.1)
    assert run.events == ("5us: qos change h2, nic cc algorithm none",)
