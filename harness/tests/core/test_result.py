from __future__ import annotations

import json

import numpy as np
import pytest

from harness.core.counters import Aggregation, Counter, Where
from harness.core.errors import ConfigError
from harness.core.evidence import Missing, is_missing
from harness.core.flow import Flow, Flows
from harness.core.flow_results import FlowStatus
from harness.core.job import compile_job, expand
from harness.core.measure import Verdict, at_least, at_most, equals
from harness.core.port_counters import COUNTED
from harness.core.result import RunResult
from harness.core.scenario import Scenario
from harness.core.topology import Topology
from harness.core.units import GBPS, MB, MS
from harness.patterns.incast import Incast
from harness.tests.core import handmade

STAR = Topology.load("star-9")


@pytest.fixture
def made():
    """Run a scenario on paper; `change` spoils the result before it is read."""

    def make(change=lambda raw: None, traffic=None, folder=None, duration_ps=10**9, **options):
        scenario = Scenario(Incast(2, size=MB) if traffic is None else traffic, **options)
        expansion = expand(scenario, STAR, 1)
        job = compile_job(scenario, STAR, seed=1, output_dir=folder)
        raw = handmade.result(job, duration_ps)
        change(raw)
        return RunResult(job, json.loads(json.dumps(raw)), folder, scenario, expansion)

    return make


def test_a_good_result_is_evidence(made):
    result = made()
    assert result.invalid_reasons == ()
    assert (result.ended, result.error, result.simulated, result.end_ps) == ("done", None, True, 10**9)


def test_goodput_is_payload_per_busy_time(made):
    result = made()
    assert result.goodput_gbps == pytest.approx(16.0)  # 2 MB in 1 ms
    assert result.flow("incast-0").goodput_gbps == pytest.approx(8.0)
    assert result.jain() == pytest.approx(1.0)
    assert result.fct.max_ps == result.fct.percentile_ps(99) == 10**9


def test_flows_are_found_by_name_beginning_pattern_and_place(made):
    one, two = Incast(2, size=MB), Incast(3, size=MB)
    flows = made(traffic=[one, two]).flows
    assert [flow.name for flow in flows.of(one)] == ["incast-0", "incast-1"]
    assert len(flows.of(two)) == 3
    assert len(flows.of("incast")) == 5
    assert len(flows.to("h9")) == 5
    assert len(flows.sent_by("h1:p0")) == 2
    assert flows[0].status is FlowStatus.DONE
    for wrong in ("victim", Incast(5, size=MB)):
        with pytest.raises(ConfigError):
            flows.of(wrong)
    with pytest.raises(ConfigError, match="did you mean 'incast-0'"):
        flows.named("incats-0")


def test_counters_add_up_over_ports_and_narrow_down(made):
    counters = made().counters
    assert counters[Counter.TX_BYTES] == 18 * handmade.PORT_BYTES
    assert counters.hosts[Counter.TX_BYTES] == counters.switches[Counter.TX_BYTES] == 9 * handmade.PORT_BYTES
    assert counters.at("sw1:e1")[Counter.TX_BYTES] == handmade.PORT_BYTES
    assert counters.at("sw1")[Counter.TX_BYTES] == 9 * handmade.PORT_BYTES
    assert counters.at("sw1:e1")[Counter.PAUSE_RX] == 6
    assert counters.at("sw1:e1").priority(3)[Counter.PAUSE_RX] == 5
    assert counters.priority(3).switches[Counter.PAUSE_RX] == 45
    assert counters[Counter.DROPS] == 0


def test_peaks_are_the_highest_and_not_the_sum(made):
    assert made().counters[Counter.QUEUE_MAX] == 5


def test_marks_of_the_switch_are_counted_on_switches_only(made):
    assert made().counters[Counter.ECN_MARKED] == 9 * 1


@pytest.mark.parametrize("counter", [counter for counter in Counter if counter in COUNTED])
def test_every_counter_of_the_format_is_found(made, counter):
    assert not is_missing(made().counters[counter])


@pytest.mark.parametrize("counter", list(Counter))
def test_every_counter_has_words(counter):
    assert counter.unit
    assert counter.doc
    assert str(counter) == counter.key
    assert counter.aggregation is (Aggregation.MAX if counter.name.endswith("_MAX") else Aggregation.SUM)


@pytest.mark.parametrize(
    "read",
    [
        lambda c: c.at("sw1:e99")[Counter.DROPS],
        lambda c: c.at("sw1")[Counter.CNP_SENT],
        lambda c: c.at("h1")[Counter.ECN_MARKED],
        lambda c: c.priority(3)[Counter.DROPS],
        lambda c: c.priority(3)[Counter.CNP_SENT],
    ],
)
def test_a_counter_that_is_not_kept_there_is_no_data_and_never_zero(made, read):
    value = read(made().counters)
    assert is_missing(value)
    assert equals(0)(value) is Verdict.INVALID


