"""A host that takes packets more slowly than they come, with pause and without, and changes of its configuration."""

from __future__ import annotations

from typing import Any

import pytest

from harness.tests.sim.jobs import GBPS, MS, US, Json, drops, flow, flow_of, nic_of, run, star

FRAME = 1024 + 62


def slow(drain_bps: int, *, lossless: bool, buffer: int = 200_000, **more: Any) -> Json:
    pfc = {"priorities": [3] if lossless else []}
    rx = {"buffer_bytes": buffer, "drain_bps": drain_bps, "xoff_bytes": buffer // 2, "xon_bytes": buffer // 4}
    work = star(
        2, [flow("f", "h0", "h1", 2_000_000)],
        nic={"pfc": pfc, "ack_timeout_exponent": 8}, switch={"pfc": pfc, "buffer": {"bytes": 2_000_000}}, **more,
    )  # fmt: skip
    work["nodes"][1]["nic"] = {"rx": rx}
    return work


@pytest.mark.parametrize("drain", [5 * GBPS, 20 * GBPS])
def test_with_pause_nothing_is_lost_and_the_drain_sets_the_pace(drain: int) -> None:
    result = run(slow(drain, lossless=True))
    assert drops(result) == {}
    assert nic_of(result, "h1")["rx_discards"] == 0
    assert result["ports"]["h1:p0"]["tx_pause"][3] > 0
    wire = 2_000_000 / 1024 * FRAME * 8
    assert flow_of(result, "f")["fct_ps"] == pytest.approx(wire / drain * 1e12, rel=0.03)


def test_the_pause_spreads_to_the_sender_behind_the_switch() -> None:
    result = run(slow(2 * GBPS, lossless=True))
    assert result["ports"]["h0:p0"]["rx_pause"][3] > 0


def test_without_pause_the_buffer_overflows() -> None:
    result = run(slow(20 * GBPS, lossless=False))
    discards = nic_of(result, "h1")["rx_discards"]
    assert discards == drops(result)["rx_buffer"] > 0
    assert set(drops(result)) == {"rx_buffer"}
    assert flow_of(result, "f")["status"] == "done"


def test_a_drain_as_fast_as_the_link_changes_only_the_time_of_arrival() -> None:
    result = run(slow(0, lossless=False))
    assert nic_of(result, "h1")["rx_discards"] == 0
    assert flow_of(result, "f")["packets_retransmitted"] == 0


@pytest.mark.parametrize("by_event", ["drain_rate", "qos"])
def test_a_receiver_that_recovers(by_event: str) -> None:
    """Slow until 500 us, then at full speed: faster than slow all along."""
    event: Json = {"at_ps": 500 * US, "kind": "drain_rate", "port": "h1:p0", "rate_bps": 0}
    if by_event == "qos":
        event = {"at_ps": 500 * US, "kind": "qos", "node": "h1", "nic": {"rx": {"drain_bps": 0}}}
    recovered = run(slow(5 * GBPS, lossless=True, events=[event]))
    slow_all_along = run(slow(5 * GBPS, lossless=True))
    assert drops(recovered) == {}
    # 500 us at 5 Gb/s leave 1.7 MB of 2 MB of frames, which take 145 us at 100 Gb/s
    assert flow_of(recovered, "f")["fct_ps"] == pytest.approx(500 * US + 150 * US, abs=30 * US)
    assert flow_of(slow_all_along, "f")["fct_ps"] > 3 * MS


def test_a_priority_that_stops_obeying_pause_is_freed() -> None:
    """Paused until resumed, then told by a qos event to ignore pause: it sends, into the void or not."""
    pfc = {"priorities": [3], "mode": "until_resume"}
    work = star(
        2, [flow("f", "h0", "h1", 100_000)], nic={"pfc": pfc}, switch={"pfc": pfc},
        events=[
            {"at_ps": 0, "kind": "pause_storm", "port": "h1:p0", "priorities": [3], "duration_ps": 50 * MS,
             "interval_ps": 100 * MS},
            {"at_ps": 200 * US, "kind": "qos", "node": "s", "switch": {"pfc": {"priorities": []}}},
        ],
    )  # fmt: skip
    counts = flow_of(run(work), "f")
    assert counts["status"] == "done"
    assert 200 * US < counts["fct_ps"] < 300 * US


@pytest.mark.parametrize("algorithm", ["none", "dcqcn", "mlx5", "ns3"])
def test_a_qos_event_changes_the_algorithm(algorithm: str) -> None:
    """From dcqcn, slowed by marks, to another one, which starts at line rate again."""
    work = star(
        2, [flow("f", "h0", "h1", 4_000_000)],
        nic={"cc": {"algorithm": "dcqcn", "min_rate_bps": GBPS}},
        events=[
            {"at_ps": 0, "kind": "impair", "flow": "f", "action": "mark", "packets": list(range(10))},
            {"at_ps": 100 * US, "kind": "qos", "node": "h0", "nic": {"cc": {"algorithm": algorithm}}},
        ],
    )  # fmt: skip
    counts = flow_of(run(work), "f")
    assert counts["status"] == "done"
    if algorithm != "dcqcn":
        assert counts["fct_ps"] < 100 * US + 1.6 * 4_000_000 * 80
