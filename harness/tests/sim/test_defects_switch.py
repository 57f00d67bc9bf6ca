"""Each defect of switches, links and counters changes what its description says, on a small job."""

from __future__ import annotations

from typing import Any

import pytest

from harness.tests.sim.defective import (
    FRAME,
    LOSSLESS,
    both,
    impair,
    incast,
    marking,
    one_flow,
    prio_sum,
    storm,
)
from harness.tests.sim.jobs import (
    GBPS,
    MS,
    US,
    Json,
    drops,
    flow,
    flow_of,
    host,
    job,
    leaf_spine,
    link,
    nic_of,
    run,
    star,
    switch,
)  # fmt: skip

NO_CC: Json = {"cnp": {"mode": "none"}}
SHAPED: Json = {"weights": [1, 1, 1, 3, 1, 1, 1, 1], "strict": [6, 7]}


def marked(result: Json, port: str = "s:e2") -> int:
    return prio_sum(result, port, "ecn_marked")


# ---- marking ----


def test_marking_off() -> None:
    healthy, broken = both(incast(switch={"ecn": marking()}, nic=NO_CC), "marking_off")
    assert marked(healthy) > 0
    assert marked(broken) == 0


def test_marking_off_drops_nothing_by_wred_either() -> None:
    work = incast(switch={"ecn": marking(wred_drop=True)}, nic=NO_CC, flow_keys={"ect": False})
    healthy, broken = both(work, "marking_off")
    assert drops(healthy)["wred"] > 0
    assert drops(broken) == {}


def test_marking_wrong_queue() -> None:
    """Priority 4 is marked for the queue of priority 3 beside it, which is not marked at all."""
    flows = [flow(f"f{i}", f"h{i}", "h3", 2_000_000) for i in range(2)]
    flows.append(flow("other", "h2", "h3", 200_000, priority=4, rate_bps=5 * GBPS))
    ecn = marking() | {"priorities": [4]}
    healthy, broken = both(star(4, flows, switch={"ecn": ecn}, nic=NO_CC), "marking_wrong_queue")
    assert marked(healthy, "s:e3") == 0
    assert marked(broken, "s:e3") > 0


