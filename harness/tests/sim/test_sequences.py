"""Flows that wait for flows, messages in time, latency, and when a run ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.analysis.collectives import ring_step_chunk
from harness.analysis.queueing import md1_wait
from harness.analysis.transport import Hop, Wire, completion_ps, delivery_ps, exact_ps
from harness.tests.sim.jobs import (
    GBPS,
    MS,
    US,
    Json,
    flow,
    flow_of,
    host,
    job,
    link,
    run,
    run_text,
    star,
    switch,
)

LINE = 100 * GBPS
PATH = [Hop(LINE, US)] * 2
WIRE = Wire()


def delivered(size: int) -> int:
    """From the start of a write to its last byte at the receiver."""
    return delivery_ps(WIRE.message(size, 1024), PATH)[-1]


def acknowledged(size: int) -> int:
    return completion_ps(WIRE.message(size, 1024), PATH, ack_bytes=WIRE.ack())


# ---- after ----


def test_a_flow_waits_for_the_acknowledgement_of_what_was_sent_from_its_source() -> None:
    flows = [flow("a", "h0", "h1", 50_000), flow("b", "h0", "h2", 1000, after=["a"])]
    assert flow_of(run(star(3, flows)), "b")["start_ps"] == acknowledged(50_000)


def test_a_flow_waits_for_the_delivery_of_what_came_to_its_source() -> None:
    flows = [flow("a", "h0", "h1", 50_000), flow("b", "h1", "h2", 1000, after=["a"])]
    assert flow_of(run(star(3, flows)), "b")["start_ps"] == delivered(50_000)


def test_the_delay_and_the_start_time_both_hold() -> None:
    for delay, start, expected in ((7 * US, 0, delivered(5000) + 7 * US), (0, 90 * US, 90 * US)):
        flows = [
            flow("a", "h0", "h1", 5000),
            flow("b", "h1", "h2", 1000, after=["a"], after_delay_ps=delay, start_ps=start),
        ]
        assert flow_of(run(star(3, flows)), "b")["start_ps"] == expected


def test_a_flow_waits_for_the_last_of_several() -> None:
    flows = [
        flow("a", "h0", "h2", 5000), flow("b", "h1", "h2", 5000, start_ps=40 * US),
        flow("c", "h2", "h0", 1000, after=["a", "b"]),
    ]  # fmt: skip
    assert flow_of(run(star(3, flows)), "c")["start_ps"] == 40 * US + delivered(5000)


def test_nothing_follows_a_flow_that_failed() -> None:
    flows = [flow("a", "h0", "h1", 5000), flow("b", "h0", "h2", 1000, after=["a"])]
    events = [{"at_ps": 0, "kind": "impair", "flow": "a", "action": "drop", "fraction": 1.0}]
    work = star(3, flows, events=events, nic={"ack_timeout_exponent": 4, "retry_count": 0}, duration_ps=MS)
    result = run(work)
    assert [entry["status"] for entry in result["flows"]] == ["failed", "not_started"]
    assert result["ended"] == "limit"


@pytest.mark.parametrize("ranks", [2, 4, 5])
def test_a_ring_all_reduce_takes_its_steps_exactly(ranks: int) -> None:
    """2 (n - 1) steps; a step is one chunk to the right neighbour, after the chunk of the step before came in.

    All links are equal and used by one flow at a time, so a step takes the delivery of one chunk: the sum is
    exact. A sender's next chunk never waits for its previous one, which was sent as long ago as the step.
    """
    chunk, steps = 30_000, 2 * (ranks - 1)
    flows = [
        flow(f"s{step}.{rank}", f"h{rank}", f"h{(rank + 1) % ranks}", chunk,
             after=[f"s{step - 1}.{(rank - 1) % ranks}"] if step else [])
        for step in range(steps)
        for rank in range(ranks)
    ]  # fmt: skip
    result = run(star(ranks, flows, nic={"ack": {"priority": 6}}))
    # ACKs share the links with data going the other way: on a star each host sends data and ACKs on one link
    ends = [
        max(flow_of(result, f"s{step}.{rank}")["start_ps"] for rank in range(ranks)) for step in range(steps)
    ]
    ideal = delivered(chunk)
    for step, start in enumerate(ends):
        # every ACK of a chunk (30 of 86 bytes) may delay data by its own time, at the host and at the switch
        assert step * ideal <= start <= step * (ideal + 2 * 30 * exact_ps(86, LINE))
    assert {ring_step_chunk(rank, 0, ranks) for rank in range(ranks)} == set(range(ranks))


def test_a_ring_on_dedicated_links_is_exact() -> None:
    """Two ports a host, so that data and ACKs of different flows never meet: steps of one delivery, to the ps."""
    ranks, chunk = 4, 30_000
    steps = 2 * (ranks - 1)
    nodes = [host(f"h{i}", 2) for i in range(ranks)] + [switch(f"s{i}", ["a", "b"]) for i in range(ranks)]
    links = []
    for i in range(ranks):
        links += [link(f"h{i}:p1", f"s{i}:a"), link(f"s{i}:b", f"h{(i + 1) % ranks}:p0")]
    flows = [
        {"name": f"s{step}.{rank}", "src": f"h{rank}:p1", "dst": f"h{(rank + 1) % ranks}:p0", "message_bytes": chunk,
         "after": [f"s{step - 1}.{(rank - 1) % ranks}"] if step else []}
        for step in range(steps)
        for rank in range(ranks)
    ]  # fmt: skip
    result = run(job(nodes, links, flows))
    # a chunk follows the one before on the same QP-less link, which was delivered just then: nothing queues
    for entry in result["flows"]:
        step = int(entry["name"][1:].split(".")[0])
        assert entry["start_ps"] == step * delivered(chunk)
    assert result["end_ps"] == (steps - 1) * delivered(chunk) + acknowledged(chunk)


# ---- messages in time ----


def test_messages_leave_at_their_interval() -> None:
    flows = [flow("f", "h0", "h1", 1000, messages=50, message_interval_ps=3 * US)]
    counts = flow_of(run(star(2, flows)), "f")
    assert counts["fct_ps"] == 49 * 3 * US + acknowledged(1000)
    assert counts["latency"]["min_ps"] == counts["latency"]["max_ps"] == acknowledged(1000)


def test_a_message_posted_while_the_port_is_busy_leaves_at_its_pace() -> None:
    """The port sends a large packet of another QP when a paced QP is posted to, and nothing comes after it."""
    nic = {"mtu_bytes": 4096}
    slow = GBPS
    flows = [
        flow("paced", "h0", "h1", 100, verb="send", transport="uc", messages=2, rate_bps=slow,
             message_interval_ps=1_200_000),
        flow("large", "h0", "h1", 4096, verb="send", transport="uc", start_ps=1_100_000),
    ]  # fmt: skip
    result = run(star(2, flows, nic=nic))
    # 100 + 82 bytes at 1 Gb/s: the second may leave at 1456 ns, while the large one (334 ns) occupies the port
    # until 1434 ns and nothing else would wake it
    assert flow_of(result, "paced")["end_ps"] == exact_ps(182, slow)


@pytest.mark.parametrize("outstanding", [1, 2])
def test_ping_pong_latency(outstanding: int) -> None:
    """One message at a time: each takes a round trip; with two, both are on their way at once."""
    flows = [flow("f", "h0", "h1", 64, messages=100, max_outstanding=outstanding)]
    counts = flow_of(run(star(2, flows)), "f")
    round_trip = acknowledged(64)
    if outstanding == 1:
        assert counts["fct_ps"] == 100 * round_trip
        assert counts["latency"]["p50_ps"] == pytest.approx(round_trip, rel=0.01)
    else:
        assert counts["fct_ps"] == pytest.approx(50 * round_trip, rel=0.03)
    assert counts["latency"]["count"] == 100


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_poisson_arrivals_wait_as_in_an_md1_queue(load: float) -> None:
    """One packet a message, service of one packet: the mean wait is rho s / (2 (1 - rho)) (Pollaczek-Khinchine)."""
    service, n = exact_ps(1024 + 82, LINE), 60_000
    flows = [
        flow("f", "h0", "h1", 1024, verb="send", transport="uc", messages=n, arrivals="poisson",
             message_interval_ps=round(service / load))
    ]  # fmt: skip
    latency = flow_of(run(star(2, flows)), "f")["latency"]
    alone = 2 * service + 2 * US
    assert latency["min_ps"] == alone
    wait = latency["mean_ps"] - alone
    # the wait is correlated over the relaxation time 1 / (1 - rho)^2: relative error about 2 / sqrt(n (1 - rho)^2)
    error = 3 * 2 / (n**0.5 * (1 - load))
    assert wait == pytest.approx(md1_wait(load, service), rel=max(error, 0.03))


def test_poisson_intervals_have_the_mean_and_spread_of_an_exponential() -> None:
    """Sum of n exponentials: mean n m, deviation sqrt(n) m."""
    n, mean = 20_000, US
    flows = [
        flow("f", "h0", "h1", 64, transport="uc", messages=n, arrivals="poisson", message_interval_ps=mean)
    ]
    span = flow_of(run(star(2, flows)), "f")["fct_ps"]
    assert abs(span - n * mean) < 4 * n**0.5 * mean


def test_latency_percentiles_are_within_one_percent() -> None:
    """Latencies that are known exactly: the i-th of n messages posted at once waits for i serialisations."""
    n = 5000
    flows = [flow("f", "h0", "h1", 1024, verb="send", transport="uc", messages=n, message_interval_ps=1)]
    latency = flow_of(run(star(2, flows)), "f")["latency"]
    service = exact_ps(1106, LINE)
    exact = np.array([(i + 2) * service + 2 * US - i for i in range(n)])
    for key, fraction in (("p50_ps", 0.5), ("p90_ps", 0.9), ("p99_ps", 0.99), ("p999_ps", 0.999)):
        assert latency[key] == pytest.approx(np.quantile(exact, fraction, method="inverted_cdf"), rel=0.01)
    assert (latency["min_ps"], latency["max_ps"]) == (exact[0], exact[-1])
    assert latency["mean_ps"] == pytest.approx(exact.mean(), rel=1e-9)


# ---- the end of a run ----


def endless(**more: Any) -> Json:
    return star(
        2, [flow("f", "h0", "h1", 10_000, messages=0)], until="duration", duration_ps=200 * US, **more
    )


def test_until_duration_stops_there() -> None:
    result = run(endless())
    assert (result["ended"], result["end_ps"]) == ("duration", 200 * US)
    counts = flow_of(result, "f")
    assert counts["status"] == "unfinished"
    assert counts["packets_in_flight"] > 0
    assert counts["packets_sent"] == counts["packets_delivered"] + counts["packets_in_flight"]


def test_drain_lets_what_is_in_flight_arrive() -> None:
    counts = flow_of(run(endless(drain_ps=20 * US)), "f")
    assert counts["packets_in_flight"] == 0
    assert counts["packets_sent"] == flow_of(run(endless()), "f")["packets_sent"]  # nobody sends in the drain


def test_until_done_is_cut_off_at_the_duration() -> None:
    result = run(star(2, [flow("f", "h0", "h1", 10_000_000)], duration_ps=100 * US))
    assert (result["ended"], result["end_ps"]) == ("limit", 100 * US)
    assert flow_of(result, "f")["status"] == "unfinished"


def test_until_done_ends_with_the_last_acknowledgement() -> None:
    result = run(star(2, [flow("f", "h0", "h1", 10_000)]))
    assert result["ended"] == "done"
    assert result["end_ps"] == flow_of(result, "f")["end_ps"] == acknowledged(10_000)
    assert result["conservation"]["packets_in_flight"] == 0


@pytest.mark.parametrize("until", ["done", "duration"])
def test_a_job_without_flows_is_a_run_too(until: str) -> None:
    result = run(star(2, [], until=until, duration_ps=MS))
    assert result["ended"] == until
    assert result["flows"] == []
    assert result["stats"]["link_hops"] == 0


def test_counts_of_the_whole_run() -> None:
    """10 packets over two links, and an ACK back over two for each."""
    stats = run(star(2, [flow("f", "h0", "h1", 10 * 1024)]))["stats"]
    assert stats["data_packets"] == 10
    assert stats["link_hops"] == 40
    assert stats["packets_peak"] <= 20
    assert stats["events"] >= 40


def test_the_same_job_gives_the_same_bytes_and_another_seed_others() -> None:
    flows = [flow(f"f{i}", f"h{i}", "h3", 500_000, arrivals="poisson", messages=3, message_interval_ps=US)
             for i in range(3)]  # fmt: skip
    events = [{"at_ps": 0, "kind": "impair", "flow": "f0", "action": "drop", "fraction": 0.01}]
    one = run_text(star(4, flows, seed=1, events=events, nic={"ack_timeout_exponent": 8}))
    again = run_text(star(4, flows, seed=1, events=events, nic={"ack_timeout_exponent": 8}))
    other = run_text(star(4, flows, seed=2, events=events, nic={"ack_timeout_exponent": 8}))
    assert one == again
    assert one.replace('"seed":1', '"seed":2') != other
