"""Each defect of NICs changes what its description says, on a small job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.analysis.transport import ack_timeout_ps
from harness.tests.sim.defective import (
    LOSSLESS,
    MTU,
    PACKET_PS,
    both,
    impair,
    incast,
    marking,
    one_flow,
    prio_sum,
)
from harness.tests.sim.jobs import (
    MBPS,
    MS,
    US,
    Json,
    drops,
    flow,
    flow_of,
    leaf_spine,
    nic_of,
    rows,
    run,
    star,
)  # fmt: skip

PFC: Json = {"nic": {"pfc": LOSSLESS}, "switch": {"pfc": LOSSLESS}}
DCQCN: Json = {"algorithm": "dcqcn", "byte_counter_bytes": 10**12}


# ---- pause ----


def squeezed() -> Json:
    """An incast into a small buffer: h0 and h1 are paused over and over."""
    buffer = {"bytes": 300_000}
    nic = {"pfc": LOSSLESS, "cnp": {"mode": "none"}, "ack_timeout_exponent": 5}
    return incast(nic=nic, switch={"pfc": LOSSLESS, "buffer": buffer})


def test_pfc_ignored() -> None:
    healthy, broken = both(squeezed(), "pfc_ignored")
    assert drops(healthy) == {}
    assert prio_sum(healthy, "h0:p0", "rx_pause_duration_ps") > 0
    assert prio_sum(broken, "h0:p0", "rx_pause") > 0
    assert prio_sum(broken, "h0:p0", "rx_pause_duration_ps") == 0
    assert drops(broken)["headroom"] > 0


def test_pause_never_released() -> None:
    healthy, broken = both(squeezed(), "pause_never_released")
    assert healthy["ended"] == "done"
    assert broken["ended"] == "limit"
    for name in ("h0:p0", "h1:p0"):
        assert broken["ports"][name]["pause_transitions"][3] == 1
        assert broken["ports"][name]["rx_resume"][3] > 0
        assert broken["ports"][name]["rx_pause_duration_ps"][3] > 0.9 * broken["end_ps"]


def test_pause_wrong_priority() -> None:
    healthy, broken = both(squeezed(), "pause_wrong_priority")
    for result, held, free in ((healthy, 3, 4), (broken, 4, 3)):
        counters = result["ports"]["h0:p0"]
        assert counters["rx_pause"][3] > 0
        assert counters["rx_pause_duration_ps"][held] > 0
        assert counters["rx_pause_duration_ps"][free] == 0


def test_nic_pause_storm() -> None:
    healthy, broken = both(one_flow(20_000_000, **PFC), "nic_pause_storm")
    assert flow_of(healthy, "f")["status"] == "done"
    assert prio_sum(healthy, "s:e1", "rx_pause") == 0
    assert flow_of(broken, "f")["status"] == "failed"
    paused = broken["ports"]["s:e1"]["rx_pause_duration_ps"][3]
    assert paused > 0.9 * (broken["end_ps"] - MS // 2)


# ---- notification point ----


def notified(marks: Json, *, qps: int = 1, folder: Path | None = None, **nic: Any) -> Json:
    """Flow f with marked packets, at an endless line rate but for its reaction point."""
    more: Json = {} if folder is None else {"output_dir": str(folder), "trace": ["cc"]}
    nic = {"cc": DCQCN, **nic}
    return one_flow(5_000_000, flow_keys={"qps": qps}, nic=nic, events=[impair("mark", **marks)], **more)


def test_cnp_not_sent() -> None:
    healthy, broken = both(notified({"packets": [5]}), "cnp_not_sent")
    assert nic_of(healthy, "h1")["cnp_sent"] == 1
    assert nic_of(broken, "h1")["cnp_sent"] == 0
    assert nic_of(broken, "h1")["ecn_marked_rx"] == 1


def test_cnp_not_sent_nor_echoed() -> None:
    _, broken = both(notified({"packets": [5]}, cnp={"mode": "ack_echo"}), "cnp_not_sent")
    assert flow_of(broken, "f")["cnp_received"] == 0


def test_cnp_interval_ignored() -> None:
    """All packets are marked: one CNP each 50 µs, or one each packet."""
    work = notified({"fraction": 1.0}, cc={"algorithm": "none"}, cnp={"interval_ps": 50 * US})
    healthy, broken = both(work, "cnp_interval_ignored")
    assert flow_of(healthy, "f")["cnp_sent"] == pytest.approx(
        flow_of(healthy, "f")["fct_ps"] / (50 * US), abs=1
    )
    assert flow_of(broken, "f")["cnp_sent"] == flow_of(broken, "f")["ecn_marked"] == -(-5_000_000 // MTU)


def test_cnp_scope_port() -> None:
    """Two flows into one port, each marked all the time: each its CNPs, or one stream of them for the port."""
    flows = [flow(f"f{i}", f"h{i}", "h2", 2_000_000) for i in range(2)]
    events = [
        {"at_ps": 0, "kind": "impair", "flow": f"f{i}", "action": "mark", "fraction": 1.0} for i in range(2)
    ]
    work = star(3, flows, events=events)
    healthy, broken = both(work, "cnp_scope_port")
    sent = [nic_of(result, "h2")["cnp_sent"] for result in (healthy, broken)]
    assert sent[0] == pytest.approx(2 * sent[1], abs=2)


def test_cnp_in_data_queue() -> None:
    healthy, broken = both(notified({"packets": [5]}), "cnp_in_data_queue")
    for result, prio in ((healthy, 6), (broken, 3)):
        acks = nic_of(result, "h1")["acks_sent"]
        by_prio = result["ports"]["h1:p0"]["tx_packets_prio"]
        assert by_prio[prio] - (acks if prio == 3 else 0) == 1


def test_cnp_ignored() -> None:
    healthy, broken = both(notified({"packets": [5]}), "cnp_ignored")
    assert flow_of(healthy, "f")["rate_cuts"] == 1
    assert nic_of(healthy, "h0")["cnp_handled"] == 1
    assert flow_of(broken, "f")["cnp_received"] == nic_of(broken, "h0")["cnp_received"] == 1
    assert nic_of(broken, "h0")["cnp_ignored"] == 1
    assert nic_of(broken, "h0")["cnp_handled"] == flow_of(broken, "f")["rate_cuts"] == 0


# ---- reaction point ----

TIMED: Json = {"fast_recovery": 1, "rate_timer_ps": 20 * US, "rate_ai_bps": 40 * MBPS, "alpha_timer_ps": US}
FAST: Json = {
    "dcqcn": TIMED | {"clamp_target": True, "byte_counter_bytes": 0},
    "ns3": TIMED | {"clamp_target": True},
    "mlx5": {
        "rpg_threshold": 1, "rpg_time_reset_us": 20, "rpg_ai_rate_mbps": 40, "rpg_byte_reset": 0, "clamp_tgt_rate": True
    },
}  # fmt: skip


def reaction(algorithm: str, folder: Path) -> Json:
    """Two cuts at the beginning, 5 µs apart, then recovery."""
    keys = {"algorithm": algorithm, **FAST[algorithm]}
    return notified({"packets": [5, 60]}, cc=keys, cnp={"interval_ps": 0}, folder=folder)


@pytest.mark.parametrize("algorithm", FAST)
def test_rate_never_recovers(algorithm: str, tmp_path: Path) -> None:
    healthy, broken = both(reaction(algorithm, tmp_path), "rate_never_recovers")
    assert flow_of(healthy, "f")["rate_increases"] > 5
    assert flow_of(broken, "f")["rate_increases"] == 0
    assert flow_of(broken, "f")["rate_cuts"] >= 1
    assert flow_of(broken, "f")["fct_ps"] > flow_of(healthy, "f")["fct_ps"]


def test_rate_never_recovers_by_bytes_either() -> None:
    cc = {"algorithm": "dcqcn", "byte_counter_bytes": 100_000, "rate_timer_ps": 10**12}
    healthy, broken = both(notified({"packets": [5]}, cc=cc), "rate_never_recovers")
    assert flow_of(healthy, "f")["rate_increases"] > 5
    assert flow_of(broken, "f")["rate_increases"] == 0


@pytest.mark.parametrize("algorithm", FAST)
def test_rate_recovers_fast(algorithm: str, tmp_path: Path) -> None:
    """The time of the second increase after the cut, and by how much the first additive one raises the target."""
    work = reaction(algorithm, tmp_path)
    seen = []
    for defects in ([], ["rate_recovers_fast"]):
        run({**work, "defects": defects})
        events = rows(tmp_path / "cc_events.csv")
        cut = max(i for i, row in enumerate(events) if row[4] == "dec")
        first, second = events[cut + 1], events[cut + 2]
        assert (first[4], second[4]) == ("inc_fr", "inc_ai")
        seen.append((int(second[0]) - int(first[0]), int(second[5]) - int(first[5])))
    (times, raises) = zip(*seen, strict=True)
    assert times == (20 * US, 2 * US)
    assert raises == pytest.approx((40 * MBPS, 400 * MBPS), abs=1)


@pytest.mark.parametrize("algorithm", FAST)
def test_alpha_never_decays(algorithm: str, tmp_path: Path) -> None:
    """A cut long after the first ones is as deep as they were."""
    work = reaction(algorithm, tmp_path)
    work["flows"][0]["message_bytes"] = 20_000_000
    work["events"].append(impair("mark", packets=[10_000]))
    depth = []
    for defects in ([], ["alpha_never_decays"]):
        run({**work, "defects": defects})
        events = rows(tmp_path / "cc_events.csv")
        last = max(i for i, row in enumerate(events) if row[4] == "dec")
        before = next(row for row in reversed(events[:last]) if row[4] != "cnp")
        depth.append(1 - int(events[last][6]) / int(before[6]))
    assert depth[0] < 0.2
    assert depth[1] == pytest.approx(0.5, abs=0.01)


# ---- loss recovery ----


def dropped(packets: list[int], *, size: int = 1_000_000, verb: str = "write", **nic: Any) -> Json:
    return one_flow(size, flow_keys={"verb": verb}, nic=nic, events=[impair("drop", packets=packets)])


def again(result: Json) -> int:
    return int(flow_of(result, "f")["packets_retransmitted"])


def test_go_back_0() -> None:
    healthy, broken = both(dropped([500]), "go_back_0")
    assert again(healthy) < 100
    assert again(broken) > 500


def test_selective_repeat_goes_back() -> None:
    healthy, broken = both(dropped([500], loss_recovery="selective_repeat"), "selective_repeat_goes_back")
    assert again(healthy) == 1
    assert again(broken) > 20


@pytest.mark.parametrize("recovery", ["go_back_n", "selective_repeat"])
def test_nak_storm(recovery: str) -> None:
    healthy, broken = both(dropped([500], loss_recovery=recovery), "nak_storm")
    assert flow_of(healthy, "f")["naks_sent"] == 1
    f = flow_of(broken, "f")
    assert f["naks_sent"] == f["packets_out_of_order"] > 20
    assert f["status"] == "done"


@pytest.mark.parametrize("recovery", ["go_back_n", "selective_repeat"])
def test_nak_not_sent(recovery: str) -> None:
    healthy, broken = both(dropped([500], loss_recovery=recovery), "nak_not_sent")
    assert (flow_of(healthy, "f")["naks_sent"], flow_of(healthy, "f")["timeouts"]) == (1, 0)
    assert (flow_of(broken, "f")["naks_sent"], flow_of(broken, "f")["timeouts"]) == (0, 1)
    assert flow_of(broken, "f")["fct_ps"] > ack_timeout_ps(8) > flow_of(healthy, "f")["fct_ps"]


def test_ack_timeout_x16() -> None:
    """The last packet is lost: nothing but the timer finds it."""
    work = dropped([976], ack_timeout_exponent=6)
    healthy, broken = both(work, "ack_timeout_x16")
    longer = flow_of(broken, "f")["fct_ps"] - flow_of(healthy, "f")["fct_ps"]
    once = ack_timeout_ps(6)
    assert once is not None
    assert longer == 15 * once


def test_retries_ignored() -> None:
    """Lost twice at its end: the second timeout is one too many for retry_count 1, the first for a defective NIC."""
    healthy, broken = both(dropped([976], retry_count=7), "retries_ignored")
    assert flow_of(healthy, "f")["status"] == "done"
    assert flow_of(broken, "f")["error"] == "RETRY_EXC_ERR"
    assert flow_of(broken, "f")["timeouts"] == 1


def starved(repost_ps: int, **nic: Any) -> Json:
    """Two sends for one receive, posted again after a while, or never (0)."""
    keys = {"verb": "send", "messages": 2, "recv_depth": 1, "recv_repost_ps": repost_ps}
    return one_flow(1024, flow_keys=keys, nic={"rnr_timer": 12, **nic})


def test_rnr_timer_ignored() -> None:
    """640 µs were asked for (code 12); at once means each round trip until the receive is back."""
    healthy, broken = both(starved(100 * US), "rnr_timer_ignored")
    assert flow_of(healthy, "f")["rnr_naks_received"] == 1
    assert flow_of(healthy, "f")["fct_ps"] > 640 * US
    assert flow_of(broken, "f")["rnr_naks_received"] > 10
    assert flow_of(broken, "f")["fct_ps"] < 110 * US


def test_rnr_retry_ignored() -> None:
    healthy, broken = both(starved(20 * MS, rnr_retry=2), "rnr_retry_ignored")
    assert flow_of(healthy, "f")["error"] == "RNR_RETRY_EXC_ERR"
    assert flow_of(healthy, "f")["rnr_naks_received"] == 3
    assert flow_of(broken, "f")["status"] == "done"
    assert flow_of(broken, "f")["rnr_naks_received"] > 10


def test_read_response_lost_silently() -> None:
    healthy, broken = both(dropped([500], verb="read"), "read_response_lost_silently")
    assert nic_of(healthy, "h0")["implied_nak_seq_err"] == 1
    assert flow_of(healthy, "f")["timeouts"] == 0
    assert nic_of(broken, "h0")["implied_nak_seq_err"] == 0
    assert flow_of(broken, "f")["timeouts"] == 1


# ---- delivery ----


@pytest.mark.parametrize("verb", ["write", "read"])
def test_duplicate_delivered(verb: str) -> None:
    work = one_flow(100_000, flow_keys={"verb": verb}, events=[impair("duplicate", packets=[10, 20])])
    healthy, broken = both(work, "duplicate_delivered")
    assert flow_of(healthy, "f")["bytes_delivered"] == 100_000
    assert flow_of(broken, "f")["bytes_delivered"] == 100_000 + 2 * MTU
    assert flow_of(broken, "f")["bytes_sent"] == 100_000


@pytest.mark.parametrize(
    ("verb", "transport", "recovery"),
    [
        ("write", "rc", "go_back_n"),
        ("write", "rc", "selective_repeat"),
        ("read", "rc", "go_back_n"),
        ("write", "uc", "go_back_n"),
    ],
)
def test_corrupt_delivered(verb: str, transport: str, recovery: str) -> None:
    keys = {"verb": verb, "transport": transport}
    events = [impair("corrupt", packets=[10, 20])]
    work = one_flow(100_000, flow_keys=keys, nic={"loss_recovery": recovery}, events=events)
    healthy, broken = both(work, "corrupt_delivered")
    assert sum(nic_of(healthy, name)["icrc_errors"] for name in ("h0", "h1")) == 2
    assert flow_of(healthy, "f")["payload_mismatched_bytes"] == 0
    assert sum(nic_of(broken, name)["icrc_errors"] for name in ("h0", "h1")) == 0
    assert flow_of(broken, "f")["payload_mismatched_bytes"] == 2 * MTU
    assert flow_of(broken, "f")["payload_verified_bytes"] == 100_000 - 2 * MTU
    assert flow_of(broken, "f")["bytes_delivered"] == 100_000
    assert flow_of(broken, "f")["packets_retransmitted"] == 0


def test_mtu_halved() -> None:
    healthy, broken = both(one_flow(102_400), "mtu_halved")
    assert flow_of(healthy, "f")["packets_sent"] == 100
    assert flow_of(broken, "f")["packets_sent"] == 200


# ---- hosts ----


@pytest.mark.parametrize("pfc", [True, False])
def test_slow_receiver(pfc: bool) -> None:
    """40 % of line rate, by pauses when there is PFC and by loss when there is none."""
    healthy, broken = both(one_flow(10_000_000, **(PFC if pfc else {})), "slow_receiver")
    slower = flow_of(broken, "f")["fct_ps"] / flow_of(healthy, "f")["fct_ps"]
    # the first megabyte at most is taken at line rate
    assert 2.0 < slower < (2.5 if pfc else 20)
    assert (prio_sum(broken, "h1:p0", "tx_pause") > 0) is pfc
    assert (nic_of(broken, "h1")["rx_discards"] > 0) is not pfc


def test_slow_sender() -> None:
    flows = [flow("f", "h0", "h2", 1_000_000, qps=3), flow("other", "h1", "h3", 1_000_000)]
    healthy, broken = both(star(4, flows), "slow_sender")
    slower = [flow_of(broken, name)["fct_ps"] / flow_of(healthy, name)["fct_ps"] for name in ("f", "other")]
    assert slower == [pytest.approx(1 / 0.4, rel=0.03), 1]


def test_late_start() -> None:
    flows = [flow("f", "h0", "h2", 1000, start_ps=US), flow("other", "h1", "h3", 1000)]
    _, broken = both(star(4, flows), "late_start")
    assert flow_of(broken, "f")["start_ps"] == 20 * MS + US
    assert flow_of(broken, "other")["start_ps"] == 0


def test_udp_sport_constant() -> None:
    flows = [flow("f", "h0", "h1", 1000, qps=4), flow("asked", "h1", "h0", 1000, qps=2, udp_sport=50_000)]
    work = leaf_spine(2, 2, 1, flows)
    healthy, broken = both(work, "udp_sport_constant")
    ports = [
        {qp["udp_sport"] for one in result["flows"] for qp in one["qps"]} for result in (healthy, broken)
    ]
    assert len(ports[0]) == 6
    assert len(ports[1]) == 1


def test_ordering_lost_dependency() -> None:
    flows = [flow("f", "h0", "h1", 100_000), flow("then", "h1", "h0", 1000, after=["f"], after_delay_ps=MS)]
    healthy, broken = both(star(2, flows), "ordering_lost_dependency")
    assert flow_of(healthy, "then")["start_ps"] > MS + 98 * PACKET_PS
    assert flow_of(broken, "then")["start_ps"] == 0


def test_a_slow_receiver_does_not_care_for_events_of_speed() -> None:
    """Nor does a drain_rate event make it as fast as the link again."""
    events = [{"at_ps": US, "kind": "drain_rate", "port": "h1:p0", "rate_bps": 0}]
    _, broken = both(one_flow(10_000_000, events=events, **PFC), "slow_receiver")
    assert flow_of(broken, "f")["fct_ps"] > 10_000_000 * 8 * 10 * 2
    assert drops(broken) == {}


def test_marks_still_reach_a_sender_that_ignores_them() -> None:
    """With a marking switch: the queue grows, CNPs come, the rate stays."""
    work = incast(switch={"ecn": marking()}, nic={"cc": DCQCN})
    healthy, broken = both(work, "cnp_ignored")
    assert sum(one["rate_cuts"] for one in healthy["flows"]) > 0
    assert sum(one["rate_cuts"] for one in broken["flows"]) == 0
    depth = [max(result["ports"]["s:e2"]["queue_max_bytes"]) for result in (healthy, broken)]
    assert depth[1] > depth[0]
    assert nic_of(broken, "h0")["cnp_received"] > 0