@pytest.mark.parametrize("drops", [None, {}, [], 0])
def test_drops_that_are_absent_are_not_zero(made, drops):
    counters = made(lambda raw: raw["ports"]["sw1:e3"].update(drops=drops)).counters
    assert is_missing(counters[Counter.DROPS])
    assert is_missing(counters[Counter.DROPS_HEADROOM])
    assert counters.at("sw1:e2")[Counter.DROPS] == 0


def drop(*path):
    def change(raw):
        for key in path[:-1]:
            raw = raw[key]
        del raw[path[-1]]

    return change


def put(value, *path):
    def change(raw):
        for key in path[:-1]:
            raw = raw[key]
        raw[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put("limit", "ended"), "given up before all flows were complete"),
        (put("error", "ended"), "the run ended with 'error'"),
        (drop("ended"), "the run ended with None"),
        (put({"kind": "memory", "message": "no more"}, "error"), "the run failed"),
        (put({"ok": False}, "conservation"), "not conserved"),
        (drop("conservation"), "does not say whether packets were conserved"),
        (drop("flows", 0), "no result for incast-0"),
        (put([], "flows"), "no result for incast-0, incast-1"),
        (put("unfinished", "flows", 1, "status"), "unfinished: incast-1"),
        (put("failed", "flows", 1, "status"), "failed: incast-1"),
        (put("weird", "flows", 1, "status"), "failed: incast-1"),
        (put("not_started", "flows", 1, "status"), "not started: incast-1"),
        (put({}, "ports"), "no counters of h1:p0"),
        (drop("ports", "sw1:e3"), "no counters of sw1:e3"),
        (drop("ports", "sw1:e3", "tx_pause"), "missing counters: pause_tx"),
        (put([0] * 7, "ports", "sw1:e3", "tx_pause"), "missing counters: pause_tx"),
        (drop("ports", "sw1:e3", "drops"), "missing counters: drops"),
        (drop("ports", "sw1:e3", "drops", "headroom"), "missing counters: drops_headroom"),
        (drop("ports", "h1:p0", "nic"), "missing counters: ecn_marked_rx"),
        (drop("ports", "h1:p0", "nic", "cnp_sent"), "missing counters: cnp_sent"),
        (put(None, "ports", "h1:p0", "tx_bytes"), "missing counters: tx_bytes"),
    ],
)
def test_what_is_missing_makes_the_run_no_evidence(made, change, reason):
    assert reason in "; ".join(made(change).invalid_reasons)


def test_a_run_for_a_time_may_leave_flows_unfinished_but_not_failed(made):
    assert made(put("unfinished", "flows", 0, "status"), duration=MS).invalid_reasons == ()
    assert made(put("failed", "flows", 0, "status"), duration=MS).invalid_reasons == ("failed: incast-0",)


def test_failures_that_the_scenario_expects_are_fine(made):
    assert made(put("failed", "flows", 0, "status"), may_fail=["incast-0"]).invalid_reasons == ()
    assert made(put("failed", "flows", 1, "status"), may_fail="incast-*").invalid_reasons == ()
    assert made(put("failed", "flows", 1, "status"), may_fail=["incast-0"]).invalid_reasons


def paced(rate):
    return Flows([Flow(name="a", src="h1:p0", dst="h2:p0", message_bytes=100 * MB, rate_bps=rate)])


# 100 MB in 10 ms is 80 Gb/s of payload, 87.7 Gb/s on the wire with 98 bytes of headers and gap per packet of 1024
@pytest.mark.parametrize(("rate", "short"), [(80 * GBPS, False), (88 * GBPS, False), (95 * GBPS, True)])
def test_a_generator_below_its_asked_load_is_no_evidence(made, rate, short):
    reasons = made(traffic=paced(rate), duration_ps=10**10).invalid_reasons
    assert bool(reasons) == short
    assert all("did not reach the asked load: a (asked 95Gbps)" in reason for reason in reasons)


def told(count, flow_keys, nic_keys):
    """Let a flow and the NIC of its sender count something."""

    def change(raw):
        raw["flows"][0].update(dict.fromkeys(flow_keys, count))
        raw["ports"]["h1:p0"]["nic"].update(dict.fromkeys(nic_keys, count))

    return change


def paused(time_ps):
    """Let the sender's port stand still once."""

    def change(raw):
        raw["ports"]["h1:p0"]["rx_pause_duration_ps"][3] = time_ps
        raw["ports"]["h1:p0"]["pause_transitions"][3] = 1

    return change


@pytest.mark.parametrize(
    "cause",
    [
        told(3, ("rate_cuts", "cnp_received"), ("cnp_received", "cnp_handled")),
        told(3, ("naks_sent", "naks_received"), ("packet_seq_err",)),
        told(1, ("timeouts",), ("local_ack_timeout",)),
        paused(99),
    ],
)
def test_a_flow_that_the_network_held_back_is_evidence(made, cause):
    assert made(cause, traffic=paced(95 * GBPS), duration_ps=10**10).invalid_reasons == ()


