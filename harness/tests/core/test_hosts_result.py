"""Results of hosts: what a device does not offer is no gap, everything else that is absent is."""

from __future__ import annotations

import copy
import json

import pytest

from harness.core.counters import Counter
from harness.core.errors import ConfigError
from harness.core.events import HostDown, event_from, event_to_fields
from harness.core.evidence import is_missing
from harness.core.flow import Flow, Transport, Verb
from harness.core.job import compile_job, expand
from harness.core.result import RunResult
from harness.core.scenario import Scenario
from harness.core.topology import Topology
from harness.core.verbs import Fault, Reduce, VerbsOptions
from harness.patterns.pair import Pair
from harness.tests.core import handmade

STAR = Topology.load("star-9")
STEADY = {"h1": {"offset_ns": 12, "rtt_ns": 900, "jump_ns": 1000}}


def result(change=lambda raw: None, **options):
    scenario = Scenario(Pair(1000, "h1", "h2"), **options)
    job = compile_job(scenario, STAR, seed=1)
    raw = handmade.result(job, 10**9)
    del raw["conservation"]
    raw["simulated"] = False
    raw["hosts"] = {"start_skew_ps": 10**9, "max_start_skew_ps": 5 * 10**9, "clock": copy.deepcopy(STEADY)}
    change(raw)
    return RunResult(job, json.loads(json.dumps(raw)), None, scenario, expand(scenario, STAR, 1))


def without(*ports):
    """Take the CNP counter from the NICs of some ports, or of all."""

    def change(raw):
        for name, port in raw["ports"].items():
            if "nic" in port and (not ports or name in ports):
                del port["nic"]["cnp_sent"]

    return change


def test_a_result_of_hosts_needs_no_conservation():
    assert result().invalid_reasons == ()
    assert not result().simulated


def test_a_counter_that_no_device_offers_is_no_gap_but_no_data_either():
    def change(raw):
        without()(raw)
        raw["not_offered"] = {"host": ["cnp_sent"], "switch": []}

    run = result(change)
    assert run.invalid_reasons == ()
    assert is_missing(run.counters[Counter.CNP_SENT])


@pytest.mark.parametrize("not_offered", [{}, {"switch": ["cnp_sent"]}, {"host": ["cnp_received"]}])
def test_a_counter_that_should_be_there_is_a_gap(not_offered):
    def change(raw):
        without("h1:p0")(raw)
        raw["not_offered"] = not_offered

    assert result(change).invalid_reasons == ("missing counters: cnp_sent",)


def test_a_host_that_lost_power_has_no_counters_to_miss():
    def change(raw):
        raw["not_reached"] = ["h2"]
        del raw["ports"]["h2:p0"]

    assert result(change).invalid_reasons == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw: raw.pop("hosts"), "the result does not say when the hosts started"),
        (lambda raw: raw["hosts"].pop("start_skew_ps"), "the start skew of the hosts is not known"),
        (lambda raw: raw["hosts"].update(start_skew_ps=None), "the start skew of the hosts is not known"),
        (lambda raw: raw["hosts"].update(start_skew_ps=6 * 10**9), "hosts started 6ms apart, more than 5ms"),
        (
            lambda raw: raw["hosts"]["clock"]["h1"].update(jump_ns=-3_600_000_000_000),
            "the clock of h1 jumped by -3600.000 s during the run",
        ),
        (
            lambda raw: raw["flows"][0].update(payload_mismatched_bytes=17),
            "payload arrived wrong: pair-0 (17 B)",
        ),
    ],
)
def test_what_makes_a_run_of_hosts_no_evidence(change, reason):
    assert result(change).invalid_reasons == (reason,)


def paused(began_ps=5, certificate=None, **changes):
    """Give the run a pause storm with a certificate: 335.539 us of pause, frames every half of that."""
    said = {"quanta_ns": 335_539, "interval_ns": 167_769, "largest_gap_ns": 170_000, "error": None, **changes}
    storm = {"kind": "pause_storm", "port": "h2:p0", "began_ps": began_ps, "certificate": certificate or said}

    def change(raw):
        raw["hosts"]["events"] = [{"kind": "link_down", "port": "h2:p0", "began_ps": 1}, storm]

    return change


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (paused(), ()),
        (paused(largest_gap_ns=335_539), ()),
        (
            paused(largest_gap_ns=1_200_000),
            ("the pause of h2:p0 had gaps: largest 1.2ms over 335.539us",),
        ),
        (
            paused(error="p0 was removed", largest_gap_ns=1_200_000),
            ("the pause of h2:p0 broke off: p0 was removed",),
        ),
        (paused(certificate={"error": None}), ("nobody vouches for the pause of h2:p0",)),
        (paused(largest_gap_ns=None), ("nobody vouches for the pause of h2:p0",)),
        (paused(began_ps=None, certificate={"error": None}), ()),
        (paused(interval_ns=1_000_000, largest_gap_ns=1_100_000), ()),  # gaps were asked for
        (
            paused(interval_ns=1_000_000, largest_gap_ns=2_000_000),
            ("the pause of h2:p0 had gaps: largest 2ms over 1.335539ms",),
        ),
    ],
)
def test_a_pause_that_did_not_hold_makes_a_run_no_evidence(change, reasons):
    assert result(change).invalid_reasons == reasons


