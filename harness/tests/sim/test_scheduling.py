"""ETS between priorities, at the switch and at the NIC, against weighted water-filling; rate limits and windows."""

from __future__ import annotations

import pytest

from harness.analysis.sched import ets_shares, water_fill
from harness.analysis.transport import exact_ps
from harness.tests.sim.jobs import GBPS, MS, US, Json, flow, flow_of, host, job, link, run, star, switch

LINE = 100 * GBPS
FRAME, WIRE = 1024 + 62, 1024 + 82
DURATION = 2 * MS
INF = float("inf")


def weights(by_priority: dict[int, int]) -> list[int]:
    return [by_priority.get(i, 1) for i in range(8)]


def at_switch(demands: dict[int, float], scheduler: Json, events: list[Json] | None = None) -> Json:
    """One sender for each priority, unacknowledged, into one port of line rate; what does not fit is dropped."""
    senders = list(demands)
    flows = [
        flow(f"p{p}", f"h{i}", f"h{len(senders)}", 1024, priority=p, transport="uc", verb="send", messages=0,
             rate_bps=0 if demands[p] == INF else int(demands[p]), start_ps=i * 10_000)
        for i, p in enumerate(senders)
    ]  # fmt: skip
    return star(
        len(senders) + 1, flows, switch={"scheduler": scheduler, "buffer": {"egress_alpha": 0.02}},
        until="duration", duration_ps=DURATION, events=events or [],
    )  # fmt: skip


def at_nic(demands: dict[int, float], scheduler: Json, events: list[Json] | None = None) -> Json:
    """All priorities from one host; it holds back what does not fit."""
    flows = [
        flow(f"p{p}", "h0", "h1", 1024, priority=p, transport="uc", verb="send", messages=0,
             rate_bps=0 if demands[p] == INF else int(demands[p]))
        for p in demands
    ]  # fmt: skip
    return star(
        2, flows, nic={"scheduler": scheduler}, until="duration", duration_ps=DURATION, events=events or []
    )


PLACES = pytest.mark.parametrize("place", [at_switch, at_nic])


def rates(result: Json, demands: dict[int, float], window: int = DURATION) -> dict[int, float]:
    """Link bits a second of each priority, gaps included, from what the receivers got."""
    bits = {p: flow_of(result, f"p{p}")["bytes_delivered"] / 1024 * WIRE * 8 for p in demands}
    return {p: bits[p] / window * 1e12 for p in demands}


def expect(
    result: Json, demands: dict[int, float], by_weight: dict[int, int], strict: list[int] | None = None
) -> None:
    """Shares within 1 % of the line: start-up, and one round of the scheduler at the end."""
    order = sorted(demands)
    index_strict = [order.index(p) for p in strict or [] if p in order]
    shares = ets_shares([demands[p] for p in order], [by_weight.get(p, 1) for p in order], index_strict, LINE)
    measured = rates(result, demands)
    for p, share in zip(order, shares, strict=True):
        assert measured[p] == pytest.approx(share, abs=0.01 * LINE), f"priority {p}"


@PLACES
@pytest.mark.parametrize("by_weight", [{0: 1, 3: 1}, {0: 3, 3: 1}, {0: 5, 1: 3, 3: 2}, {0: 10, 3: 90}])
def test_saturated_priorities_share_by_weight(place: object, by_weight: dict[int, int]) -> None:
    demands = dict.fromkeys(by_weight, INF)
    result = run(place(demands, {"weights": weights(by_weight)}))  # type: ignore[operator]
    expect(result, demands, by_weight)


@PLACES
def test_what_one_leaves_the_others_share(place: object) -> None:
    """Demands of 10 and 25 Gb/s are met; the rest goes to the saturated by weight 2:1 (work conservation)."""
    by_weight = {0: 4, 1: 4, 3: 2, 4: 1}
    demands = {0: 10.0 * GBPS, 1: 25.0 * GBPS, 3: INF, 4: INF}
    expect(run(place(demands, {"weights": weights(by_weight)})), demands, by_weight)  # type: ignore[operator]


@PLACES
def test_the_port_is_never_idle_while_something_waits(place: object) -> None:
    by_weight = {0: 1, 1: 7, 3: 2}
    demands = {0: INF, 1: INF, 3: INF}
    result = run(place(demands, {"weights": weights(by_weight)}))  # type: ignore[operator]
    assert sum(rates(result, demands).values()) == pytest.approx(LINE, rel=0.005)