@pytest.mark.parametrize(("defect", "factor"), [("thresholds_x10", 10), ("thresholds_div10", 0.1)])
def test_thresholds(defect: str, factor: float) -> None:
    """A step profile marks what is left behind above it: all but K bytes up and K bytes down (test_marking)."""
    k = 60_000
    work = incast(switch={"ecn": marking(k, k, 1.0)}, nic=NO_CC)
    packets = 2 * -(-2_000_000 // 1024)
    for result, step in zip(both(work, defect), (k, k * factor), strict=True):
        assert packets - marked(result) == pytest.approx(2 * step / FRAME, abs=6)


def test_marking_at_enqueue() -> None:
    """At enqueue a packet is marked for what is before it: while the queue drains nothing comes to be marked."""
    k = 100_000
    work = incast(switch={"ecn": marking(k, k, 1.0)}, nic=NO_CC)
    healthy, broken = both(work, "marking_at_enqueue")
    told = run(incast(switch={"ecn": marking(k, k, 1.0, mark_at="enqueue")}, nic=NO_CC))
    assert marked(broken) == marked(told)
    assert marked(broken) != marked(healthy)


def test_wred_drops_ect() -> None:
    healthy, broken = both(incast(switch={"ecn": marking()}, nic=NO_CC), "wred_drops_ect")
    assert marked(healthy) > 0
    assert drops(healthy) == {}
    assert marked(broken) == 0
    assert drops(broken)["wred"] > 0


# ---- pause ----


def pausing(**more: Any) -> Json:
    """An incast that lives from pause frames."""
    buffer = {"bytes": 2_000_000, **more.pop("buffer", {})}
    return incast(nic={"pfc": LOSSLESS, **NO_CC}, switch={"pfc": LOSSLESS, "buffer": buffer}, **more)


def test_pause_not_sent() -> None:
    healthy, broken = both(pausing(buffer={"bytes": 300_000}), "pause_not_sent")
    assert prio_sum(healthy, "s:e0", "tx_pause") > 0
    assert drops(healthy) == {}
    assert prio_sum(broken, "s:e0", "tx_pause") == 0
    assert drops(broken)["headroom"] > 0


def test_pause_hits_lossy() -> None:
    """A storm on priority 3 stops priority 0 of a switch that takes it for a global pause."""
    flows = [flow("f", "h0", "h1", 100_000), flow("lossy", "h0", "h1", 100_000, priority=0)]
    work = star(2, flows, nic={"pfc": LOSSLESS}, switch={"pfc": LOSSLESS}, events=[storm(duration_ps=MS)])
    healthy, broken = both(work, "pause_hits_lossy")
    assert flow_of(healthy, "lossy")["fct_ps"] < 100 * US
    assert flow_of(broken, "lossy")["fct_ps"] > MS
    assert healthy["ports"]["s:e1"]["rx_pause_duration_ps"][0] == 0
    assert broken["ports"]["s:e1"]["rx_pause_duration_ps"][0] > MS // 2


def test_headroom_small() -> None:
    healthy, broken = both(pausing(buffer={"alpha": 0.01}), "headroom_small")
    assert drops(healthy) == {}
    assert drops(broken)["headroom"] > 0


def test_xon_hysteresis_off() -> None:
    healthy, broken = both(pausing(buffer={"xon_offset_bytes": 100_000}), "xon_hysteresis_off")
    assert prio_sum(broken, "s:e0", "tx_pause") > 2 * prio_sum(healthy, "s:e0", "tx_pause")


def watched() -> Json:
    """A storm of 2 ms on a flow of 4 ms, and a watchdog."""
    dog = {"detect_ps": 400 * US, "restore_ps": 400 * US, "poll_ps": 10 * US, "action": "drop"}
    return star(
        2, [flow("f", "h0", "h1", 50_000_000)],
        nic={"pfc": LOSSLESS, "ack_timeout_exponent": 8},
        switch={"pfc": {**LOSSLESS, "watchdog": dog}}, events=[storm(100 * US, 2 * MS)],
    )  # fmt: skip


def test_watchdog_early() -> None:
    healthy, broken = both(watched(), "watchdog_early")
    for result, detect in ((healthy, 400 * US), (broken, 100 * US)):
        assert prio_sum(result, "s:e1", "watchdog_detected") == 1
        assert prio_sum(result, "s:e1", "rx_pause_duration_ps") == pytest.approx(detect, abs=11 * US)


def test_watchdog_never() -> None:
    healthy, broken = both(watched(), "watchdog_never")
    assert prio_sum(healthy, "s:e1", "watchdog_detected") == 1
    assert prio_sum(broken, "s:e1", "watchdog_detected") == 0
    assert prio_sum(broken, "s:e1", "rx_pause_duration_ps") > 1.9 * MS


def test_watchdog_never_restores() -> None:
    healthy, broken = both(watched(), "watchdog_never_restores")
    assert prio_sum(healthy, "s:e1", "watchdog_restored") == 1
    assert flow_of(healthy, "f")["status"] == "done"
    assert prio_sum(broken, "s:e1", "watchdog_restored") == 0
    assert flow_of(broken, "f")["status"] == "failed"


# ---- buffer ----


def test_buffer_leak() -> None:
    healthy, broken = both(incast(nic=NO_CC), "buffer_leak")
    assert healthy["switches"]["s"]["shared_end_bytes"] == 0
    lost = broken["switches"]["s"]["shared_end_bytes"]
    # a sixteenth of the four megabytes, but for what lay in the reserve
    assert lost == pytest.approx(4_000_000 / 16, rel=0.2)


def test_buffer_static() -> None:
    """One busy port of three takes 1/3 of the buffer; by the dynamic threshold alpha / (1 + alpha) of it."""
    work = pausing(buffer={"alpha": 8, "bytes": 1_000_000}, size=8_000_000)
    work["links"][2]["rate_bps"] = 25 * GBPS
    work["flows"] = work["flows"][:1]
    healthy, broken = both(work, "buffer_static")
    top = [result["switches"]["s"]["shared_max_bytes"] for result in (healthy, broken)]
    headroom = max(max(one["headroom_max_bytes"]) for one in healthy["ports"].values())
    assert headroom > 0
    assert top[1] / top[0] == pytest.approx((1 / 3) / (8 / 9), rel=0.03)


# ---- sorting and scheduling ----


def test_dscp_wrong_priority() -> None:
    healthy, broken = both(one_flow(10_000), "dscp_wrong_priority")
    assert [healthy["ports"]["s:e0"]["rx_packets_prio"][i] for i in (3, 4)] == [10, 0]
    assert [broken["ports"]["s:e0"]["rx_packets_prio"][i] for i in (3, 4)] == [0, 10]


def test_dscp_wrong_priority_follows_the_map() -> None:
    table = [0] * 64
    table[40] = 3
    work = one_flow(10_000, flow_keys={"dscp": 40}, switch={"dscp_map": table})
    healthy, broken = both(work, "dscp_wrong_priority")
    assert [healthy["ports"]["s:e0"]["rx_packets_prio"][i] for i in (3, 4)] == [10, 0]
    assert [broken["ports"]["s:e0"]["rx_packets_prio"][i] for i in (3, 4)] == [0, 10]


def test_ets_not_work_conserving() -> None:
    """Weight 3 of 8 is what a class that is alone gets."""
    work = one_flow(2_000_000, nic={"scheduler": SHAPED}, switch={"scheduler": SHAPED})
    healthy, broken = both(work, "ets_not_work_conserving")
    slower = flow_of(broken, "f")["fct_ps"] / flow_of(healthy, "f")["fct_ps"]
    assert slower == pytest.approx(8 / 3, rel=0.02)


def classes(**flow_keys: Json) -> Json:
    """Flows of priorities 3, 4 and 6 from hosts of their own compete for 2 ms at s:e3."""
    flows = [
        flow(f"p{prio}", f"h{i}", "h3", 1_000_000, messages=0, priority=prio, **flow_keys.get(f"p{prio}", {}))
        for i, prio in enumerate((3, 4, 6))
    ]
    return star(
        4, flows, switch={"scheduler": SHAPED}, nic=NO_CC, until="duration", duration_ps=2 * MS,
    )  # fmt: skip


def test_ets_weights_ignored() -> None:
    work = classes()
    work["flows"] = work["flows"][:2]
    shares = [
        flow_of(result, "p3")["bytes_delivered"] / flow_of(result, "p4")["bytes_delivered"]
        for result in both(work, "ets_weights_ignored")
    ]
    assert shares == [pytest.approx(3, rel=0.05), pytest.approx(1, rel=0.05)]


def test_strict_starved() -> None:
    healthy, broken = both(classes(), "strict_starved")
    assert flow_of(healthy, "p6")["bytes_delivered"] > 20_000_000
    assert flow_of(healthy, "p3")["bytes_delivered"] < 1_000_000
    assert flow_of(broken, "p6")["bytes_delivered"] < 1_000_000
    assert flow_of(broken, "p3")["bytes_delivered"] > 15_000_000


# ---- links ----


def test_link_half_rate() -> None:
    healthy, broken = both(one_flow(), "link_half_rate")
    assert broken["ports"]["h0:p0"]["rate_bps"] == healthy["ports"]["h0:p0"]["rate_bps"] == 100 * GBPS
    slower = flow_of(broken, "f")["fct_ps"] / flow_of(healthy, "f")["fct_ps"]
    assert slower == pytest.approx(2, rel=0.06)


def test_bit_errors() -> None:
    """10 MB over two links: 2 · 9766 frames of 8.7 kbit lose 17 at 1e-7, within four standard deviations."""
    healthy, broken = both(one_flow(10_000_000), "bit_errors")
    assert drops(healthy) == {}
    sent = broken["ports"]["h0:p0"]["tx_packets"] + broken["ports"]["s:e1"]["tx_packets"]
    expected = sent * FRAME * 8 * 1e-7
    assert drops(broken)["bit_error"] == pytest.approx(expected, abs=4 * expected**0.5)


def test_latency_extra() -> None:
    """A single packet: 5 µs on its way, 5 µs for its ACK."""
    healthy, broken = both(one_flow(1024), "latency_extra")
    assert flow_of(broken, "f")["fct_ps"] - flow_of(healthy, "f")["fct_ps"] == 10 * US


def test_latency_extra_costs_no_lossless_frame() -> None:
    """The buffer counts a frame when it comes, so that the headroom still is enough."""
    _, broken = both(pausing(), "latency_extra")
    assert drops(broken) == {}
    assert prio_sum(broken, "s:e0", "tx_pause") > 0


def flap(port: str) -> list[Json]:
    return [
        {"at_ps": 20 * US, "kind": "link_down", "port": port},
        {"at_ps": 120 * US, "kind": "link_up", "port": port},
    ]


def test_link_stays_down() -> None:
    healthy, broken = both(one_flow(events=flap("h1:p0")), "link_stays_down")
    assert flow_of(healthy, "f")["status"] == "done"
    assert flow_of(broken, "f")["status"] == "failed"


# ---- paths ----


def uplinks(result: Json, spines: int = 2) -> list[int]:
    return [result["ports"][f"l0:u{j}"]["tx_packets"] for j in range(spines)]


def test_ecmp_polarised() -> None:
    work = leaf_spine(2, 2, 1, [flow("f", "h0", "h1", 100_000, qps=16)])
    healthy, broken = both(work, "ecmp_polarised")
    assert min(uplinks(healthy)) > 0
    assert uplinks(broken)[1] == 0


def test_route_stale() -> None:
    """What was sent towards the dead spine is dropped at its port for ever; healthy leaves take the other."""
    work = leaf_spine(2, 2, 1, [flow("f", "h0", "h1", 2_000_000, qps=4)], nic={"ack_timeout_exponent": 5})
    work["events"] = [{"at_ps": 20 * US, "kind": "link_down", "port": "l0:u0"}]
    healthy, broken = both(work, "route_stale")
    assert flow_of(healthy, "f")["status"] == "done"
    assert flow_of(broken, "f")["status"] == "failed"
    assert broken["ports"]["l0:u0"]["drops"]["link_down"] > healthy["ports"]["l0:u0"]["drops"]["link_down"]


def test_silent_drop() -> None:
    """Each 1000th packet is gone: no drop counter has it, and the flow's packets do not add up."""
    healthy, broken = both(one_flow(5_000_000), "silent_drop")

    def unaccounted(result: Json) -> int:
        f = flow_of(result, "f")
        gone = f["packets_delivered"] + f["packets_dropped"] + f["packets_in_flight"]
        return int(f["packets_sent"] - gone)

    assert unaccounted(healthy) == 0
    assert drops(broken) == {}
    assert unaccounted(broken) == broken["ports"]["s:e0"]["rx_packets_prio"][3] // 1000
    assert flow_of(broken, "f")["packets_retransmitted"] > 0


def test_packets_reordered() -> None:
    healthy, broken = both(one_flow(nic={"loss_recovery": "selective_repeat"}), "packets_reordered")
    assert flow_of(healthy, "f")["packets_out_of_order"] == 0
    f = flow_of(broken, "f")
    # each 100th is passed by eight frames' time of successors
    assert f["packets_out_of_order"] == pytest.approx(f["packets_sent"] / 100 * 8, rel=0.15)
    assert f["packets_dropped"] == 0


# ---- counters ----


def test_counter_stuck() -> None:
    work = incast(4, switch={"buffer": {"bytes": 300_000}}, nic={"ack_timeout_exponent": 5, **NO_CC})
    healthy, broken = both(work, "counter_stuck")
    assert drops(healthy)
    assert drops(broken) == {}
    for result in (healthy, broken):
        assert sum(one["packets_dropped"] for one in result["flows"]) > 0


def test_counter_stuck_at_a_receiver() -> None:
    nic = {"rx": {"drain_bps": 10 * GBPS, "buffer_bytes": 50_000, "xoff_bytes": 50_000, "xon_bytes": 25_000}}
    healthy, broken = both(one_flow(nic=nic), "counter_stuck")
    assert nic_of(healthy, "h1")["rx_discards"] > 0
    assert nic_of(broken, "h1")["rx_discards"] == 0


def test_counter_counts_other() -> None:
    work = one_flow(
        nic={"cc": {"algorithm": "dcqcn"}},
        events=[impair("mark", packets=[5]), impair("drop", packets=[400])],
    )
    healthy, broken = both(work, "counter_counts_other")
    assert nic_of(healthy, "h0")["cnp_handled"] == 1
    assert nic_of(broken, "h0")["cnp_handled"] == flow_of(broken, "f")["packets_retransmitted"] > 1


def test_counter_wrong_unit() -> None:
    healthy, broken = both(one_flow(), "counter_wrong_unit")
    for key in ("tx_bytes", "rx_bytes"):
        for port, counters in healthy["ports"].items():
            assert broken["ports"][port][key] == counters[key] // 4
            assert broken["ports"][port][key + "_prio"] == counters[key + "_prio"]


def test_idle_pause_counted() -> None:
    work = one_flow(nic={"pfc": LOSSLESS}, switch={"pfc": LOSSLESS}, events=[storm()])
    healthy, broken = both(work, "idle_pause_counted")
    quantum = 512 * 10  # ps at 100 Gb/s
    duration = healthy["ports"]["s:e1"]["rx_pause_duration_ps"][3]
    assert duration > 90 * US
    assert broken["ports"]["s:e1"]["rx_pause_duration_ps"][3] == duration // quantum


def test_gaps_do_not_hold_up_pause_frames() -> None:
    """A port that leaves its line unused still sends a pause at once: nothing is lost, whatever the shares."""
    nodes = [host("h0"), host("h1"), switch("s", ["e0", "e1"])]
    links = [link("h0:p0", "s:e0"), link("h1:p0", "s:e1", 10 * GBPS)]
    flows = [flow("f", "h0", "h1", 2_000_000), flow("back", "h1", "h0", 2_000_000, priority=0)]
    buffer = {"bytes": 200_000, "alpha": 0.1}
    work = job(
        nodes, links, flows, nic={"pfc": LOSSLESS}, switch={"pfc": LOSSLESS, "buffer": buffer}
    )  # fmt: skip
    _, broken = both(work, "ets_not_work_conserving")
    assert broken["ports"]["s:e0"]["drops"]["headroom"] == 0
    assert broken["ports"]["h0:p0"]["rx_pause"][3] > 0
