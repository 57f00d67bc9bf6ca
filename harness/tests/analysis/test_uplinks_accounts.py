from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np
import pytest

from harness.analysis import ecmp
from harness.analysis.accounts import buffer_still_taken_bytes, vanished_frames
from harness.analysis.completion import goodput_ratio, longest_message_ps, right_payload_bytes
from harness.analysis.dependencies import impatient_flows
from harness.analysis.drift import round_times_ps, spread, trend
from harness.analysis.outage import longest_silence_ps, outages_seen
from harness.analysis.uplinks import (
    busiest_uplink_packets,
    idlest_uplink_packets,
    part_of_packets,
    source_ports,
    time_over_busiest_link,
    uplink_packets,
    uplinks,
    used_uplinks,
)
from harness.core.evidence import Missing, is_missing
from harness.core.flow_results import FlowSet, flow_result
from harness.core.result import RunResult
from harness.core.series import Series, SeriesSet

NODES = [
    {"name": name, "kind": "host" if name[0] == "h" else "switch"} for name in ("h1", "h2", "a", "b", "c")
]
LINKS = [
    {"a": near, "b": far, "rate_bps": 10**11}
    for near, far in [("h1:p0", "a:1"), ("a:2", "b:1"), ("c:1", "a:3"), ("b:2", "h2:p0")]
]


def port(tx: int, rx: int = 0, drops: int = 0) -> dict[str, Any]:
    return {"tx_packets": tx, "rx_packets": rx, "tx_bytes": 10 * tx, "drops": {"wred": drops}}


def fabric(ports: dict[str, Any], **raw: Any) -> RunResult:
    return RunResult(
        {"nodes": NODES, "links": LINKS}, {"format": 1, "simulated": True, "ports": ports, **raw}
    )


PORTS = {
    "h1:p0": port(50),
    "a:1": port(99),
    "a:2": port(30),
    "a:3": port(0),
    "b:1": port(7),
    "c:1": port(1),
}


class TestUplinks:
    def test_lead_to_switches_whichever_way_the_link_is_written(self) -> None:
        assert uplinks(fabric({}), "a") == ("a:2", "a:3")
        assert uplinks(fabric({}), "h1") == ()

    def test_are_told_apart_by_what_they_sent(self) -> None:
        result = fabric(PORTS)
        figures = (used_uplinks, busiest_uplink_packets, idlest_uplink_packets, uplink_packets)
        assert [figure(result, "a") for figure in figures] == [1, 30, 0, 30]

    def test_an_exchange_is_held_against_its_busiest_link(self) -> None:
        """99 frames of 10 bytes and a gap of 20 are 2970 bytes: 237.6 ns at 100 Gb/s."""
        flow = {"name": "f", "status": "done", "start_ps": 100, "end_ps": 100 + 475_200}
        assert time_over_busiest_link(fabric(PORTS, flows=[flow]), 20) == pytest.approx(2)
        assert is_missing(time_over_busiest_link(fabric({"a:1": port(0)}, flows=[flow]), 20))
        assert is_missing(time_over_busiest_link(fabric({"a:1": {}}, flows=[flow]), 20))

    def test_a_port_is_held_against_itself_in_another_run(self) -> None:
        assert part_of_packets(fabric({"a:2": port(15)}), fabric(PORTS), "a:2") == 0.5
        assert is_missing(part_of_packets(fabric(PORTS), fabric({"a:2": port(0)}), "a:2"))
        assert is_missing(part_of_packets(fabric({"a:2": {}}), fabric(PORTS), "a:2"))

    def test_without_a_counter_or_without_links_there_is_no_figure(self) -> None:
        absent = fabric({**PORTS, "a:3": {}})
        figures = (used_uplinks, busiest_uplink_packets, idlest_uplink_packets, uplink_packets)
        assert all(is_missing(figure(absent, "a")) for figure in figures)
        assert all(is_missing(figure(fabric(PORTS), "z")) for figure in figures)

    @pytest.mark.parametrize(("qps", "distinct"), [([5, 6, 5], 2), ([5], 1)])
    def test_source_ports_are_counted_once(self, qps: list[int], distinct: int) -> None:
        flow = {"name": "f", "status": "done", "qps": [{"udp_sport": sport} for sport in qps]}
        assert source_ports(fabric({}, flows=[flow]), "f") == distinct

    @pytest.mark.parametrize("qps", [[], [{}], [{"udp_sport": None}]])
    def test_source_ports_that_nobody_tells_are_missing(self, qps: list[dict[str, Any]]) -> None:
        assert is_missing(source_ports(fabric({}, flows=[{"name": "f", "status": "done", "qps": qps}]), "f"))


