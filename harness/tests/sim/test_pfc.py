"""Priority flow control: headroom to the packet, pause time, quanta, hysteresis, who obeys, and the watchdog.

Sources: IEEE 802.1Qbb / 802.1Q clause 36 for the frames and their meaning; arithmetic for the rest.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.pfc import pause_fraction, pause_ps, worst_headroom_bytes
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
    link,
    rows,
    run,
    star,
    switch,
)  # fmt: skip

FRAME, WIRE = 1024 + 62, 1024 + 82
PFC_WIRE = 64 + 20
RATE = 100 * GBPS


def byte_ps(count: int, rate: int = RATE) -> int:
    return count * 8 * 10**12 // rate


# ---- headroom ----


def worst_case(headroom: int, delay_ps: int) -> Json:
    """h0 sends into a switch whose way to h1 is paused for ever; the buffer is headroom alone.

    The first frame already pauses h0. At that moment the port back to h0 has just begun a full frame of h2
    (UC, another priority, so that nothing answers), which the pause frame must wait for; h0 has just begun
    another frame when the pause arrives. Single sends of one MTU have frames of one size.
    """
    nodes = [host("h0"), host("h1"), host("h2"), switch("s", ["e0", "e1", "e2"])]
    links = [
        link("h0:p0", "s:e0", RATE, delay_ps),
        link("h1:p0", "s:e1", RATE, 0),
        link("h2:p0", "s:e2", RATE, 0),
    ]
    data_at_switch = byte_ps(WIRE) + delay_ps + 1 * US
    flows = [
        flow("data", "h0", "h1", 1024, messages=400, verb="send", start_ps=1 * US),
        flow("reverse", "h2", "h0", 1024, verb="send", transport="uc", priority=0,
             start_ps=data_at_switch - byte_ps(WIRE) - 1),
    ]  # fmt: skip
    return job(
        nodes, links, flows,
        nic={"pfc": {"priorities": [3], "mode": "until_resume"}, "ack_timeout_exponent": 0},
        switch={
            "pfc": {"priorities": [3], "mode": "until_resume"},
            "buffer": {"alpha": 1e-9, "reserve_bytes": 0, "headroom_bytes": headroom},
        },
        events=[{"at_ps": 0, "kind": "pause_storm", "port": "h1:p0", "priorities": [3],
                 "duration_ps": 1 * MS, "interval_ps": 1 * MS}],
        until="duration", duration_ps=900 * US,
    )  # fmt: skip


def worst_delay() -> int:
    """A delay at which what arrives is one byte more than a whole number of frames: the dearest rounding."""
    flight = 20 * WIRE - (WIRE + PFC_WIRE) % WIRE + 2
    return byte_ps(flight // 2)


def bound(delay_ps: int) -> int:
    return worst_headroom_bytes(
        RATE, delay_ps, mtu_wire_bytes=WIRE, mtu_buffer_bytes=FRAME, pause_wire_bytes=PFC_WIRE
    )


def test_nothing_is_lost_with_headroom_at_the_bound() -> None:
    delay = worst_delay()
    result = run(worst_case(bound(delay), delay))
    assert drops(result) == {}
    # and the case is the worst one: every byte of the bound is used
    assert max(result["ports"]["s:e0"]["headroom_max_bytes"]) == bound(delay)


def test_one_mtu_less_headroom_loses_a_frame() -> None:
    delay = worst_delay()
    result = run(worst_case(bound(delay) - 1024, delay))
    assert drops(result) == {"headroom": 1}


@pytest.mark.parametrize("delay_ps", [0, 100_000, 1 * US, 5 * US])
@pytest.mark.parametrize("ip_version", [4, 6])
def test_the_default_headroom_loses_nothing(delay_ps: int, ip_version: int) -> None:
    work = worst_case(0, delay_ps)
    del work["switch"]["buffer"]["headroom_bytes"]
    work["wire"] = {"model": "rocev2", "ip_version": ip_version, "vlan": ip_version == 6}
    result = run(work)
    assert drops(result) == {}
    assert max(result["ports"]["s:e0"]["headroom_max_bytes"]) > 0


@pytest.mark.parametrize("senders", [2, 4, 8])
def test_an_incast_without_congestion_control_is_lossless(senders: int) -> None:
    flows = [flow(f"f{i}", f"h{i}", f"h{senders}", 2_000_000) for i in range(senders)]
    result = run(
        star(senders + 1, flows, nic={"pfc": {"priorities": [3]}},
             switch={"pfc": {"priorities": [3]}, "buffer": {"bytes": 2_000_000}})
    )  # fmt: skip
    assert drops(result) == {}
    assert all(entry["status"] == "done" for entry in result["flows"])
    assert sum(sum(port["tx_pause"]) for port in result["ports"].values()) > 0


# ---- pause time ----


@pytest.mark.parametrize("senders", [2, 4, 8])
def test_each_sender_is_paused_the_fraction_it_must_be(senders: int) -> None:
    """N saturating senders share one port: each may send 1/N of the time."""
    flows = [flow(f"f{i}", f"h{i}", f"h{senders}", 1_000_000, messages=0) for i in range(senders)]
    duration = 2 * MS
    result = run(
        star(senders + 1, flows, nic={"pfc": {"priorities": [3]}}, until="duration", duration_ps=duration,
             switch={"pfc": {"priorities": [3]}, "buffer": {"bytes": 2_000_000}})
    )  # fmt: skip
    for i in range(senders):
        paused = result["ports"][f"h{i}:p0"]["rx_pause_duration_ps"][3] / duration
        # the buffer of 2 MB takes 160 us to fill, at most a twelfth of the run, in which nobody is paused
        assert pause_fraction(senders) - 0.09 < paused < pause_fraction(senders) + 0.01


def storm(priorities: list[int], **more: Any) -> Json:
    return {"at_ps": 10 * US, "kind": "pause_storm", "port": "h1:p0", "priorities": priorities, **more}


def paused_star(
    event: Json, *, mode: str = "quanta", priorities: list[int] | None = None, **more: Any
) -> Json:
    pfc = {"priorities": [3] if priorities is None else priorities, "mode": mode}
    return star(
        2, [flow("f", "h0", "h1", 5_000_000)], nic={"pfc": {**pfc}}, switch={"pfc": pfc, **more.pop("switch", {})},  # type: ignore[dict-item]
        events=[event], **more,
    )  # fmt: skip


@pytest.mark.parametrize("quanta", [100, 1000, 65535])
def test_one_pause_frame_lasts_its_quanta(quanta: int) -> None:
    event = storm([3], duration_ps=500 * US, quanta=quanta, interval_ps=500 * US)
    port = run(paused_star(event))["ports"]["s:e1"]
    assert port["rx_pause"][3] == 1
    assert port["rx_pause_duration_ps"][3] == pause_ps(RATE, quanta)
    assert port["pause_transitions"][3] == 1


def test_a_gapless_storm_holds_the_port_from_its_first_frame_to_its_last() -> None:
    duration = 300 * US
    port = run(paused_star(storm([3], duration_ps=duration, quanta=200)))["ports"]["s:e1"]
    half = 200 * 5120 // 2
    assert port["rx_pause"][3] == -(-duration // half)
    assert port["rx_resume"][3] == 1
    # frames arrive in step with their sending: paused for the duration of the storm, up to one data frame
    # that the last of them may have to wait for at h1 (an ACK)
    assert abs(port["rx_pause_duration_ps"][3] - duration) <= byte_ps(86)
    assert port["pause_transitions"][3] == 1


def test_a_storm_with_gaps_pauses_again_and_again() -> None:
    event = storm([3], duration_ps=100 * US, quanta=100, interval_ps=10 * US)
    port = run(paused_star(event))["ports"]["s:e1"]
    assert port["pause_transitions"][3] == 10
    assert port["rx_pause_duration_ps"][3] == 10 * pause_ps(RATE, 100)


def test_the_completion_time_grows_by_the_pause() -> None:
    event = storm([3], duration_ps=200 * US, quanta=65535)
    paused = run(paused_star(event))
    free = run(paused_star(storm([5], duration_ps=200 * US, quanta=65535)))
    extra = flow_of(paused, "f")["fct_ps"] - flow_of(free, "f")["fct_ps"]
    # a frame in transmission when the pause begins or ends is not cut short
    assert abs(extra - paused["ports"]["s:e1"]["rx_pause_duration_ps"][3]) <= 2 * byte_ps(WIRE)


def test_until_resume_ignores_the_quanta() -> None:
    event = storm([3], duration_ps=400 * US, quanta=1, interval_ps=400 * US)
    port = run(paused_star(event, mode="until_resume"))["ports"]["s:e1"]
    assert (port["rx_pause"][3], port["rx_resume"][3]) == (1, 1)
    assert abs(port["rx_pause_duration_ps"][3] - 400 * US) <= byte_ps(86)


@pytest.mark.parametrize("quanta", [40, 1000])
def test_a_switch_refreshes_its_pause_at_half_its_time(quanta: int, tmp_path: Path) -> None:
    pfc = {"priorities": [3], "quanta": quanta}
    nodes = [host("h0"), host("h1"), switch("s", ["a", "b"])]
    links = [link("h0:p0", "s:a", RATE, US), link("s:b", "h1:p0", GBPS, US)]
    work = job(
        nodes, links, [flow("f", "h0", "h1", 400_000)], nic={"pfc": pfc},
        switch={"pfc": pfc, "buffer": {"bytes": 700_000}}, output_dir=str(tmp_path), trace=["pfc"],
    )  # fmt: skip
    result = run(work)
    assert drops(result) == {}
    frames = [(int(row[0]), row[4]) for row in rows(tmp_path / "pfc_events.csv") if row[1] == "h0"]
    refreshes = [b - a for (a, kind), (b, again) in pairwise(frames) if kind == again == "1"]
    half_ns = pause_ps(RATE, quanta) / 2 / 1000
    assert refreshes
    # a refresh may wait for one ACK on its way out, and the trace is in whole nanoseconds
    assert all(abs(gap - half_ns) <= byte_ps(86) / 1000 + 1 for gap in refreshes)


# ---- thresholds ----


def test_xoff_and_xon_have_a_gap_between_them() -> None:
    """Fixed threshold: pause at it, resume `xon_offset_bytes` below; a wider gap makes fewer transitions."""

    def transitions(offset: int) -> int:
        flows = [flow(f"f{i}", f"h{i}", "h2", 1_000_000) for i in range(2)]
        work = star(
            3, flows, nic={"pfc": {"priorities": [3]}},
            switch={
                "pfc": {"priorities": [3]},
                "buffer": {"bytes": 1_000_000, "alpha": 0.1, "xon_offset_bytes": offset},
            },
        )  # fmt: skip
        result = run(work)
        assert drops(result) == {}
        counts = result["ports"]["s:e0"]
        assert abs(counts["tx_pause"][3] - counts["tx_resume"][3]) <= 1
        return int(counts["tx_pause"][3])

    assert transitions(0) > 2 * transitions(40_000) > 0


def test_the_dynamic_threshold_shares_the_buffer() -> None:
    """k congested ingress ports under alpha settle at alpha B / (1 + k alpha) each (Choudhury and Hahne)."""
    buffer, reserve, headroom, alpha, k = 4_000_000, 0, 40_000, 0.5, 4
    pfc = {"priorities": [3], "mode": "until_resume"}
    flows = [flow(f"f{i}", f"h{i}", f"h{k}", 4_000_000) for i in range(k)]
    work = star(
        k + 1, flows, nic={"pfc": pfc},
        events=[{"at_ps": 0, "kind": "pause_storm", "port": f"h{k}:p0", "priorities": [3], "duration_ps": MS,
                 "interval_ps": MS}],
        switch={
            "pfc": pfc,
            "buffer": {"bytes": buffer, "alpha": alpha, "reserve_bytes": reserve, "headroom_bytes": headroom},
        },
        until="duration", duration_ps=MS - 1,
    )  # fmt: skip
    result = run(work)
    shared = buffer - (k + 1) * headroom
    each = alpha * shared / (1 + k * alpha)
    for i in range(k):
        port = result["ports"][f"s:e{i}"]
        held = port["ingress_max_bytes"][3] - port["headroom_max_bytes"][3]
        # each port passes the threshold by up to a frame, and every such frame lowers the others' threshold
        assert held == pytest.approx(each, abs=k * FRAME)


def test_a_nic_that_does_not_honour_pause_overruns_the_headroom() -> None:
    flows = [flow(f"f{i}", f"h{i}", "h2", 3_000_000) for i in range(2)]
    work = star(
        3, flows, nic={"pfc": {"priorities": []}, "ack_timeout_exponent": 6},
        switch={"pfc": {"priorities": [3]}, "buffer": {"bytes": 1_000_000}},
    )  # fmt: skip
    result = run(work)
    assert drops(result)["headroom"] > 0
    assert result["ports"]["h0:p0"]["rx_pause"][3] > 0
    assert result["ports"]["h0:p0"]["rx_pause_duration_ps"][3] == 0


def test_lossy_priorities_are_neither_paused_nor_spared() -> None:
    """Priority 3 pauses, priority 0 drops, in the same incast; the pause never names priority 0."""
    flows = [flow(f"f{i}.{p}", f"h{i}", "h2", 1_500_000, priority=p) for i in range(2) for p in (0, 3)]
    work = star(
        3, flows, nic={"pfc": {"priorities": [3]}, "ack_timeout_exponent": 6},
        switch={"pfc": {"priorities": [3]}, "buffer": {"bytes": 800_000, "egress_alpha": 0.25}},
    )  # fmt: skip
    result = run(work)
    assert set(drops(result)) <= {"egress_limit", "ingress_limit"}
    assert drops(result)
    dropped = {entry["name"]: entry["packets_dropped"] for entry in result["flows"]}
    assert dropped["f0.3"] == dropped["f1.3"] == 0
    assert dropped["f0.0"] + dropped["f1.0"] > 0
    assert all(result["ports"][f"h{i}:p0"]["rx_pause"][0] == 0 for i in range(2))


# ---- watchdog ----


def watchdog(action: str, *, storm_ps: int, interval_ps: int | None = None, quanta: int = 1000) -> Json:
    settings = {"detect_ps": 200 * US, "restore_ps": 100 * US, "poll_ps": 10 * US, "action": action}
    pfc = {"priorities": [3]}
    return star(
        2, [flow("f", "h0", "h1", 1_000_000, messages=0)],
        nic={"pfc": pfc, "ack_timeout_exponent": 10},  # 4 ms: no timeout while the storm holds the ACKs back
        switch={"pfc": {**pfc, "watchdog": settings}},
        events=[storm([3], duration_ps=storm_ps, quanta=quanta, interval_ps=interval_ps)],
        until="duration", duration_ps=2 * MS,
    )  # fmt: skip


def test_the_watchdog_drops_while_the_storm_lasts_and_lets_go_after_it() -> None:
    result = run(watchdog("drop", storm_ps=600 * US))
    port = result["ports"]["s:e1"]
    assert (port["watchdog_detected"][3], port["watchdog_restored"][3]) == (1, 1)
    assert drops(result)["watchdog"] > 0
    # detected by the first poll at or after detect_ps of pause
    assert 200 * US <= port["rx_pause_duration_ps"][3] <= 210 * US
    assert flow_of(result, "f")["bytes_delivered"] > 5_000_000  # traffic runs again


def test_the_watchdog_forwards_when_told_to() -> None:
    result = run(watchdog("forward", storm_ps=600 * US))
    port = result["ports"]["s:e1"]
    assert (port["watchdog_detected"][3], port["watchdog_restored"][3]) == (1, 1)
    assert drops(result) == {}
    dropping = run(watchdog("drop", storm_ps=600 * US))
    assert flow_of(result, "f")["bytes_delivered"] > flow_of(dropping, "f")["bytes_delivered"]


def test_the_result_tells_whether_a_queue_is_in_the_storm_state_at_the_end() -> None:
    lasting = run(watchdog("drop", storm_ps=5000 * US))["ports"]["s:e1"]
    ended = run(watchdog("drop", storm_ps=600 * US))["ports"]["s:e1"]
    assert (lasting["watchdog_restored"][3], lasting["watchdog_stormed"]) == (0, [0, 0, 0, 1, 0, 0, 0, 0])
    assert (ended["watchdog_restored"][3], ended["watchdog_stormed"]) == (1, [0] * 8)


def test_a_pause_shorter_than_the_detection_time_is_no_storm() -> None:
    result = run(watchdog("drop", storm_ps=150 * US))
    assert sum(result["ports"]["s:e1"]["watchdog_detected"]) == 0
    assert drops(result) == {}


def test_pauses_that_go_on_keep_the_watchdog_from_restoring() -> None:
    """Restore needs restore_ps (100 us) without a pause: frames every 90 us hold it for all their time."""
    result = run(watchdog("drop", storm_ps=1500 * US, interval_ps=90 * US, quanta=65535))
    port = result["ports"]["s:e1"]
    assert port["watchdog_detected"][3] == 1
    assert port["watchdog_restored"][3] == 1


def test_without_a_storm_the_watchdog_changes_nothing() -> None:
    work = watchdog("drop", storm_ps=1)
    work["events"] = []
    with_watchdog = run(work)
    del work["switch"]["pfc"]["watchdog"]
    assert with_watchdog["flows"] == run(work)["flows"]
