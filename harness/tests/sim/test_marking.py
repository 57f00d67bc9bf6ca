"""RED at the switch: nothing below Kmin, everything above Kmax, the ramp between, and what is never marked."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from harness.analysis.queueing import red_probability
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
)

KMIN, KMAX, PMAX = 50_000, 200_000, 0.2


def ecn(kmin: int = KMIN, kmax: int = KMAX, pmax: float = PMAX, **more: object) -> Json:
    profile = {"rate_bps": 0, "kmin_bytes": kmin, "kmax_bytes": kmax, "pmax": pmax}
    return {"priorities": [3], "profiles": [profile], **more}


def incast(profile: Json, *, size: int = 2_000_000, folder: Path | None = None, **flow_keys: object) -> Json:
    """Two senders at line rate into one: the queue climbs to `size` bytes and falls again, over every length."""
    flows = [flow(f"f{i}", f"h{i}", "h2", size, **flow_keys) for i in range(2)]
    more: Json = {} if folder is None else {"output_dir": str(folder), "trace": ["mark"]}
    return star(3, flows, switch={"ecn": profile}, nic={"cnp": {"mode": "none"}}, **more)


def test_marks_lie_above_kmin_and_are_counted_everywhere(tmp_path: Path) -> None:
    result = run(incast(ecn(), folder=tmp_path))
    queue = [int(row[6]) for row in rows(tmp_path / "mark_events.csv")]
    assert queue
    assert min(queue) > KMIN
    assert sum(result["ports"]["s:e2"]["ecn_marked"]) == len(queue)
    assert sum(flow_of(result, f"f{i}")["ecn_marked"] for i in range(2)) == len(queue)


def test_a_step_profile_marks_exactly_what_lies_above_it(tmp_path: Path) -> None:
    """Kmin = Kmax = K: p is 0 up to K and 1 above; the queue of the incast is known packet by packet."""
    k = 100_000
    run(incast(ecn(k, k, 1.0), folder=tmp_path))
    frame = 1086
    # packets come in pairs each 1106 byte times while one leaves: after n departures n remain in the queue
    packets = 2 * -(-2_000_000 // 1024)
    above = k // frame
    marked = {(row[4], int(row[5])) for row in rows(tmp_path / "mark_events.csv")}
    unmarked = packets - len(marked)
    # unmarked: while it climbs from empty to K, one departure per arrival pair; and the last K bytes
    assert unmarked == pytest.approx(2 * above, abs=6)


@pytest.mark.parametrize("mark_at", ["dequeue", "enqueue"])
def test_the_ramp_is_linear_within_binomial_error(mark_at: str, tmp_path: Path) -> None:
    """A standing queue: 40 % over the port's rate for long, held by a window; compare marks with the sum of p.

    The queue at every marking decision is not logged, only that of marked packets; so the test uses many small
    experiments whose queue is constant: one flow with a window of W bytes keeps W minus the path in the queue.
    """
    window = 150 * 1024
    work = job(
        [host("h0"), host("h1"), switch("s", ["a", "b"])],
        [link("h0:p0", "s:a", 400 * GBPS, 1000), link("s:b", "h1:p0", 10 * GBPS, 1000)],
        [flow("f", "h0", "h1", 8_000_000, window_bytes=window)],
        switch={"ecn": ecn(50_000, 250_000, 0.2, mark_at=mark_at)},
        nic={"cnp": {"mode": "none"}},
        output_dir=str(tmp_path),
        trace=["mark"],
    )
    result = run(work)
    queue = [int(row[6]) for row in rows(tmp_path / "mark_events.csv")]
    steady = [q for q in queue if q > 140_000]
    low, high = min(steady), max(steady)
    assert high - low < 6 * 1086  # the queue stands
    packets = flow_of(result, "f")["packets_sent"] - 2 * 150  # filling and draining left out
    p = red_probability((low + high) / 2, kmin_bytes=50_000, kmax_bytes=250_000, pmax=0.2)
    deviation = math.sqrt(packets * p * (1 - p))
    assert abs(len(steady) - packets * p) < 4 * deviation


def test_enqueue_looks_at_what_is_there_dequeue_at_what_stays(tmp_path: Path) -> None:
    """Three packets at once with a step at one frame: enqueue marks the third, dequeue none but the first."""
    frame = 1086 + 16

    def marked(mark_at: str) -> set[int]:
        folder = tmp_path / mark_at
        folder.mkdir()
        work = job(
            [host("h0"), host("h1"), switch("s", ["a", "b"])],
            [link("h0:p0", "s:a", 400 * GBPS, 1000), link("s:b", "h1:p0", 10 * GBPS, 1000)],
            [flow("f", "h0", "h1", 1024, messages=4)],
            switch={"ecn": ecn(frame, frame, 1.0, mark_at=mark_at)},
            output_dir=str(folder),
            trace=["mark"],
        )
        run(work)
        return {int(row[5]) for row in rows(folder / "mark_events.csv")}

    # packet 0 leaves at once; 1, 2 and 3 find 0, 1 and 2 frames waiting, and leave 2, 1 and 0 behind
    assert marked("enqueue") == {3}
    assert marked("dequeue") == {1}


def test_what_is_not_ecn_capable_is_never_marked() -> None:
    result = run(incast(ecn(1000, 2000, 1.0), ect=False))
    assert sum(result["ports"]["s:e2"]["ecn_marked"]) == 0
    assert drops(result) == {}


def test_wred_drops_what_it_cannot_mark() -> None:
    """The same queue, once marked and once dropped: the dropped one is counted as wred at that port."""
    work = incast(ecn(wred_drop=True), ect=False, transport="uc")
    result = run(work)
    port = result["ports"]["s:e2"]
    assert drops(result) == {"wred": sum(port["wred_dropped"])}
    assert sum(port["wred_dropped"]) > 0
    assert run(incast(ecn(wred_drop=True), transport="uc"))["ports"]["s:e2"]["wred_dropped"] == [0] * 8


def test_a_priority_without_ecn_is_left_alone() -> None:
    result = run(incast(ecn(1000, 2000, 1.0), priority=2))
    assert sum(result["ports"]["s:e2"]["ecn_marked"]) == 0


def test_a_port_takes_the_profile_of_its_own_rate() -> None:
    any_rate = {"rate_bps": 0, "kmin_bytes": 10**9, "kmax_bytes": 10**9, "pmax": 1.0}
    at_100g = {"rate_bps": 100 * GBPS, "kmin_bytes": 1000, "kmax_bytes": 1000, "pmax": 1.0}
    profile = {"priorities": [3], "profiles": [any_rate, at_100g]}
    assert sum(run(incast(profile))["ports"]["s:e2"]["ecn_marked"]) > 0
    at_100g["rate_bps"] = 25 * GBPS
    assert sum(run(incast(profile))["ports"]["s:e2"]["ecn_marked"]) == 0


def test_marks_slow_the_senders_down_and_the_queue_stays_short() -> None:
    """The loop closed: with DCQCN the queue stays near Kmax where without it holds the whole burst."""
    flows = [flow(f"f{i}", f"h{i}", "h2", 5_000_000) for i in range(2)]
    switch_cfg = {"ecn": ecn(), "buffer": {"bytes": 64_000_000, "lossy_alpha": 8.0, "egress_alpha": 8.0}}
    queue = {}
    for algorithm in ("none", "dcqcn"):
        work = star(3, flows, switch=switch_cfg, nic={"cc": {"algorithm": algorithm}}, duration_ps=100 * MS)
        result = run(work)
        assert drops(result) == {}
        queue[algorithm] = max(result["ports"]["s:e2"]["queue_max_bytes"])
    assert queue["none"] > 4_500_000
    assert queue["dcqcn"] < 2_000_000


def test_an_impairment_marks_exactly_the_named_packets() -> None:
    events = [{"at_ps": 0, "kind": "impair", "flow": "f", "action": "mark", "packets": [0, 7, 99]}]
    work = star(2, [flow("f", "h0", "h1", 200 * 1024)], events=events, nic={"cnp": {"interval_ps": US // 10}})
    counts = flow_of(run(work), "f")
    assert counts["ecn_marked"] == counts["cnp_sent"] == counts["cnp_received"] == 3