class TestChance:
    """The limits against draws: they are passed rarely, and one step tighter they would be passed more often."""

    @pytest.mark.parametrize(("paths", "flows"), [(4, 16), (4, 64), (16, 64)])
    def test_limits_of_the_fullest_and_the_emptiest_path(self, paths: int, flows: int) -> None:
        draw, trials, chance = Random(paths * flows), 4000, 0.05
        loads = [[0] * paths for _ in range(trials)]
        for load in loads:
            for _ in range(flows):
                load[draw.randrange(paths)] += 1
        most, least = (
            ecmp.fullest_path_limit(paths, flows, chance),
            ecmp.emptiest_path_limit(paths, flows, chance),
        )
        noise = 3 * math.sqrt(chance / trials)
        assert sum(max(load) > most for load in loads) / trials < chance + noise
        assert sum(max(load) > most - 1 for load in loads) / trials > chance - noise
        assert sum(min(load) < least for load in loads) / trials < chance + noise

    def test_limits_at_their_ends(self) -> None:
        assert ecmp.fullest_path_limit(1, 9, 1e-4) == 9
        assert ecmp.fullest_path_limit(4, 1, 1e-4) == 1
        assert ecmp.emptiest_path_limit(1, 9, 1e-4) == 9
        assert ecmp.emptiest_path_limit(4, 3, 1e-4) == 0

    def test_fewest_different_values(self) -> None:
        draw, trials, chance = Random(3), 4000, 0.05
        least = ecmp.least_distinct(1000, 60, chance)
        found = [len({draw.randrange(1000) for _ in range(60)}) for _ in range(trials)]
        noise = 3 * math.sqrt(chance / trials)
        assert sum(count < least for count in found) / trials < chance + noise
        assert sum(count < least + 1 for count in found) / trials > chance - noise
        assert ecmp.least_distinct(10**9, 2, 0.01) == 2


class TestDependencies:
    """A transfer of 12,500 bytes takes a microsecond at 100 Gb/s."""

    @staticmethod
    def relay(start_ps: int | None, *, after: tuple[str, ...] = ("first",)) -> RunResult:
        flows = [
            {"name": "first", "src": "h1:p0", "status": "done", "start_ps": 500, "bytes_sent": 12_500},
            {"name": "second", "src": "h2:p0", "status": "done", "start_ps": start_ps, "bytes_sent": 1},
        ]
        job = {
            "nodes": NODES,
            "links": LINKS,
            "flows": [{"name": "first"}, {"name": "second", "after": list(after)}],
        }
        return RunResult(job, {"format": 1, "simulated": True, "end_ps": 10**7, "flows": flows})

    @pytest.mark.parametrize(
        ("start_ps", "impatient"), [(0, 1), (1_000_499, 1), (1_000_500, 0), (9 * 10**6, 0)]
    )
    def test_a_flow_may_not_begin_before_its_data_can_be_there(self, start_ps: int, impatient: int) -> None:
        assert impatient_flows(self.relay(start_ps)) == impatient

    def test_what_is_not_known_is_missing(self) -> None:
        assert is_missing(impatient_flows(self.relay(None)))
        assert is_missing(impatient_flows(self.relay(0, after=())))


