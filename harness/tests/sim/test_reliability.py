"""Loss and recovery on RC: exact retransmissions, NAKs, timeouts, and what becomes of the goodput.

Sources: InfiniBand Architecture Specification vol. 1, 9.7 (PSN rules, NAK, retry, timers); the counter
identities of a correct NIC: NAKs on the wire = receiver's out_of_sequence = sender's packet_seq_err.
"""

from __future__ import annotations

import pytest

from harness.analysis.transport import ack_timeout_ps, give_up_ps, go_back_n_goodput, in_flight_packets
from harness.tests.sim.jobs import GBPS, MS, US, Json, chain, drops, flow, flow_of, nic_of, run, star

N = 1000
SIZE = N * 1024
WIRE = 1024 + 82
PACKET_PS = WIRE * 8 * 10


def impair(action: str = "drop", name: str = "f", at_ps: int = 0, **more: object) -> Json:
    return {"at_ps": at_ps, "kind": "impair", "flow": name, "action": action, **more}


def lossy(
    events: list[Json], *, recovery: str = "go_back_n", size: int = SIZE, verb: str = "write", timeout: int = 8,
    flow_keys: Json | None = None, **nic: object,
) -> Json:  # fmt: skip
    keys = {"verb": verb, **(flow_keys or {})}
    nic = {"loss_recovery": recovery, "ack_timeout_exponent": timeout, **nic}
    return star(2, [flow("f", "h0", "h1", size, **keys)], events=events, nic=nic)


def check_nak_identity(result: Json) -> int:
    """NAKs as counted in three places; returns their number."""
    naks = flow_of(result, "f")["naks_sent"]
    assert naks == flow_of(result, "f")["naks_received"]
    assert naks == nic_of(result, "h1")["out_of_sequence"] == nic_of(result, "h0")["packet_seq_err"]
    return int(naks)


