"""Notification point: how many CNPs, when, for whom, on which priority, and who obeys them."""

from __future__ import annotations

import pytest

from harness.analysis.dcqcn import cnps_expected
from harness.analysis.transport import Hop, Wire, delivery_ps
from harness.tests.sim.jobs import GBPS, US, Json, flow, flow_of, nic_of, run, star

CNP_FRAME = 14 + 20 + 8 + 12 + 16 + 4 + 4
"""Ethernet, IPv4, UDP, BTH, 16 reserved bytes, ICRC, FCS (RoCEv2 annex A17.9.3): 78 bytes."""
PACKETS = 400
SIZE = PACKETS * 1024


def mark_all(*names: str) -> list[Json]:
    return [
        {"at_ps": 0, "kind": "impair", "flow": name, "action": "mark", "fraction": 1.0, "qp": qp}
        for name, qps in (name.split("/") if "/" in name else (name, "1") for name in names)
        for qp in range(int(qps))
    ]


def arrivals(packets: int, qps: int = 1) -> list[list[int]]:
    """Arrival times of the packets of each QP of a flow over two links of 100 Gb/s: round robin, back to back."""
    wire = Wire()
    sizes = [wire.data(1024, 16 if i < qps else 0) for i in range(packets)]
    times = delivery_ps(sizes, [Hop(100 * GBPS, US)] * 2)
    return [times[i::qps] for i in range(qps)]


@pytest.mark.parametrize("interval", [0, 2 * US, 4 * US, 50 * US])
def test_cnps_leave_at_most_once_an_interval(interval: int) -> None:
    result = run(
        star(2, [flow("f", "h0", "h1", SIZE)], nic={"cnp": {"interval_ps": interval}}, events=mark_all("f"))
    )
    expected = cnps_expected(arrivals(PACKETS)[0], interval)
    assert flow_of(result, "f")["ecn_marked"] == PACKETS
    assert flow_of(result, "f")["cnp_sent"] == expected
    assert nic_of(result, "h1")["cnp_sent"] == nic_of(result, "h0")["cnp_received"] == expected


@pytest.mark.parametrize("scope", ["qp", "ip_pair", "port"])
def test_the_scope_of_the_interval_over_qps_of_one_pair(scope: str) -> None:
    qps, interval = 4, 4 * US
    work = star(
        2, [flow("f", "h0", "h1", SIZE // qps, qps=qps)],
        nic={"cnp": {"interval_ps": interval, "scope": scope}}, events=mark_all(f"f/{qps}"),
    )  # fmt: skip
    times = arrivals(PACKETS, qps)
    by_qp = sum(cnps_expected(one, interval) for one in times)
    together = cnps_expected(sorted(t for one in times for t in one), interval)
    assert by_qp > 3 * together
    assert flow_of(run(work), "f")["cnp_sent"] == (by_qp if scope == "qp" else together)


@pytest.mark.parametrize("scope", ["qp", "ip_pair", "port"])
def test_the_scope_of_the_interval_over_two_senders(scope: str) -> None:
    """Two senders at 40 Gb/s each, never queueing for long: their arrivals are known from each alone."""
    interval = 10 * US
    flows = [flow(f"f{i}", f"h{i}", "h2", SIZE, start_ps=i * 3 * US) for i in range(2)]
    work = star(
        3, flows, rates={0: 40 * GBPS, 1: 40 * GBPS},
        nic={"cnp": {"interval_ps": interval, "scope": scope}}, events=mark_all("f0", "f1"),
    )  # fmt: skip
    result = run(work)
    sent = [flow_of(result, f"f{i}")["cnp_sent"] for i in range(2)]
    times = arrivals(PACKETS)[0]
    alone = cnps_expected([t * 5 // 2 for t in times], interval)
    if scope == "port":
        assert sum(sent) in range(alone, alone + 2)
    else:
        assert sent == [pytest.approx(alone, abs=1)] * 2


def test_cnps_travel_as_frames_of_their_own_priority() -> None:
    work = star(
        2, [flow("f", "h0", "h1", SIZE)], nic={"cnp": {"interval_ps": 0, "priority": 5}}, events=mark_all("f")
    )
    ports = run(work)["ports"]
    assert ports["h1:p0"]["tx_packets_prio"][5] == PACKETS
    assert ports["h1:p0"]["tx_bytes_prio"][5] == PACKETS * CNP_FRAME
    assert ports["h0:p0"]["rx_packets_prio"][5] == PACKETS
    assert ports["h1:p0"]["tx_packets_prio"][3] == PACKETS  # the ACKs keep the flow's priority


def test_ack_priority_moves_the_acks() -> None:
    work = star(2, [flow("f", "h0", "h1", SIZE)], nic={"ack": {"priority": 6}})
    ports = run(work)["ports"]
    assert ports["h1:p0"]["tx_packets_prio"][6] == PACKETS
    assert ports["h1:p0"]["tx_packets_prio"][3] == 0


def test_echo_mode_answers_each_mark_in_its_own_ack() -> None:
    events = [{"at_ps": 0, "kind": "impair", "flow": "f", "action": "mark", "packets": [3, 4, 90]}]
    result = run(star(2, [flow("f", "h0", "h1", SIZE)], nic={"cnp": {"mode": "ack_echo"}}, events=events))
    counts = flow_of(result, "f")
    assert counts["ecn_marked"] == counts["cnp_sent"] == counts["cnp_received"] == 3
    assert result["ports"]["h1:p0"]["tx_packets"] == PACKETS  # no packet beside the ACKs


def test_mode_none_says_nothing() -> None:
    result = run(star(2, [flow("f", "h0", "h1", SIZE)], nic={"cnp": {"mode": "none"}}, events=mark_all("f")))
    counts = flow_of(result, "f")
    assert counts["ecn_marked"] == PACKETS
    assert counts["cnp_sent"] == counts["cnp_received"] == 0


@pytest.mark.parametrize(
    ("algorithm", "handled"), [("dcqcn", True), ("mlx5", True), ("ns3", True), ("none", False)]
)
def test_handled_and_ignored_notifications_are_counted_apart(algorithm: str, handled: bool) -> None:
    work = star(2, [flow("f", "h0", "h1", SIZE)], nic={"cc": {"algorithm": algorithm}}, events=mark_all("f"))
    nic = nic_of(run(work), "h0")
    counted = nic["cnp_handled"] if handled else nic["cnp_ignored"]
    assert counted == nic["cnp_received"] > 0
    assert nic["cnp_handled"] + nic["cnp_ignored"] == nic["cnp_received"]


def test_no_mark_no_notification() -> None:
    result = run(star(2, [flow("f", "h0", "h1", SIZE)]))
    assert flow_of(result, "f")["cnp_sent"] == flow_of(result, "f")["ecn_marked"] == 0
