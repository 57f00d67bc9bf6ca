"""Whole flows: two sessions over a verbs library that really copies memory."""

from __future__ import annotations

import pytest

from harness.hosts.agent.errors import AgentError, BadRequest

ONE_SIDED = ["write", "read", "write_imm"]
ATOMICS = ["atomic", "fetch_add", "compare_swap"]


def done(result):
    return (result["status"], result["error"], result["payload_mismatched_bytes"])


@pytest.mark.parametrize("size", [1, 4096, 100_001])
@pytest.mark.parametrize(
    ("transport", "verb"),
    [("rc", verb) for verb in ("write", "write_imm", "send", "send_imm", "read")]
    + [("uc", verb) for verb in ("write", "write_imm", "send", "send_imm")],
)
def test_every_byte_of_every_message_is_verified(pair, flow, transport, verb, size):
    pair.prepare([flow(verb=verb, transport=transport, message_bytes=size, messages=5, qps=3)])
    pair.connect()
    results = pair.run()
    source, target = results["f/src"], results["f/dst"]
    checked = source if verb == "read" else target
    assert done(source)[:2] == ("done", None)
    assert source["bytes_acked"] == 15 * size
    assert source["completed"] == [5, 5, 5]
    assert checked["payload_verified_bytes"] == 15 * size
    assert checked["payload_mismatched_bytes"] == 0
    assert source["latencies"]["count"] == 15


@pytest.mark.parametrize("verb", ["send", "send_imm"])
def test_datagrams_leave_room_for_the_route_header(pair, flow, verb):
    pair.prepare([flow(verb=verb, transport="ud", message_bytes=4096, messages=9)])
    pair.connect()
    target = pair.run()["f/dst"]
    assert target["payload_verified_bytes"] == 9 * 4096
    assert target["payload_mismatched_bytes"] == 0


@pytest.mark.parametrize("verb", ATOMICS)
def test_atomics_count_one_by_one(pair, flow, verb):
    pair.prepare([flow(verb=verb, message_bytes=8, messages=300, qps=2)])
    pair.connect()
    results = pair.run()
    assert results["f/src"]["payload_verified_bytes"] == 600 * 8
    assert results["f/dst"]["payload_verified_bytes"] == 2 * 8
    assert results["f/src"]["payload_mismatched_bytes"] == results["f/dst"]["payload_mismatched_bytes"] == 0


@pytest.mark.parametrize("verb", ["write", "send", "read", "fetch_add"])
def test_a_corrupted_byte_is_found_and_placed(pair, flow, verb):
    seen = []

    def corrupt(data):
        seen.append(data)
        if len(seen) == 3:
            data[-1] ^= 1

    pair.fabric.corrupt = corrupt
    size = 8 if verb == "fetch_add" else 5000
    pair.prepare([flow(verb=verb, message_bytes=size)])
    pair.connect()
    results = pair.run()
    checked = results["f/src" if verb in {"read", "fetch_add"} else "f/dst"]
    assert checked["payload_mismatched_bytes"] == (8 if verb == "fetch_add" else 1)
    assert checked["first_mismatch"]["message"] == 2
    assert checked["first_mismatch"]["offset"] == (0 if verb == "fetch_add" else 4999)


def test_a_message_that_was_not_written_is_no_verified_payload(pair, flow):
    lost = iter([False, False, True, False])
    pair.fabric.lose = lambda data: next(lost)
    pair.prepare([flow()])
    pair.connect()
    target = pair.run()["f/dst"]
    assert target["payload_mismatched_bytes"] > 4900  # zeros where random bytes should be
    assert target["payload_verified_bytes"] < 4 * 5000


def test_an_old_message_in_a_slot_is_not_taken_for_the_new_one(pair, flow):
    count = iter(range(1000))
    pair.fabric.lose = lambda data: next(count) == 39
    pair.prepare([flow(messages=40, message_bytes=1 << 16)], memory_bytes=1 << 20)
    pair.connect()
    target = pair.run()["f/dst"]
    assert target["payload_mismatched_bytes"] > 60_000