@PLACES
def test_strict_priorities_go_first(place: object) -> None:
    by_weight = {0: 1, 3: 3}
    demands = {6: 40.0 * GBPS, 0: INF, 3: INF}
    result = run(place(demands, {"weights": weights(by_weight), "strict": [6, 7]}))  # type: ignore[operator]
    expect(result, demands, by_weight, strict=[6])


@PLACES
@pytest.mark.parametrize("kind", ["ets", "hpcc"])
def test_a_strict_priority_needs_no_weight(place: object, kind: str) -> None:
    demands = {6: 40.0 * GBPS, 0: INF, 3: INF}
    scheduler = {"kind": kind, "weights": [2, 1, 1, 1, 1, 1, 0, 0], "strict": [6, 7]}
    result = run(place(demands, scheduler))  # type: ignore[operator]
    if kind == "ets":
        expect(result, demands, {0: 2, 3: 1}, strict=[6])


@PLACES
def test_of_two_strict_priorities_the_higher_starves_the_lower(place: object) -> None:
    demands = {7: INF, 6: INF, 3: INF}
    measured = rates(run(place(demands, {"strict": [6, 7]})), demands)  # type: ignore[operator]
    assert measured[7] == pytest.approx(LINE, rel=0.01)
    assert measured[6] + measured[3] < 0.01 * LINE


@PLACES
def test_shares_do_not_depend_on_packet_sizes(place: object) -> None:
    """Deficit round robin counts bytes: small packets of one priority do not lose to large ones of another."""
    work = place({0: INF, 3: INF}, {"weights": [1] * 8})  # type: ignore[operator]
    work["flows"][0]["message_bytes"] = 200
    result = run(work)
    small = flow_of(result, "p0")["packets_delivered"] * (200 + 62)
    large = flow_of(result, "p3")["packets_delivered"] * (1024 + 62)
    assert small == pytest.approx(large, rel=0.02)