def test_more_load_than_the_link_carries_is_told(made):
    reasons = made(traffic=paced(150 * GBPS), duration_ps=10**10).invalid_reasons
    assert "150Gbps were asked of h1:p0, whose link has 100Gbps" in reasons


def test_a_flow_without_an_end_has_no_completion_time_but_a_goodput(made):
    def change(raw):
        raw["flows"][0].update(status="unfinished", end_ps=None, fct_ps=None, bytes_delivered=500_000)

    result = made(change, duration=MS)
    assert is_missing(result.flow("incast-0").fct_ps)
    assert is_missing(result.fct.max_ps)
    assert is_missing(result.fct.percentile_ps(50))
    assert is_missing(result.fct.mean_ps)
    assert result.flow("incast-0").goodput_gbps == pytest.approx(4.0)
    assert result.jain() < 1


@pytest.mark.parametrize("key", ["bytes_delivered", "start_ps"])
def test_a_number_that_is_absent_spreads_as_missing(made, key):
    result = made(drop("flows", 0, key))
    assert is_missing(result.flow("incast-0").goodput_gbps)
    assert is_missing(result.goodput_gbps)
    assert is_missing(result.jain())
    assert at_least(0)(result.goodput_gbps) is Verdict.INVALID


def test_an_empty_result_has_no_figure_at_all(made):
    def change(raw):
        raw.clear()
        raw["format"] = 1

    result = made(change)
    figures = [
        result.goodput_gbps,
        result.jain(),
        result.end_ps,
        result.fct.max_ps,
        result.flows.goodput_gbps,
    ]
    figures += [result.counters[counter] for counter in Counter]
    figures += [result.counters.hosts[Counter.DROPS], result.series["queue_bytes"].max()]
    assert all(at_most(10**18)(figure) is Verdict.INVALID for figure in figures)
    assert len(result.invalid_reasons) >= 4


def test_another_format_is_refused(made):
    with pytest.raises(ConfigError, match="not a result of this format"):
        made(put(2, "format"))


def series_of(folder, values, time_ps=(0, 10, 20)):
    np.save(folder / "time_ps.npy", np.array(time_ps))
    np.save(folder / "q.npy", np.array(values))
    table = {"file": "q.npy", "unit": "B", "columns": ["sw1:e1/3", "sw1:e2/3"]}
    return put(
        {"every_ps": 10, "samples": 3, "time_file": "time_ps.npy", "tables": {"queue_bytes": table}}, "series"
    )


def test_series_are_loaded_when_looked_at(made, tmp_path):
    result = made(series_of(tmp_path, [[1, 2], [3, 4], [5, 6]]), folder=tmp_path)
    series = result.series["queue_bytes"]
    assert list(result.series) == ["queue_bytes"]
    assert series.columns == ("sw1:e1/3", "sw1:e2/3")
    assert (series.max(), series.max("sw1:e1/3"), series.mean("sw1:e2/3"), series.last("sw1:e1/3")) == (
        6,
        5,
        4,
        5,
    )
    assert series.between(10, 20).mean("sw1:e1/3") == 3
    assert series.percentile(50, "sw1:e1/3") == 3
    assert list(series.column("sw1:e1/3")) == [1, 3, 5]
    assert not is_missing(series)
    assert is_missing(series.max("sw1:e9/3"))
    assert is_missing(series.between(30).max())
    assert result.series["queue_bytes"] is series
    with pytest.raises(ConfigError, match="did you mean"):
        series.column("sw1:e3/3")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "q.npy").unlink(),
        lambda folder: (folder / "q.npy").write_bytes(b"garbage"),
        lambda folder: (folder / "q.npy").write_bytes((folder / "q.npy").read_bytes()[:-8]),
        lambda folder: (folder / "time_ps.npy").unlink(),
        lambda folder: np.save(folder / "q.npy", np.zeros((2, 2))),
        lambda folder: np.save(folder / "q.npy", np.full((3, 2), np.nan)),
    ],
)
def test_a_series_that_cannot_be_read_is_no_data(made, tmp_path, spoil):
    result = made(series_of(tmp_path, [[1, 2], [3, 4], [5, 6]]), folder=tmp_path)
    spoil(tmp_path)
    assert isinstance(result.series["queue_bytes"].max(), Missing)


def test_series_that_were_asked_for_must_be_there(made, tmp_path):
    assert "series were asked for and are not there" in made(folder=tmp_path).invalid_reasons
    assert is_missing(made().series["queue_bytes"])


def test_where_a_counter_is_kept():
    assert Counter.CNP_SENT.where is Where.HOST
    assert Counter.ECN_MARKED.where is Where.SWITCH