def packets_until_nak(lost: int) -> int:
    """Packets sent beyond a lost one before its NAK is back: what go-back-N sends again with it.

    The packet after the lost one is at the receiver two serialisations and two delays later, the NAK (86
    bytes on the wire) as much again; the sender then ends the packet it has begun. RETH only on packet 0.
    """
    nak = 2 * (86 * 8 * 10) + 2 * US
    successor_sent = PACKET_PS  # from the end of the lost packet
    back = successor_sent + US + PACKET_PS + US + nak
    return -(-back // PACKET_PS)


@pytest.mark.parametrize("lost", [1, 17, 500])
def test_go_back_n_sends_everything_again_from_the_lost_packet(lost: int) -> None:
    result = run(lossy([impair(packets=[lost])]))
    counts = flow_of(result, "f")
    assert counts["status"] == "done"
    assert check_nak_identity(result) == 1
    again = 1 + packets_until_nak(lost)
    assert counts["packets_retransmitted"] == pytest.approx(again, abs=1)
    assert counts["packets_out_of_order"] == counts["packets_retransmitted"] - 1
    assert counts["packets_sent"] == N + counts["packets_retransmitted"]
    assert counts["packets_dropped"] == 1
    assert counts["timeouts"] == 0


@pytest.mark.parametrize(
    ("lost", "again"),
    [([5], 1), ([0], 1), ([5, 6], 2), ([5, 300], 2), ([10, 12, 14, 16], 4), (list(range(100, 140)), 40)],
)
def test_selective_repeat_sends_each_lost_packet_once(lost: list[int], again: int) -> None:
    result = run(lossy([impair(packets=lost)], recovery="selective_repeat"))
    counts = flow_of(result, "f")
    assert counts["status"] == "done"
    assert counts["packets_retransmitted"] == again
    assert counts["packets_duplicate"] == 0
    assert counts["timeouts"] == 0
    assert check_nak_identity(result) >= 1


@pytest.mark.parametrize("recovery", ["go_back_n", "selective_repeat"])
@pytest.mark.parametrize("tail", [1, 3])
def test_a_lost_tail_waits_for_the_timeout(recovery: str, tail: int) -> None:
    """Nothing follows that could reveal the gap: the timer runs from the last progress."""
    result = run(lossy([impair(packets=list(range(N - tail, N)))], recovery=recovery, timeout=6))
    counts = flow_of(result, "f")
    assert counts["status"] == "done"
    assert counts["timeouts"] == nic_of(result, "h0")["local_ack_timeout"]
    assert counts["packets_retransmitted"] == tail
    assert counts["naks_sent"] == 0
    timeout = ack_timeout_ps(6)
    assert timeout is not None
    free = flow_of(run(lossy([])), "f")["fct_ps"]
    assert counts["timeouts"] == 1  # after which all that is outstanding goes out again
    assert counts["fct_ps"] - free == pytest.approx(timeout, abs=5 * US)


@pytest.mark.parametrize("recovery", ["go_back_n", "selective_repeat"])
def test_a_lost_retransmission_costs_one_timeout(recovery: str) -> None:
    events = [impair(packets=[500]), impair(packets=[500], iteration=2)]
    result = run(lossy(events, recovery=recovery))
    counts = flow_of(result, "f")
    assert counts["status"] == "done"
    assert counts["packets_dropped"] == 2
    assert counts["timeouts"] == 1
    if recovery == "selective_repeat":
        assert counts["packets_retransmitted"] == 2


def test_the_first_of_many_transmissions_may_be_chosen() -> None:
    """`iteration` 3 of a packet that is sent once changes nothing."""
    result = run(lossy([impair(packets=[500], iteration=3)]))
    assert flow_of(result, "f")["packets_dropped"] == 0


@pytest.mark.parametrize("loss", [0.001, 0.003, 0.01])
def test_go_back_n_goodput_under_random_loss(loss: float) -> None:
    """Goodput over capacity is 1 / (1 + p W): each loss among the packets in order costs W packet times."""
    packets = 20_000
    result = run(lossy([impair(fraction=loss)], size=packets * 1024, timeout=10))
    counts = flow_of(result, "f")
    assert counts["status"] == "done"
    w = packets_until_nak(0) + 1  # the round trip of the NAK, and the lost packet itself
    assert w == pytest.approx(in_flight_packets(100 * GBPS, 4.35 * US, WIRE), abs=3)
    busy = counts["fct_ps"] - counts["timeouts"] * (ack_timeout_ps(10) or 0)
    goodput = packets * PACKET_PS / busy
    # every episode costs the same: exact but for the round trip at the end and half a packet of phase
    episodes = counts["naks_sent"] + counts["timeouts"]
    assert goodput == pytest.approx(packets / (packets + w * episodes), rel=0.02)
    # and the number of episodes is binomial: 4 standard deviations
    assert abs(episodes - loss * packets) < 4 * (loss * packets) ** 0.5
    deviation = 4 * (loss * packets) ** 0.5 * w / packets
    assert goodput == pytest.approx(go_back_n_goodput(loss, w), abs=deviation + 0.02)


def test_selective_repeat_outruns_go_back_n() -> None:
    times = {
        recovery: flow_of(run(lossy([impair(fraction=0.01)], recovery=recovery, size=5_000 * 1024)), "f")[
            "fct_ps"
        ]
        for recovery in ("go_back_n", "selective_repeat")
    }
    assert times["selective_repeat"] < 0.85 * times["go_back_n"]


@pytest.mark.parametrize("recovery", ["go_back_n", "selective_repeat", "go_back_0"])
def test_the_hpcc_scheduler_repeats_too(recovery: str) -> None:
    """Its list of QPs with data left must know of packets to send again when all is sent once."""
    events = [impair(packets=[N - 40, N - 3])]
    counts = flow_of(run(lossy(events, recovery=recovery, scheduler={"kind": "hpcc"})), "f")
    assert counts["status"] == "done"
    assert counts["timeouts"] == 0


def test_go_back_0_makes_no_progress_under_one_loss_in_256() -> None:
    """A 4 MB message of 4096 packets is never sent whole: (1 - 1/256)^4096 = 1e-7 (SIGCOMM 2016, livelock)."""
    events = [impair(fraction=1 / 256)]
    keys = {"flow_keys": {"messages": 0}}
    work = {"until": "duration", "duration_ps": 10 * MS}
    livelock = run({**lossy(events, recovery="go_back_0", size=4096 * 1024, **keys), **work})  # type: ignore[arg-type]
    fine = run({**lossy(events, recovery="go_back_n", size=4096 * 1024, **keys), **work})  # type: ignore[arg-type]
    stuck = flow_of(livelock, "f")
    assert stuck["messages_completed"] == 0
    assert stuck["packets_sent"] * PACKET_PS > 0.8 * 10 * MS  # the link is busy all the same
    assert flow_of(fine, "f")["messages_completed"] > 10
    assert stuck["bytes_delivered"] < 4096 * 1024


def test_go_back_0_completes_short_messages() -> None:
    result = run(
        lossy([impair(packets=[5, 77])], recovery="go_back_0", size=10 * 1024, flow_keys={"messages": 10})
    )
    counts = flow_of(result, "f")
    assert counts["status"] == "done"
    assert counts["bytes_delivered"] == counts["bytes_acked"] == 100 * 1024


@pytest.mark.parametrize(("exponent", "retries"), [(4, 0), (6, 1), (6, 7), (8, 3)])
def test_retries_run_out_after_one_timeout_each_and_one_more(exponent: int, retries: int) -> None:
    """All is lost: retry_count + 1 timeouts of 4.096 us * 2^t, counted from the first packet."""
    result = run(lossy([impair(fraction=1.0)], timeout=exponent, retry_count=retries, size=1024))
    counts = flow_of(result, "f")
    assert (counts["status"], counts["error"]) == ("failed", "RETRY_EXC_ERR")
    assert counts["timeouts"] == retries + 1
    assert nic_of(result, "h0")["retry_exhausted"] == 1
    assert result["ended"] == "done"
    assert counts["fct_ps"] is None
    assert result["end_ps"] == give_up_ps(exponent, retries)


def test_progress_fills_the_retries_up_again() -> None:
    """Five timeouts with progress between them are no exhaustion of retry_count 1; two in a row are."""
    one_by_one = {"messages": 5, "max_outstanding": 1}
    events = [impair(packets=[0, 1, 2, 3, 4])]
    counts = flow_of(run(lossy(events, timeout=4, retry_count=1, size=1024, flow_keys=one_by_one)), "f")
    assert (counts["status"], counts["timeouts"]) == ("done", 5)
    events.append(impair(packets=[3], iteration=2))
    counts = flow_of(run(lossy(events, timeout=4, retry_count=1, size=1024, flow_keys=one_by_one)), "f")
    assert (counts["status"], counts["timeouts"], counts["messages_completed"]) == ("failed", 5, 3)


def test_a_timeout_of_zero_waits_for_ever() -> None:
    work = lossy([impair(fraction=1.0)], timeout=0, size=1024)
    work["duration_ps"] = 50 * MS
    result = run(work)
    assert result["ended"] == "limit"
    assert flow_of(result, "f")["status"] == "unfinished"
    assert flow_of(result, "f")["timeouts"] == 0


def test_the_nak_interval_repeats_a_nak() -> None:
    """One NAK per gap, or one per interval while packets beyond the gap keep coming."""
    events = [impair(packets=[100])]
    assert check_nak_identity(run(lossy(events))) == 1
    assert check_nak_identity(run(lossy(events, nak_interval_ps=US))) > 1


def test_corruption_is_seen_by_the_icrc_and_repaired() -> None:
    result = run(lossy([impair("corrupt", packets=[3, 400])]))
    assert nic_of(result, "h1")["icrc_errors"] == 2
    assert flow_of(result, "f")["status"] == "done"
    assert drops(result) == {"injected": 2}
    assert check_nak_identity(result) == 2


def test_a_duplicate_is_acknowledged_again_and_delivered_once() -> None:
    result = run(lossy([impair("duplicate", packets=[3, 400])]))
    counts = flow_of(result, "f")
    assert counts["packets_duplicate"] == nic_of(result, "h1")["duplicate_request"] == 2
    assert counts["bytes_delivered"] == SIZE
    assert nic_of(result, "h1")["acks_sent"] == N + 2
    assert counts["packets_retransmitted"] == 0


@pytest.mark.parametrize("recovery", ["go_back_n", "selective_repeat"])
def test_a_delayed_packet_is_taken_for_lost(recovery: str) -> None:
    """Held back by 3 us it arrives behind its successors: a NAK, and a repetition for nothing."""
    result = run(lossy([impair("delay", packets=[400], delay_ps=3 * US)], recovery=recovery))
    counts = flow_of(result, "f")
    assert counts["packets_dropped"] == 0
    # go-back-N: when it comes it closes its own gap, and what had been discarded is the next gap
    assert check_nak_identity(result) == (2 if recovery == "go_back_n" else 1)
    assert counts["packets_out_of_order"] > 0
    if recovery == "selective_repeat":
        assert counts["packets_retransmitted"] == counts["packets_duplicate"] == 1


def test_a_long_queue_of_delayed_packets_arrives_in_its_order() -> None:
    """All packets of a flow held back by far more than its length: it just takes that much longer.

    A search from the front for each of 60,000 places would take minutes.
    """
    packets, delay = 60_000, 10 * MS
    keys = {"flow_keys": {"transport": "uc"}}
    free = run(lossy([], size=packets * 1024, **keys))  # type: ignore[arg-type]
    late = run(lossy([impair("delay", fraction=1.0, delay_ps=delay)], size=packets * 1024, **keys))  # type: ignore[arg-type]
    assert flow_of(late, "f")["packets_out_of_order"] == flow_of(late, "f")["packets_duplicate"] == 0
    latency = [flow_of(result, "f")["latency"]["max_ps"] for result in (free, late)]
    assert latency[1] - latency[0] == delay


def test_bit_errors_lose_what_their_rate_says() -> None:
    """(1 - ber)^(8 L) of the frames survive a link; 10,000 frames at 1e-6 lose 0.86 %."""
    ber, packets = 1e-6, 10_000
    work = chain(0, [flow("f", "h0", "h1", packets * 1024)], nic={"loss_recovery": "selective_repeat"})
    work["links"][0]["ber"] = ber
    result = run(work)
    counts = flow_of(result, "f")
    expected = counts["packets_sent"] * (1 - (1 - ber) ** (8 * 1086))
    assert abs(counts["packets_dropped"] - expected) < 4 * expected**0.5
    assert counts["status"] == "done"


# ---- reads ----


def test_a_lost_response_makes_an_implied_nak() -> None:
    result = run(lossy([impair(packets=[50])], verb="read"))
    counts = flow_of(result, "f")
    requester, responder = nic_of(result, "h0"), nic_of(result, "h1")
    assert counts["status"] == "done"
    assert requester["implied_nak_seq_err"] == responder["duplicate_request"] == 1
    assert requester["local_ack_timeout"] == 0
    assert counts["bytes_delivered"] == SIZE


def test_a_lost_last_response_waits_for_the_requesters_timer() -> None:
    result = run(lossy([impair(packets=[N - 1])], verb="read", timeout=8))
    requester, responder = nic_of(result, "h0"), nic_of(result, "h1")
    assert requester["local_ack_timeout"] == responder["duplicate_request"] == 1
    assert requester["implied_nak_seq_err"] == 0
    assert flow_of(result, "f")["packets_retransmitted"] == 1


@pytest.mark.parametrize("verb", ["read", "atomic"])
def test_a_gap_in_one_of_several_responses_is_asked_for_once(verb: str) -> None:
    """The requester asks again for all that it waits for; the responder answers in order and skips nothing."""
    size = 8 if verb == "atomic" else SIZE // 10
    work = lossy([impair(packets=[50])], verb=verb, size=size, flow_keys={"messages": 100})
    result = run(work)
    assert flow_of(result, "f")["status"] == "done"
    assert nic_of(result, "h0")["implied_nak_seq_err"] == 1
    assert flow_of(result, "f")["timeouts"] == 0


def test_reads_keep_max_rd_atomic_requests_in_flight() -> None:
    """One outstanding read of 1 KB: a round trip each."""

    def completion(limit: int) -> int:
        work = lossy([], size=1024, verb="read", flow_keys={"messages": 64}, max_rd_atomic=limit)
        return int(flow_of(run(work), "f")["fct_ps"])

    request, response = 98 * 80, (1024 + 4 + 82) * 80
    one = 2 * (request + US) + 2 * (response + US)
    assert completion(1) == 64 * one
    assert completion(16) < completion(1) / 10


def test_a_lost_atomic_response_is_replayed() -> None:
    work = lossy([impair(packets=[2, 7])], verb="atomic", size=8, flow_keys={"messages": 50}, timeout=6)
    counts = flow_of(run(work), "f")
    assert counts["status"] == "done"
    assert counts["bytes_delivered"] == 50 * 8


def test_a_window_does_not_stall_atomics() -> None:
    """The responder answers what it is asked; the requester's window is about what it sends."""
    work = lossy([], verb="atomic", size=8, flow_keys={"messages": 50, "window_bytes": 64})
    assert flow_of(run(work), "f")["status"] == "done"