@pytest.mark.parametrize("place", [at_switch, at_nic])
def test_weights_change_in_mid_run(place: object) -> None:
    """1:1 for the first half, 9:1 for the second: 50 % and 90 % of a half each."""
    demands = {0: INF, 3: INF}
    scheduler = {"weights": weights({0: 9})}
    node, part = ("s", "switch") if place is at_switch else ("h0", "nic")
    events = [{"at_ps": DURATION // 2, "kind": "qos", "node": node, part: {"scheduler": scheduler}}]
    measured = rates(run(place(demands, {"weights": [1] * 8}, events)), demands)  # type: ignore[operator]
    assert measured[0] == pytest.approx(0.7 * LINE, abs=0.015 * LINE)
    assert measured[3] == pytest.approx(0.3 * LINE, abs=0.015 * LINE)


def test_a_paused_priority_leaves_its_share_and_claims_nothing_afterwards() -> None:
    """Half of the run paused: the other has all of the first half and its own share of the second."""
    demands = {0: INF, 3: INF}
    work = at_nic(demands, {"weights": [1] * 8})
    work["nic"]["pfc"] = {"priorities": [3], "mode": "until_resume"}
    work["events"] = [{"at_ps": 0, "kind": "pause_storm", "port": "h1:p0", "priorities": [3],
                       "duration_ps": DURATION // 2, "interval_ps": DURATION}]  # fmt: skip
    work["nodes"][2]["switch"] = {
        "pfc": {"priorities": [3], "mode": "until_resume"},
        "buffer": {"bytes": 200_000},
    }
    measured = rates(run(work), demands)
    assert measured[0] == pytest.approx(0.75 * LINE, abs=0.02 * LINE)
    assert measured[3] == pytest.approx(0.25 * LINE, abs=0.02 * LINE)


def test_qps_of_one_priority_take_turns() -> None:
    flows = [flow(f"f{i}", "h0", "h1", 2_000_000) for i in range(4)]
    times = [entry["fct_ps"] for entry in run(star(2, flows))["flows"]]
    assert max(times) - min(times) <= 4 * exact_ps(WIRE, LINE)


def test_the_scheduler_kind_may_change_in_mid_run() -> None:
    """To the HPCC round robin and back: nothing is lost or forgotten on the way."""
    flows = [
        flow(f"f{i}", "h0", "h1", 500_000, priority=i % 4, rate_bps=(i % 3) * 10 * GBPS) for i in range(6)
    ]
    events = [
        {"at_ps": at * US, "kind": "qos", "node": "h0", "nic": {"scheduler": {"kind": kind}}}
        for at, kind in ((20, "hpcc"), (90, "ets"), (150, "hpcc"))
    ]
    for first in range(4):
        result = run(star(2, flows, events=events[:first]))
        assert [entry["status"] for entry in result["flows"]] == ["done"] * 6
        assert result["end_ps"] < 600 * US


@pytest.mark.parametrize("rate", [1 * GBPS, 10 * GBPS, 37 * GBPS, 99 * GBPS])
def test_a_rate_limit_holds_to_the_packet(rate: int) -> None:
    """N packets leave in N - 1 intervals of their size over the rate, gaps counted."""
    n = 200
    result = run(star(2, [flow("f", "h0", "h1", 1024, verb="send", messages=n, rate_bps=rate)]))
    last_leaves = (n - 1) * exact_ps(WIRE, rate)
    way = 2 * exact_ps(WIRE, LINE) + 2 * US + 2 * exact_ps(86, LINE) + 2 * US
    assert flow_of(result, "f")["fct_ps"] == last_leaves + way


def test_each_qp_has_the_rate_limit_for_itself() -> None:
    result = run(star(2, [flow("f", "h0", "h1", 1_000_000, qps=4, rate_bps=10 * GBPS)]))
    seconds = flow_of(result, "f")["fct_ps"] * 1e-12
    assert 4 * 1_000_000 * 8 * WIRE / 1024 / seconds == pytest.approx(40 * GBPS, rel=0.01)


@pytest.mark.parametrize("packets", [1, 5, 20])
def test_a_window_sends_its_packets_once_a_round_trip(packets: int) -> None:
    """W packets, then the ACK of the first: goodput is W MTU per round trip while that is below line rate."""
    n = 1000
    work = star(2, [flow("f", "h0", "h1", n * 1024, verb="send", window_bytes=packets * 1024)])
    round_trip = 2 * exact_ps(WIRE, LINE) + 2 * exact_ps(86, LINE) + 4 * US
    assert flow_of(run(work), "f")["fct_ps"] == pytest.approx(n / packets * round_trip, rel=0.01)


def test_variable_window_shrinks_with_the_rate() -> None:
    """With rate R_C the window is W R_C / line: a flow cut to half sends half as much a round trip."""

    def goodput(variable: bool) -> float:
        cc = {"algorithm": "ns3", "pace": False, "variable_window": variable, "rate_timer_ps": 10 * MS}
        work = star(
            2, [flow("f", "h0", "h1", 10_000_000, window_bytes=40 * 1024)], nic={"cc": cc},
            events=[{"at_ps": 0, "kind": "impair", "flow": "f", "action": "mark", "packets": [0]}],
        )  # fmt: skip
        counts = flow_of(run(work), "f")
        assert counts["rate_cuts"] == 1
        return 10_000_000 * 8 / (counts["fct_ps"] * 1e-12)

    # alpha has decayed over four ticks of 1/256 at the cut after 4 us: the rate is 1 - 0.984/2 of the line,
    # the window 20.3 packets, and a window is open until it is full: 21 of 40
    assert goodput(True) == pytest.approx(goodput(False) * 21 / 40, rel=0.02)


def test_mixed_packets_and_a_slow_port() -> None:
    """A switch port of 10 Gb/s fed at 100: the shares hold whatever the ratio of the rates."""
    demands = {0: INF, 3: INF}
    nodes = [host("h0"), host("h1"), switch("s", ["a", "b"], scheduler={"weights": weights({0: 3})},
                                            buffer={"egress_alpha": 0.01})]  # fmt: skip
    links = [link("h0:p0", "s:a"), link("s:b", "h1:p0", 10 * GBPS)]
    flows = [
        flow(f"p{p}", "h0", "h1", 1024, priority=p, transport="uc", verb="send", messages=0) for p in demands
    ]
    result = run(job(nodes, links, flows, until="duration", duration_ps=10 * MS))
    measured = rates(result, demands, 10 * MS)
    shares = water_fill([INF, INF], [3, 1], 10 * GBPS)
    assert [measured[0], measured[3]] == pytest.approx(shares, rel=0.02)
