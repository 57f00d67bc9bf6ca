"""DSCP: what switches sort by, hop by hop, and what hosts make of it.

Sources: RFC 2474 for class selectors; IEEE 802.1Qbb for priorities of pause frames; vendors' "trust DSCP".
"""

from __future__ import annotations

import pytest

from harness.tests.sim.jobs import MS, US, Json, chain, flow, flow_of, nic_of, run, run_text, star

DEFAULT_DSCP = (0, 8, 16, 26, 34, 46, 48, 56)


def table(**changed: int) -> list[int]:
    """The default map with some code points changed: d26=5."""
    return [changed.get(f"d{dscp}", dscp >> 3) for dscp in range(64)]


def packets(result: Json, port: str, key: str = "rx_packets_prio") -> dict[int, int]:
    """Packets by priority, those without any left out."""
    return {prio: count for prio, count in enumerate(result["ports"][port][key]) if count}


@pytest.mark.parametrize("priority", range(8))
def test_each_priority_has_a_dscp_of_its_class(priority: int) -> None:
    told = star(2, [flow("f", "h0", "h1", 5000, priority=priority, dscp=DEFAULT_DSCP[priority])])
    untold = star(2, [flow("f", "h0", "h1", 5000, priority=priority)])
    assert run_text(told) == run_text(untold)
    assert packets(run(untold), "s:e0") == {priority: 5}


@pytest.mark.parametrize(("dscp", "priority"), [(0, 0), (7, 0), (8, 1), (26, 3), (46, 5), (63, 7)])
def test_a_switch_sorts_by_class_selector_unless_told_otherwise(dscp: int, priority: int) -> None:
    result = run(star(2, [flow("f", "h0", "h1", 5000, dscp=dscp)]))
    assert packets(result, "s:e0") == packets(result, "s:e1", "tx_packets_prio") == {priority: 5}
    # the host queues by the flow's priority, and counts what comes by the class selector
    assert packets(result, "h0:p0", "tx_packets_prio") == {3: 5}
    assert packets(result, "h1:p0") == {priority: 5}


def test_each_switch_sorts_for_itself() -> None:
    work = chain(2, [flow("f", "h0", "h1", 5000, dscp=26)])
    work["nodes"][2]["switch"] = {"dscp_map": table(d26=5)}
    work["nodes"][3]["switch"] = {"dscp_map": table(d26=1)}
    result = run(work)
    assert packets(result, "s0:r", "tx_packets_prio") == {5: 5}
    assert packets(result, "s1:l") == packets(result, "s1:r", "tx_packets_prio") == {1: 5}
    assert packets(result, "h1:p0") == {3: 5}


def test_acks_have_the_dscp_of_the_flow_and_cnps_that_of_their_priority() -> None:
    marks = [{"at_ps": 0, "kind": "impair", "flow": "f", "action": "mark", "packets": [0]}]
    work = star(2, [flow("f", "h0", "h1", 5000, dscp=40)], events=marks)
    result = run(work)
    assert nic_of(result, "h1")["cnp_sent"] == 1
    assert packets(result, "s:e1") == {5: nic_of(result, "h1")["acks_sent"], 6: 1}


def test_acks_with_a_priority_of_their_own_have_its_dscp() -> None:
    result = run(star(2, [flow("f", "h0", "h1", 5000, dscp=40)], nic={"ack": {"priority": 2}}))
    assert packets(result, "s:e1") == {2: nic_of(result, "h1")["acks_sent"]}


def test_a_pause_names_the_priority_found() -> None:
    """Sorted into 4, which is lossless: its sender pauses 4, its flow is in 3 and does not stop."""
    flows = [flow(f"f{i}", f"h{i}", "h2", 1_000_000, dscp=26) for i in range(2)]
    lossless = {"priorities": [3, 4]}
    work = star(
        3, flows, nic={"pfc": lossless, "ack_timeout_exponent": 6},
        switch={"pfc": lossless, "dscp_map": table(d26=4), "buffer": {"bytes": 300_000}},
    )  # fmt: skip
    result = run(work)
    pauses = result["ports"]["h0:p0"]["rx_pause"]
    assert pauses[3] == 0
    assert pauses[4] > 0
    assert result["ports"]["s:e0"]["drops"]["headroom"] > 0


def test_marking_and_scheduling_go_by_the_priority_found() -> None:
    ecn = {
        "priorities": [4],
        "profiles": [{"rate_bps": 0, "kmin_bytes": 5000, "kmax_bytes": 5000, "pmax": 1.0}],
    }
    flows = [flow(f"f{i}", f"h{i}", "h2", 500_000, dscp=34) for i in range(2)]
    result = run(star(3, flows, switch={"ecn": ecn}, nic={"cnp": {"mode": "none"}}))
    marked = result["ports"]["s:e2"]["ecn_marked"]
    assert marked[3] == 0
    assert marked[4] > 0
    assert result["ports"]["s:e2"]["queue_max_bytes"][4] > 5000


def test_a_qos_event_changes_the_map() -> None:
    """1 MB takes 88 µs; from 40 µs on it is sorted elsewhere, and nothing is lost."""
    event = {"at_ps": 40 * US, "kind": "qos", "node": "s", "switch": {"dscp_map": table(d26=1)}}
    result = run(star(2, [flow("f", "h0", "h1", 1_000_000)], events=[event]))
    found = packets(result, "s:e0")
    assert set(found) == {1, 3}
    assert sum(found.values()) == 977
    assert flow_of(result, "f")["packets_retransmitted"] <= found[1]
    assert flow_of(result, "f")["fct_ps"] < MS
