"""Runs on processes that play agents: what is asked of them, and what the result says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.core.capability import Capability
from harness.core.counters import Counter
from harness.core.errors import ConfigError
from harness.core.evidence import is_missing
from harness.core.flow import Flow, Flows
from harness.core.qos import Qos
from harness.core.scenario import Scenario
from harness.core.units import MB, MS, S
from harness.core.verbs import VerbsOptions
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair
from harness.patterns.ring_all_reduce import RingAllReduce

SCENARIO = Scenario(Pair(src="h1", dst="h2", size=10 * MB), sample_every=0)


def run(lab, scenario=SCENARIO, **behaviours):
    return lab.fabric(**behaviours).run(scenario)


def test_a_run_goes_through_all_steps_and_gives_a_valid_result(lab):
    result = run(lab)
    assert result.invalid_reasons == ()
    assert not result.simulated
    assert result.ended == "done"
    flow = result.flows[0]
    assert flow.fct_ps == pytest.approx(80 * MS, rel=1e-6)
    assert flow.bytes_delivered == 10 * MB
    assert flow.payload_verified_bytes == 10 * MB
    assert flow.goodput_gbps == pytest.approx(1.0, rel=1e-6)
    assert is_missing(flow.packets_retransmitted)
    assert lab.ops("h1") == ["prepare", "connect", "start", "teardown"]
    assert lab.ops("h2") == ["prepare", "connect", "start", "verify", "teardown"]
    assert json.loads((result.folder / "result.json").read_text())["executor"]["name"] == "hosts"


def test_clocks_that_differ_by_years_are_mapped(lab):
    result = run(lab, h1={"offset_ns": 10**17}, h2={"offset_ns": -(10**17)})
    assert result.invalid_reasons == ()
    hosts = result.raw["hosts"]
    assert hosts["clock"]["h1"]["offset_ns"] == pytest.approx(10**17, abs=10**7)
    assert hosts["start_skew_ps"] < 500 * MS
    assert 0 <= result.flows[0].start_ps < 500 * MS


def test_hosts_that_start_apart_make_the_run_invalid(lab):
    result = run(lab, h2={"late_start_ns": 3 * 10**9})
    assert 2 * S <= result.raw["hosts"]["start_skew_ps"] < 5 * S
    assert any("apart, more than 500ms" in reason for reason in result.invalid_reasons)


def test_a_wall_clock_that_is_set_in_mid_run_makes_it_invalid(lab):
    result = run(lab, h2={"wall_jump_ns": -(3600 * 10**9)})
    assert result.raw["hosts"]["clock"]["h2"]["jump_ns"] == pytest.approx(-3600 * 10**9, abs=10**7)
    assert any("clock of h2 jumped by -3600" in reason for reason in result.invalid_reasons)


def test_counters_are_deltas_and_unknown_ones_are_missing(lab):
    result = run(lab)
    assert result.counters.at("h1:p0")[Counter.TX_PACKETS] == 100
    assert is_missing(result.counters.hosts[Counter.CNP_SENT])
    assert "cnp_sent" in result.raw["not_offered"]["host"]
    assert result.raw["not_reached"] == ["sw1"]


def test_a_second_run_uses_the_same_agents(lab):
    fabric = lab.fabric()
    fabric.run(SCENARIO)
    fabric.run(SCENARIO)
    assert lab.dialled == [["h1", "h2"]]
    assert sum(len(remote.processes) for remote in lab.remotes.values()) == 2


def test_goodput_over_time_comes_from_progress(lab):
    scenario = Scenario(Pair(src="h1", dst="h2", size=50 * MB), sample_every=100 * MS)
    series = run(lab, scenario).series["goodput_bps"]
    assert series.mean() == pytest.approx(1e9, rel=0.02)
    assert series.columns == ("pair-0",)
    assert series.time_ps[0] == 100 * MS


def test_a_flow_without_samples_is_not_zero_in_the_series(lab):
    scenario = Scenario(
        [Pair(src="h1", dst="h2", size=10 * MB), Pair(src="h2", dst="h1", size=10 * MB, name="back")],
        sample_every=100 * MS,
    )
    result = run(lab, scenario, h2={"results": {"back-0/src": {"samples": []}}})
    assert is_missing(result.series["goodput_bps"].mean("back-0"))
    assert np.isfinite(result.series["goodput_bps"].column("pair-0")).all()


def test_flows_failed_as_they_say(lab):
    failed = {
        "status": "failed",
        "error": "RETRY_EXC_ERR",
        "vendor_err": 129,
        "told_ns": 7,
        "end_mono_ns": None,
    }
    result = run(lab, h1={"results": {"pair-0/src": failed}})
    flow = result.flows[0]
    assert (flow.status, flow.error, flow.vendor_err) == ("failed", "RETRY_EXC_ERR", 129)
    assert is_missing(flow.fct_ps)
    assert result.raw["flows"][0]["error_after_ps"] == 7000
    assert result.end_ps >= flow.start_ps + 7000
    assert any("RETRY_EXC_ERR" in reason for reason in result.invalid_reasons)


def test_a_failed_flow_that_asks_for_it_is_brought_back(lab):
    flow = Flow(
        name="f",
        src="h1:p0",
        dst="h2:p0",
        message_bytes=4096,
        verbs=VerbsOptions(fault="bad_rkey", recover="reset"),
    )
    failed = {"status": "failed", "error": "REM_ACCESS_ERR", "bytes_acked": 0, "end_mono_ns": None}
    scenario = Scenario(Flows([flow]), may_fail=["f"], sample_every=0)
    result = run(lab, scenario, h1={"results": {"f/src": failed}})
    found = result.flow("f")
    assert (found.status, found.error) == ("failed", "REM_ACCESS_ERR")
    assert (found.recovery_ps, found.recovery_local_ps) == (5_000_000, 3_000_000)
    assert found.payload_verified_bytes == 4096
    assert result.raw["flows"][0]["recovered"]["status"] == "done"
    assert lab.ops("h1") == ["prepare", "connect", "start", "recover", "connect", "resume", "teardown"]


def test_payload_that_arrived_wrong_makes_the_run_invalid(lab):
    result = run(lab, h2={"results": {"pair-0/dst": {"payload_mismatched_bytes": 3}}})
    assert any("payload arrived wrong: pair-0 (3 B)" in reason for reason in result.invalid_reasons)


def reduction(**wrong):
    """What the agents of two ranks say of a buffer of 4000 bytes; `wrong` by rank."""
    right = {"expected_ok": True, "bytes": 4000, "wrong": 0, "first_wrong": None}
    return [{"groups": {f"ring-all-reduce-0/{rank}": wrong.get(f"r{rank}", right)}} for rank in (0, 1)]


RING = Scenario(RingAllReduce(2, size=4000, dtype="int32"), sample_every=0)


def test_a_reduction_that_is_right_verifies_its_transfers(lab):
    h1, h2 = reduction()
    result = run(lab, RING, h1=h1, h2=h2)
    assert result.invalid_reasons == ()
    assert result.flows.total("payload_verified_bytes") == 4 * 2000
    assert lab.ops("h1")[-2:] == ["reduce_check", "teardown"]


def test_a_wrong_sum_makes_the_run_invalid_and_names_the_transfer(lab):
    h1, h2 = reduction(r1={"expected_ok": False, "bytes": 4000, "wrong": 3, "first_wrong": 700})
    result = run(lab, RING, h1=h1, h2=h2)
    assert any(
        "payload arrived wrong: ring-all-reduce-0-" in reason and "(12 B)" in reason
        for reason in result.invalid_reasons
    )
    assert is_missing(result.flows.total("payload_verified_bytes"))


def test_receivers_that_wait_for_what_never_comes_are_stopped(lab):
    result = run(lab, h2={"never_finish": "until_stop"})
    assert result.ended == "done"
    assert lab.ops("h2") == ["prepare", "connect", "start", "stop", "verify", "teardown"]


def test_a_run_for_a_set_time_lasts_that_long(lab):
    flow = Flow(name="f", src="h1:p0", dst="h2:p0", message_bytes=MB, messages=0)
    result = run(lab, Scenario(Flows([flow]), duration=300 * MS, sample_every=0))
    assert (result.ended, result.end_ps) == ("duration", 300 * MS)


def test_progress_is_told(lab):
    heard = []
    fabric = lab.fabric(h1={"rate_bps": 10**8})
    fabric.run(SCENARIO, progress=lambda done, now_ps: heard.append((done, now_ps)))
    assert len(heard) >= 2
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert 0 < heard[-1][0] <= 1
    assert heard[-1][1] < 3 * S


def test_traffic_classes_are_those_of_the_site(lab):
    from harness.hosts.plan import plan_of

    fabric = lab.fabric(site=lab.site(dscp={3: 24}))
    from harness.core.job import compile_job

    job = compile_job(SCENARIO, lab.topology, seed=1)
    plan = plan_of(job, fabric._rig.endpoints, fabric.site)
    assert plan.ends["pair-0/src"].request["tos"] == 24 << 2 | 2
    assert plan.ends["pair-0/src"].request["gid"]["index"] == 1


def test_the_dscp_of_a_flow_wins_over_that_of_the_site(lab):
    from harness.core.job import compile_job
    from harness.hosts.plan import plan_of

    fabric = lab.fabric(site=lab.site(dscp={3: 24}))
    flow = Flow(name="f", src="h1:p0", dst="h2:p0", message_bytes=MB, dscp=10)
    plan = plan_of(
        compile_job(Scenario(Flows([flow])), lab.topology, seed=1), fabric._rig.endpoints, fabric.site
    )
    assert plan.ends["f/src"].request["tos"] == 10 << 2 | 2


def test_a_dscp_map_is_asked_of_a_switch_that_can(lab):
    with pytest.raises(ConfigError, match="switch.dscp_map: fabric 'lab' does not offer dscp_map"):
        lab.fabric().run(Scenario(SCENARIO.traffic, qos=Qos(dscp_map={26: 3})))


def test_the_capabilities_are_those_of_agents_and_devices(lab):
    fabric = lab.fabric(h1={"hello": {"perftest": True}}, h2={"hello": {"perftest": True}})
    assert {Capability.REAL_VERBS, Capability.WITNESS, Capability.SRQ, Capability.XRC} <= fabric.capabilities
    absent = {Capability.HOST_DOWN, Capability.LINK_FLAP, Capability.SWITCH_COUNTERS, Capability.PFC}
    assert not absent & fabric.capabilities


def test_one_host_without_perftest_is_no_witness(lab):
    fabric = lab.fabric(h1={"hello": {"perftest": True}})
    assert Capability.WITNESS not in fabric.capabilities


def test_what_is_not_offered_is_refused_before_anything_starts(lab):
    from harness.core.events import LinkDown
    from harness.core.qos import Pfc, Qos

    fabric = lab.fabric()
    with pytest.raises(ConfigError, match=r"events\[0\]: fabric 'lab' does not offer link_flap"):
        fabric.run(Scenario(Pair(src="h1", dst="h2", size=MB), events=[LinkDown(at="1ms", port="h1:p0")]))
    with pytest.raises(ConfigError, match="pfc: fabric 'lab' does not offer pfc"):
        fabric.run(Scenario(Pair(src="h1", dst="h2", size=MB), qos=Qos(pfc=Pfc({3}))))
    assert lab.ops("h1") == []


def test_incast_to_the_second_host_has_its_ends_where_they_belong(lab):
    result = run(lab, Scenario(Incast(1, size=MB, receiver="h1"), sample_every=0))
    assert result.flows[0].src == "h2:p0"
    assert "verify" in lab.ops("h1")
    assert "verify" not in lab.ops("h2")


def test_the_folder_has_the_name_it_was_given(lab, tmp_path):
    result = lab.fabric().run(SCENARIO, output=tmp_path / "out" / "run")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["run"]
    assert result.load(tmp_path / "out" / "run").ended == "done"


def test_closing_ends_the_agents_and_calls_back_once(lab):
    calls = []
    fabric = lab.fabric(on_close=lambda: calls.append(1))
    fabric.run(SCENARIO)
    fabric.close()
    fabric.close()
    assert calls == [1]
    assert lab.running() == []