@pytest.mark.parametrize("transport", ["uc", "ud"])
def test_messages_after_a_lost_one_are_recognised(pair, flow, transport):
    count = iter(range(1000))
    pair.fabric.lose = lambda data: next(count) in {3, 4, 10}
    pair.prepare([flow(verb="send", transport=transport, message_bytes=3000, messages=20)])
    pair.connect()
    target = pair.run()["f/dst"]
    assert (target["recv_completions"], target["status"]) == (17, "unfinished")
    assert target["bytes_delivered"] == target["payload_verified_bytes"] == 17 * 3000
    assert target["payload_mismatched_bytes"] == 0


def test_bytes_an_unreliable_write_lost_are_neither_verified_nor_wrong(pair, flow):
    count = iter(range(1000))
    pair.fabric.lose = lambda data: next(count) == 1
    pair.prepare([flow(transport="uc", message_bytes=8192)])
    pair.connect()
    target = pair.run()["f/dst"]
    assert target["payload_verified_bytes"] == 3 * 8192
    assert target["payload_mismatched_bytes"] == 0


def test_folded_memory_says_how_little_it_could_check(pair, flow):
    pair.prepare([flow(messages=1, message_bytes=8 << 20)], memory_bytes=1 << 20)
    pair.connect()
    results = pair.run()
    assert results["f/src"]["bytes_acked"] == 8 << 20
    assert 0 < results["f/dst"]["payload_verified_bytes"] <= 1 << 20
    assert results["f/dst"]["payload_mismatched_bytes"] == 0


def test_no_check_is_null_not_zero(pair, flow):
    pair.prepare([flow(verbs={"check_payload": False})])
    pair.connect()
    target = pair.run()["f/dst"]
    assert target["payload_verified_bytes"] is None
    assert target["payload_mismatched_bytes"] is None
    assert target["bytes_delivered"] is None


def test_a_notified_target_knows_that_all_is_there(pair, flow):
    pair.prepare([flow(qps=2)], notify={"f"})
    pair.connect()
    target = pair.run()["f/dst"]
    assert (target["status"], target["recv_completions"]) == ("done", 2)
    assert target["bytes_delivered"] == target["payload_verified_bytes"] == 2 * 4 * 5000


@pytest.mark.parametrize(
    ("fault", "verb", "error"),
    [
        ("bad_rkey", "write", "REM_ACCESS_ERR"),
        ("bad_address", "read", "REM_ACCESS_ERR"),
        ("no_remote_write", "write", "REM_ACCESS_ERR"),
        ("no_remote_read", "read", "REM_ACCESS_ERR"),
        ("no_remote_atomic", "fetch_add", "REM_ACCESS_ERR"),
        ("long_send", "send", "REM_INV_REQ_ERR"),
        ("bad_lkey", "write", "LOC_PROT_ERR"),
        ("no_receiver", "write", "RETRY_EXC_ERR"),
    ],
)
@pytest.mark.parametrize("mode", ["reset", "rebuild"])
def test_faults_fail_and_are_gone_after_recovery(pair, flow, fault, verb, error, mode):
    size = 8 if verb == "fetch_add" else 5000
    pair.prepare([flow(verb=verb, message_bytes=size, verbs={"fault": fault, "recover": mode})])
    pair.connect()
    source = pair.run()["f/src"]
    assert (source["status"], source["error"], source["messages_completed"]) == ("failed", error, 0)
    assert source["told_ns"] > 0
    pair.recover()
    pair.connect()
    results = pair.run(op="resume")
    assert done(results["f/src"])[:2] == ("done", None)
    assert results["f/src"]["recovery_ns"] > 0
    assert results["f/src"]["recovery_local_ns"] > 0
    checked = results["f/src" if verb in {"read", "fetch_add"} else "f/dst"]
    assert checked["payload_mismatched_bytes"] == 0
    assert checked["payload_verified_bytes"] == 4 * size