def test_wrong_payload_is_a_measurement_where_the_test_is_about_it():
    run = result(lambda raw: raw["flows"][0].update(payload_mismatched_bytes=17), may_fail=["pair-*"])
    assert run.invalid_reasons == ()
    assert run.flow("pair-0").payload_mismatched_bytes == 17


def test_what_only_hosts_know_is_missing_from_a_simulation():
    flow = result().flow("pair-0")
    assert is_missing(flow.payload_verified_bytes)
    assert is_missing(flow.recovery_ps)


def test_the_job_of_a_flow_has_options_of_hosts_only_when_they_are_given():
    plain = Flow(name="a", src="h1:p0", dst="h2:p0", message_bytes=8)
    assert {"verbs", "reduce"}.isdisjoint(plain.to_job())
    part = Reduce("ring", 4, 0, 1, 0, "sum", "int32", 4096)
    told = Flow(
        name="a", src="h1:p0", dst="h2:p0", message_bytes=8, verb=Verb.FETCH_ADD,
        verbs=VerbsOptions(fault=Fault.BAD_RKEY, recover="reset"), reduce=part,
    ).to_job()  # fmt: skip
    assert json.loads(json.dumps(told))["verbs"] == {
        "check_payload": True, "ping_pong": False, "fault": "bad_rkey", "recover": "reset",
        "engine": "pyverbs", "srq": False,
    }  # fmt: skip
    assert told["reduce"]["op"] == "sum"


@pytest.mark.parametrize(
    ("transport", "verb", "size", "message"),
    [
        (Transport.UD, Verb.WRITE_IMM, 100, "transport ud has no write_imm"),
        (Transport.UC, Verb.COMPARE_SWAP, 8, "transport uc has no compare_swap"),
        (Transport.RC, Verb.FETCH_ADD, 16, "an atomic is 8 bytes"),
    ],
)
def test_verbs_that_a_transport_lacks_are_refused(transport, verb, size, message):
    with pytest.raises(ConfigError, match=message):
        Flow(name="a", src="h1:p0", dst="h2:p0", message_bytes=size, verb=verb, transport=transport)


def test_options_of_verbs_read_from_a_scenario_file_and_back():
    scenario = Scenario(Pair(1000, verbs=VerbsOptions(fault=Fault.BAD_RKEY)), events=[HostDown(1, "h1")])
    fields = scenario.to_fields()
    assert fields["traffic"][0]["verbs"] == {"fault": "bad_rkey"}
    assert fields["events"] == [{"at": "1ps", "host_down": "h1"}]
    assert event_from(HostDown(1, "h1"), None) == HostDown(1, "h1")
    assert event_to_fields(HostDown(1, "h1"))["host_down"] == "h1"


def test_a_host_that_does_not_exist_cannot_lose_power():
    with pytest.raises(ConfigError, match=r"events\[0\]: there is no such host"):
        compile_job(Scenario(Pair(1000), events=[HostDown(1, "h99")]), STAR, seed=1)


def test_broken_messages_make_a_run_no_evidence_and_lost_ones_do_not():
    figures = {"messages_checked": 9, "messages_lost": 2, "messages_duplicated": 0, "messages_reordered": 1}
    assert result(lambda raw: raw["flows"][0].update(figures)).invalid_reasons == ()
    broken = {**figures, "messages_duplicated": 3, "messages_corrupted": 1}

    def change(raw):
        raw["flows"][0].update(broken)

    assert result(change).invalid_reasons == (
        "messages arrived wrong: pair-0 (3 duplicated), pair-0 (1 corrupted)",
    )
    tested = result(change, may_fail=["pair-*"])
    assert tested.invalid_reasons == ()
    flow = tested.flow("pair-0")
    assert (flow.messages_lost, flow.messages_duplicated, flow.messages_corrupted) == (2, 3, 1)
    assert is_missing(flow.idle_gaps)
