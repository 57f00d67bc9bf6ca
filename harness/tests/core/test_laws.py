"""Each law of harness/core/laws.py is broken by something, and by nothing in a result that is right."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from harness.core.facts import Facts
from harness.core.job import compile_job
from harness.core.laws import LAWS, broken_laws
from harness.core.scenario import Scenario
from harness.core.series import Series, SeriesSet
from harness.core.topology import Topology
from harness.core.units import MB
from harness.patterns.incast import Incast
from harness.tests.core import handmade

STAR = Topology.load("star-9")
JOB = compile_job(Scenario(Incast(2, size=20 * MB)), STAR, seed=1)
END_PS = 10**10
EVERY_PS = 10**9
TIME_PS = np.arange(EVERY_PS, END_PS + 1, EVERY_PS, dtype=np.int64)
H1, SW1, H9, FLOW = "h1:p0", "sw1:e1", "h9:p0", "incast-0"


def series(**columns):
    """Make series of one column each, that of the place."""
    tables = {name: {} for name in columns}
    loaded = {
        name: Series(name, "", TIME_PS, (column,), np.asarray(values, dtype=float).reshape(-1, 1))
        for name, (column, values) in columns.items()
    }
    return SeriesSet(None, tables, _loaded=loaded)


def port(name, **values):
    """Set counters of a port; a number for a list goes to priority 3."""

    def change(raw):
        for key, value in values.items():
            lane = isinstance(raw["ports"][name].get(key), list) and not isinstance(value, list)
            raw["ports"][name][key] = [0, 0, 0, value, 0, 0, 0, 0] if lane else value

    return change


def nic(name, **values):
    """Set counters of a NIC."""
    return lambda raw: raw["ports"][name]["nic"].update(values)


def drops(name, **values):
    """Set drops of a port by reason."""
    return lambda raw: raw["ports"][name]["drops"].update(values)


def flow(**values):
    """Set figures of the first flow."""
    return lambda raw: raw["flows"][0].update(values)


def latency(**values):
    """Set figures of the latency of the first flow."""
    return lambda raw: raw["flows"][0]["latency"].update(values)


def whole(**values):
    """Set figures of the run."""
    return lambda raw: raw.update(values)


def also(*changes):
    """Change several things."""
    return lambda raw: [change(raw) for change in changes]


def every_port(**values):
    """Set counters of all ports."""
    return lambda raw: [port(name, **values)(raw) for name in raw["ports"]]


def quiet(way):
    """Let a port of a host have seen nothing."""
    zero = [0] * 8
    return port(
        H1 if way == "tx" else H9,
        **{f"{way}_packets": 0, f"{way}_bytes": 0, f"{way}_packets_prio": zero, f"{way}_bytes_prio": zero},
    )


ACCOUNT = {"ok": True, "packets_dropped": 0, "packets_in_flight": 0}
FLAT = [0] * 10

BREAKING = [
    ("totals_are_sums_of_priorities", port(SW1, tx_packets=1)),
    ("packets_have_bytes", port(SW1, tx_bytes_prio=[0] * 8)),
    ("links_keep_packets", also(whole(conservation=ACCOUNT), port(SW1, rx_packets=0))),
    ("nothing_comes_from_nowhere", port(H1, tx_packets=0)),
    ("payload_crosses_ports_of_hosts", port(H1, tx_bytes=5)),
    ("ports_with_flows_are_not_silent", quiet("tx")),
    ("ports_with_flows_are_not_silent", quiet("rx")),
    ("drops_are_accounted", whole(conservation={**ACCOUNT, "packets_dropped": 3})),
    ("lost_packets_are_drops", flow(packets_dropped=10)),
    ("wred_drops_are_drops", port(SW1, wred_dropped=4)),
    ("what_a_switch_sent_was_queued", port(SW1, queue_max_bytes=0)),
    ("what_a_switch_took_in_was_held", port(SW1, ingress_max_bytes=0)),
    ("headroom_is_part_of_ingress", port(SW1, headroom_max_bytes=99)),
    ("what_is_held_lies_somewhere", port(SW1, ingress_max_bytes=4096 + 5 + 7, headroom_max_bytes=6)),
    ("overrun_headroom_was_used", also(drops(SW1, headroom=2), port(SW1, headroom_max_bytes=0))),
    ("pauses_come_too_late_for_some", also(port(SW1, tx_pause=10), port(SW1, headroom_max_bytes=0))),
    ("both_ends_see_pauses", port(SW1, rx_pause=0)),
    ("both_ends_see_pauses", port(H1, tx_pause=0)),
    ("pauses_come_from_the_other_end", also(port(H1, tx_pause=[0] * 8), port(SW1, rx_pause=10))),
    ("a_stop_has_a_pause_frame", also(port(SW1, pause_transitions=1), port(SW1, rx_pause=0))),
    ("a_stop_takes_time", port(SW1, pause_transitions=1)),
    ("holding_a_peer_takes_pause_frames", port(SW1, tx_pause_duration_ps=[0] * 8)),
    ("the_watchdog_drops_in_storms", also(drops(SW1, watchdog=1), port(SW1, watchdog_detected=[0] * 8))),
    ("what_ended_had_begun", port(SW1, watchdog_detected=[0] * 8)),
    ("storms_end_or_last", also(port(SW1, watchdog_stormed=[0] * 8), port(SW1, watchdog_restored=0))),
    (
        "storms_end_or_last",
        also(
            port(SW1, watchdog_stormed=[0, 0, 0, 1, 0, 0, 0, 0]),
            port(SW1, watchdog_detected=5, watchdog_restored=5),
        ),
    ),
    ("marks_arrive", also(whole(conservation=ACCOUNT), port(SW1, ecn_marked=7))),
    ("marks_are_seen_at_both_ends", port(SW1, ecn_marked=10)),
    ("notifications_are_handled_or_ignored", nic(H1, cnp_received=1)),
    ("notifications_have_a_sender", nic(H1, cnp_received=10)),
    ("rnr_naks_have_a_sender", nic(H9, rnr_nak_sent=10)),
    ("rates_are_cut_for_notifications", flow(rate_cuts=1)),
    ("a_nic_counts_what_its_flows_do", nic(H1, local_ack_timeout=1)),
    ("all_nics_count_what_all_flows_do", flow(ecn_marked=1)),
    ("gaps_are_noticed", flow(packets_out_of_order=1)),
    ("repeated_requests_are_noticed", flow(packets_duplicate=1)),
    ("sending_again_has_a_cause", nic(H1, retransmitted_packets=1)),
    ("naks_have_a_sender", flow(naks_received=1)),
    ("naks_have_a_gap", nic(H1, packet_seq_err=10)),
    ("giving_up_is_counted", flow(status="failed", error="RETRY_EXC_ERR")),
    ("damaged_packets_are_dropped", nic(H9, icrc_errors=1)),
    ("discards_are_drops", nic(H9, rx_discards=1)),
    ("acknowledged_data_has_acknowledgements", nic(H9, acks_sent=0)),
    ("flows_keep_packets", flow(packets_delivered=1)),
    ("flows_have_packets_and_bytes", flow(packets_sent=0)),
    ("whole_messages_add_up", flow(bytes_acked=0)),
    ("what_is_done_was_carried", flow(messages_completed=0)),
    ("queue_pairs_add_up", flow(qps=[{"bytes_delivered": 1}])),
    ("times_agree", flow(fct_ps=0)),
    ("what_is_done_has_an_end", flow(end_ps=None)),
    ("runs_take_time", whole(end_ps=0)),
    ("latencies_are_in_order", latency(p99_ps=0)),
    ("latencies_are_in_order", latency(min_ps=0)),
    ("each_message_has_a_latency", latency(count=7)),
]

BREAKING_SERIES = [
    ("samples_are_not_negative", series(queue_bytes=(f"{SW1}/3", [-1.0] * 10))),
    ("samples_are_not_negative", series(ecn_marked=(SW1, [1, 0] + [1] * 8))),
    ("paused_samples_add_up_to_the_time", series(pause_fraction=(f"{SW1}/3", [1.0] * 10))),
    ("cuts_are_seen_in_the_rate", series(cc_rate_bps=(FLOW, [1e11] * 5 + [1e10] * 5))),
    ("marked_samples_end_at_the_counter", series(ecn_marked=(SW1, [9] * 10))),
    ("notification_samples_end_at_the_counter", series(cnp_sent=(H9, [9] * 10))),
    ("sampled_queues_are_below_their_peak", series(queue_bytes=(f"{SW1}/3", [9] * 10))),
    ("sampled_buffers_are_below_their_peak", series(shared_bytes=("sw1", [9] * 10))),
    (
        "buffers_and_queues_move_together",
        series(queue_bytes=(f"{SW1}/3", range(0, 10**6, 10**5)), shared_bytes=("sw1", FLAT)),
    ),
    ("goodput_samples_add_up_to_the_payload", series(goodput_bps=(FLOW, FLAT))),
    (
        "queue_pairs_add_up_to_their_flow",
        series(goodput_bps=(FLOW, [1e9] * 10), qp_goodput_bps=(f"{FLOW}[0]", [1e9] * 9 + [9e8])),
    ),
]


def broken(change=lambda raw: None, recorded=None, **options):
    raw = handmade.result(JOB, END_PS)
    raw["series"] = {"every_ps": EVERY_PS}
    raw["switches"] = {"sw1": {"shared_max_bytes": 5}}
    raw.update(options)
    change(raw)
    return {
        law.broken.__name__: places for law, places in broken_laws(Facts(JOB, copy.deepcopy(raw), recorded))
    }


def test_a_result_that_is_right_breaks_no_law():
    assert broken() == {}
    assert broken(simulated=False) == {}


@pytest.mark.parametrize(("name", "change"), BREAKING)
def test_each_law_of_counters_and_flows_can_be_broken(name, change):
    assert name in broken(change)


@pytest.mark.parametrize(("name", "recorded"), BREAKING_SERIES)
def test_each_law_of_series_can_be_broken(name, recorded):
    assert name in broken(recorded=recorded)


def test_no_law_is_without_a_case():
    assert {law.broken.__name__ for law in LAWS} == {name for name, _ in (*BREAKING, *BREAKING_SERIES)}
    assert all(law.says.endswith(".") and law.readings for law in LAWS)


def test_queue_pairs_that_add_up_break_no_law():
    rising = np.arange(1, 11) * 1e9
    recorded = series(goodput_bps=(FLOW, rising), qp_goodput_bps=(f"{FLOW}[0]", rising + 1e6))
    assert "queue_pairs_add_up_to_their_flow" not in broken(recorded=recorded)
    alone = series(qp_goodput_bps=(f"{FLOW}[0]", rising))
    assert "queue_pairs_add_up_to_their_flow" not in broken(recorded=alone)


def test_laws_of_hosts_are_only_those_that_need_a_clear_difference():
    assert broken(nic(H1, local_ack_timeout=1), simulated=False) == {}
    assert "notifications_have_a_sender" in broken(nic(H1, cnp_received=10), simulated=False)
    assert broken(nic(H1, cnp_received=9), simulated=False) == {}


def test_what_is_absent_breaks_no_law():
    assert broken(lambda raw: raw["ports"].clear()) == {}
    assert broken(every_port(drops=None)) == {}


def test_laws_that_read_something_else_are_left_out():
    raw = handmade.result(JOB, END_PS)
    raw["flows"][0]["fct_ps"] = 1
    assert list(broken_laws(Facts(JOB, raw), frozenset({"nic.cnp_sent"}))) == []
    assert len(list(broken_laws(Facts(JOB, raw), frozenset({"flow.fct_ps"})))) == 1