def test_receives_run_out_exactly(pair, flow):
    pair.prepare([flow(verb="send", messages=32, recv_depth=16)])
    pair.connect()
    results = pair.run()
    assert results["f/src"]["messages_completed"] == results["f/dst"]["recv_completions"] == 16
    assert results["f/src"]["error"] == "RNR_RETRY_EXC_ERR"


def test_shared_receives_serve_all_queue_pairs(pair, flow):
    pair.prepare([flow(verb="send", messages=200, qps=3, verbs={"srq": True})])
    pair.connect()
    target = pair.run()["f/dst"]
    assert target["payload_verified_bytes"] == 600 * 5000
    assert target["payload_mismatched_bytes"] == 0


@pytest.mark.parametrize(
    ("verb", "transport"), [("write", "rc"), ("send", "rc"), ("send", "ud"), ("write", "uc")]
)
@pytest.mark.parametrize("size", [1, 64])
def test_ping_pong_is_half_the_round_trip_and_checked_both_ways(pair, flow, verb, transport, size):
    pair.prepare(
        [
            flow(
                verb=verb,
                transport=transport,
                message_bytes=size,
                messages=600,
                qps=2,
                verbs={"ping_pong": True},
            )
        ]
    )
    pair.connect()
    results = pair.run()
    assert results["f/src"]["status"] == results["f/dst"]["status"] == "done"
    assert results["f/src"]["latencies"]["count"] == 1200
    for end in results.values():
        assert end["payload_verified_bytes"] == 1200 * size
        assert end["payload_mismatched_bytes"] == 0


@pytest.mark.parametrize("dtype", ["int32", "float32"])
@pytest.mark.parametrize("verb", ["write", "send_imm"])
@pytest.mark.parametrize("ranks", [2, 4])
def test_ring_all_reduce_sums_on_every_rank(pair, flow, dtype, verb, ranks):
    chunk, flows = 4000, []
    for step in range(2 * (ranks - 1)):
        for rank in range(ranks):
            gather = step - (ranks - 1)
            index = (rank - step) % ranks if gather < 0 else (rank + 1 - gather) % ranks
            part = {
                "group": "g", "ranks": ranks, "src_rank": rank, "dst_rank": (rank + 1) % ranks, "offset": index * chunk,
                "op": "sum" if gather < 0 else "copy", "dtype": dtype, "buffer_bytes": chunk * ranks,
            }  # fmt: skip
            after = [f"{step - 1}-{(rank - 1) % ranks}"] if step else []
            name = f"{step}-{rank}"
            flows.append(flow(name, verb=verb, messages=1, message_bytes=chunk, after=after, reduce=part))
    pair.prepare(
        flows,
        notify={item["name"] for item in flows},
        place=lambda item: (item["reduce"]["src_rank"] % 2, item["reduce"]["dst_rank"] % 2),
    )
    pair.connect()
    results = pair.run()
    assert {end["status"] for end in results.values()} == {"done"}
    groups = {**pair.ask(0, "reduce_check")["groups"], **pair.ask(1, "reduce_check")["groups"]}
    assert len(groups) == ranks
    assert all(group["expected_ok"] and group["bytes"] == chunk * ranks for group in groups.values())


def test_an_unfinished_reduction_is_not_called_good(pair, flow):
    part = {
        "group": "g", "ranks": 2, "src_rank": 0, "dst_rank": 1, "offset": 0, "op": "sum", "dtype": "int32",
        "buffer_bytes": 8000,
    }  # fmt: skip
    pair.prepare([flow(messages=1, message_bytes=4000, reduce=part)], notify={"f"})
    pair.connect()
    pair.run()
    group = pair.ask(1, "reduce_check")["groups"]["g/1"]
    assert (group["expected_ok"], group["wrong"], group["first_wrong"]) == (False, 1000, 1000)