class TestOutages:
    @staticmethod
    def run(goodput: list[float], step_ps: int = 10) -> RunResult:
        result = RunResult({}, {"format": 1, "simulated": True})
        time = np.arange(1, len(goodput) + 1) * step_ps
        series = Series("goodput_bps", "bit/s", time, ("f",), np.array(goodput).reshape(-1, 1))
        tables = SeriesSet(None, {}, "", "", {"goodput_bps": series})
        object.__setattr__(result, "series", tables)
        return result

    def test_gaps_between_bytes_are_counted_and_those_around_are_not(self) -> None:
        result = self.run([0, 0, 5, 5, 0, 0, 0, 0, 5, 0, 5, 0, 0, 0, 0, 0])
        assert outages_seen(result, "f", 20) == 1
        assert longest_silence_ps(result, "f") == 40

    def test_no_gap_is_zero(self) -> None:
        assert outages_seen(self.run([5, 5, 5]), "f", 20) == 0
        assert longest_silence_ps(self.run([5, 5, 5]), "f") == 0

    def test_what_cannot_be_told_is_missing(self) -> None:
        assert is_missing(outages_seen(self.run([5, 0, 5]), "f", 19))  # samples 10 ps apart are too coarse
        assert is_missing(outages_seen(self.run([0, 0]), "f", 20))
        assert is_missing(outages_seen(self.run([5, 5]), "other", 20))
        assert is_missing(outages_seen(RunResult({}, {"format": 1}), "f", 20))


class TestDrift:
    def test_a_line_has_its_slope(self) -> None:
        assert trend([100, 110, 120]) == pytest.approx(20 / 110)
        assert trend([100, 100, 100, 100]) == pytest.approx(0)
        assert spread([90, 110]) == pytest.approx(math.sqrt(200) / 100)

    def test_too_few_rounds_or_one_without_a_figure_are_missing(self) -> None:
        assert is_missing(trend([1, 2]))
        assert is_missing(spread([1]))
        assert is_missing(trend([1, 2, Missing("it never ended"), 4]))
        assert is_missing(spread([Missing("it never ended"), 4]))

    def test_a_round_lasts_from_its_first_start_to_its_last_end(self) -> None:
        flows = [
            {"name": f"r-{number}-{part}", "status": "done", "start_ps": start, "end_ps": end}
            for number, part, start, end in [(0, 0, 0, 50), (0, 1, 10, 70), (1, 0, 100, 190)]
        ]
        result = RunResult({}, {"format": 1, "simulated": True, "end_ps": 200, "flows": flows})
        assert round_times_ps(result, ["r-0-", "r-1-"]) == [70, 90]


class TestAccounts:
    def test_what_came_in_left_or_was_dropped(self) -> None:
        ports = {"a:1": port(0, 100), "a:2": port(90, 0, 4), "h1:p0": port(100, 0)}
        assert vanished_frames(fabric(ports)) == 6
        assert is_missing(vanished_frames(fabric({**ports, "a:2": {"tx_packets": 90}})))

    def test_buffer_that_is_still_taken(self) -> None:
        switches = {"a": {"shared_end_bytes": 3}, "b": {"shared_end_bytes": 4}}
        assert buffer_still_taken_bytes(fabric({}, switches=switches)) == 7
        assert is_missing(buffer_still_taken_bytes(fabric({}, switches={**switches, "c": {}})))
        assert is_missing(buffer_still_taken_bytes(fabric({})))


def test_the_longest_message_of_some_flows() -> None:
    def flow(longest: int | None) -> Any:
        latency = None if longest is None else {"max_ps": longest, "mean_ps": 1.0}
        return flow_result({"name": "f", "status": "done", "latency": latency}, 10)

    assert longest_message_ps(FlowSet((flow(3), flow(8)))) == 8
    assert is_missing(longest_message_ps(FlowSet((flow(3), flow(None)))))


def measured(**keys: Any) -> Any:
    return flow_result({"name": "f", "status": "done", "start_ps": 0, "end_ps": 10, **keys}, 10)


def test_goodput_is_held_against_that_of_another_flow() -> None:
    assert goodput_ratio(measured(bytes_delivered=5), measured(bytes_delivered=10)) == 0.5
    assert is_missing(goodput_ratio(measured(bytes_delivered=5), measured(bytes_delivered=0)))
    assert is_missing(goodput_ratio(measured(), measured(bytes_delivered=1)))


@pytest.mark.parametrize(
    ("verified", "mismatched", "right"), [(10, 0, 10), (7, 3, 7), (0, 0, None), (9, 0, None), (None, 0, None)]
)
def test_payload_is_right_when_all_of_it_was_compared(
    verified: int | None, mismatched: int, right: int | None
) -> None:
    flow = measured(bytes_delivered=10, payload_verified_bytes=verified, payload_mismatched_bytes=mismatched)
    found = right_payload_bytes(flow)
    assert is_missing(found) if right is None else found == right