def test_a_flow_waits_for_those_it_is_after(pair, flow):
    later = flow("later", after=["first"], after_delay_ps=50_000_000_000)
    pair.prepare([flow("first"), later])
    pair.connect()
    results = pair.run()
    assert results["later/src"]["start_mono_ns"] - results["first/src"]["end_mono_ns"] >= 50_000_000


def test_duration_ends_flows_without_a_number_of_messages(pair, flow):
    pair.prepare([flow(messages=0, max_outstanding=1, message_interval_ps=1_000_000_000)])
    pair.connect()
    source = pair.run(until="duration", duration_ns=100_000_000, progress_ms=20)["f/src"]
    assert source["status"] == "unfinished"
    assert 20 <= source["messages_completed"] <= 101
    progress = [event["flows"]["f"] for event in pair.events[0] if event["event"] == "progress"]
    assert 3 <= len(progress) <= 6
    assert progress == sorted(progress)
    assert source["bytes_acked"] == source["messages_completed"] * 5000 == source["samples"][-1][1]


def test_an_asked_rate_is_kept_or_said_to_be_missed(pair, flow):
    pair.prepare([flow(messages=20, rate_bps=10_000_000), flow("fast", messages=20, rate_bps=2**62)])
    pair.connect()
    results = pair.run()
    assert results["f/src"]["rate_reached"] is True
    assert results["fast/src"]["rate_reached"] is False
    took = results["f/src"]["end_mono_ns"] - results["f/src"]["start_mono_ns"]
    assert took >= 19 * 5152 * 8 * 100 * 0.5  # 5000 B in two packets take 5180 B of wire; 100 ns a bit


def test_everything_is_closed_in_the_reverse_order(pair, flow):
    flows = [
        flow("a", qps=3),
        flow("b", verb="send", transport="ud", message_bytes=64),
        flow("c", verb="read"),
    ]
    pair.prepare([*flows, flow("d", verb="send", verbs={"srq": True})])
    pair.connect()
    pair.run()
    assert len(pair.fabric.open) > 30
    answers = pair.teardown()
    assert all(answer["errors"] == [] and answer["closed"] for answer in answers)
    assert pair.fabric.open == []
    assert pair.fabric.closed_early == []


@pytest.mark.parametrize("kind", ["QP", "CQ", "MR", "PD", "CompChannel", "AH"])
def test_nothing_is_left_after_a_refused_prepare_or_connect(pair, flow, kind):
    pair.fabric.refuse = {kind}

    def make():
        pair.prepare([flow(verb="send", transport="ud", message_bytes=64)])
        pair.connect()

    with pytest.raises(AgentError) as caught:
        make()
    assert caught.value.kind == "no_resources"
    assert caught.value.detail["errno"] == 12
    pair.teardown()
    assert pair.fabric.open == []
    pair.fabric.refuse = set()
    pair.prepare([flow()])


def test_mtu_of_both_ends_must_agree(pair, flow):
    pair.prepare([flow()])
    pair.qps["f/src"][0]["mtu"] = 1024
    with pytest.raises(BadRequest) as caught:
        pair.connect()
    assert caught.value.detail["value"] == 1024
    assert caught.value.detail["key"] == "ends.f/dst[0].mtu"


def test_a_cut_in_mid_traffic_is_closed_too(pair, flow):
    pair.prepare([flow(messages=0, max_outstanding=4, message_interval_ps=1_000_000_000)])
    pair.connect()
    for side in (1, 0):
        pair.ask(side, "start", duration_ns=10**12, until="duration")
    pair.sessions[0].run.step()
    with pytest.raises(BadRequest):
        pair.ask(0, "connect", ends={})
    pair.teardown()
    assert pair.fabric.open == []
    assert pair.sessions[0].run is None
