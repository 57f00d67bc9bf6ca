"""What roce-load sends arrives, whatever options are put together; jobs are drawn by seed from all that are allowed."""

from __future__ import annotations

import random
import time

import pytest

from harness.tests.load.generator import (
    LIMIT_S,
    Flow,
    endless,
    finish,
    flow,
    job_of,
    one,
    result_of,
    start,
    strict,
)

ATOMICS = ("fetch_add", "compare_swap", "atomic")
VERBS = {
    "rc": ("write", "write_imm", "read", "send", "send_imm", *ATOMICS),
    "uc": ("write", "write_imm", "send", "send_imm"),
    "ud": ("send", "send_imm"),
}
PORTS = ("h1:p0", "h2:p0", "h3:p0")
DEVICES = {
    "at once": ("--null",),
    "after a while": ("--device", "null0:latency=30us,rate=2Gbps"),
    "without events, with short queues": ("--device", "null0:no_events=on,max_wr=70,max_cqe=200"),
}


def draw_verb(draw: random.Random) -> Flow:
    """A verb, a size that it may have, and how many."""
    transport = draw.choice(("rc", "rc", "uc", "ud"))
    verb = draw.choice(VERBS[transport])
    sizes = (1, 2, 7, 64, 255, 1024) if transport == "ud" else (1, 3, 17, 64, 1024, 1025, 4096, 65521, 70000)
    return {
        "transport": transport,
        "verb": verb,
        "message_bytes": 8 if verb in ATOMICS else draw.choice(sizes),
        # of datagrams not more than receives: one that finds none is lost
        "messages": draw.choice((1, 2, 31, 33, 100, 200) + ((257, 300) if transport == "rc" else ())),
        "qps": draw.choice((1, 1, 2, 5)),
    }


def draw_options(draw: random.Random, keys: Flow, *, ping_pong: bool) -> Flow:
    """Options that go together with a verb: a part of each kind in each job."""
    atomic, fetches = keys["verb"] in ATOMICS, keys["verb"] in {*ATOMICS, "read"}
    size, one_by_one = keys["message_bytes"], ping_pong or keys["verb"] in ATOMICS
    possible = {
        "batch": draw.choice((2, 5, 32, 64)),
        "signal_every": draw.choice((1, 2, 7, 32, 100)),
        "poll": draw.choice(("busy", "event")),
        "post": draw.choice(("wr", "legacy")),
        "threads": "flow",
        "cq_moderation": {"count": draw.choice((2, 16)), "period_us": 5},
        "start_jitter_ps": 10**9,
        "burst": {"on_ps": 10**8, "off_ps": 10**8},
        "device_time": True,
    }
    if not fetches:
        possible["inline_bytes"] = draw.choice((16, 64, 300, 1024))
    if not one_by_one:
        possible["sges"] = min(size, draw.choice((2, 3, 16)))
    if not fetches and not ping_pong and size > 16:
        possible["integrity"] = True
    chosen = {name: value for name, value in possible.items() if draw.random() < 0.25}
    if not atomic and not ping_pong and "integrity" not in chosen and draw.random() < 0.2:
        of_mix = (16, 64, 700, 1000) if keys["transport"] == "ud" else (16, 64, 700, 5000)
        chosen["sizes"] = [[bytes_, draw.choice((1, 2, 0.5))] for bytes_ in draw.sample(of_mix, 3)]
        chosen["sges"] = 1
    return chosen


def draw_flow(draw: random.Random, number: int) -> Flow:
    keys = draw_verb(draw)
    ping_pong = not keys["verb"].endswith("_imm") and draw.random() < 0.15
    verbs = {"ping_pong": True} if ping_pong else {"srq": keys["transport"] == "rc" and draw.random() < 0.3}
    keys["load"] = draw_options(draw, keys, ping_pong=ping_pong)
    possible = {
        "max_outstanding": draw.choice((1, 2, 3, 16, 64)),
        "rate_bps": draw.choice((10**8, 10**9)),
        "message_interval_ps": 10**7,
        "arrivals": draw.choice(("fixed", "poisson")),
        "after": [f"f{draw.randrange(number)}"] if number else [],
        "start_ps": 10**9,
    }
    keys.update({name: value for name, value in possible.items() if draw.random() < 0.25})
    return flow(f"f{number}", draw.choice(PORTS), draw.choice(PORTS), verbs=verbs, **keys)


def wrong(asked: Flow, done: Flow) -> list[str]:
    """What is not as it must be."""
    source, target, sent = done["source"], done["target"], asked["messages"] * asked["qps"]
    seen = target["integrity"] or {}
    checks = {
        "status": done["status"] == "done",
        "completed": done["messages_completed"] == sent,
        "every QP": source["completed"] == [asked["messages"]] * asked["qps"],
        "source's payload": not source["payload_mismatched_bytes"],
        "target's payload": not target["payload_mismatched_bytes"],
        "looked at": (source["payload_verified_bytes"] or 0) + (target["payload_verified_bytes"] or 0) > 0,
        "immediates": not target["immediates_wrong"],
        "sealed": not (seen.get("corrupted") or seen.get("lost") or seen.get("duplicated")),
        "latencies": source["latencies"] is not None and source["latencies"]["count"] <= sent,
    }
    return [name for name, good in checks.items() if not good]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("first", range(0, 60, 20))
def test_drawn_jobs_deliver_everything(device, first):
    for seed in range(first, first + 20):
        draw = random.Random(f"{device} {seed}")
        flows = [draw_flow(draw, number) for number in range(draw.choice((1, 1, 2, 4, 8)))]
        status, out, err = finish(start(job_of(*flows), "--watchdog", "10", *DEVICES[device]), LIMIT_S)
        assert out, (seed, err[-300:])
        result = strict(out)
        for asked, done in zip(flows, result["flows"], strict=True):
            assert not wrong(asked, done), (seed, wrong(asked, done), asked, done["error"])
        assert (status, result["error"]) == (0, None), seed


@pytest.mark.parametrize(("transport", "verb"), [(t, v) for t, verbs in VERBS.items() for v in verbs])
def test_a_window_of_one_waits_for_each_message(transport, verb):
    size = 8 if verb in ATOMICS else 200
    done = one("--device", "null0:latency=20us", transport=transport, verb=verb, message_bytes=size, messages=100,
               max_outstanding=1, load={"batch": 32, "signal_every": 32})  # fmt: skip
    assert done["messages_completed"] == 100
    assert done["source"]["latencies"]["count"] == 100
    assert done["fct_ps"] >= 100 * 20e6  # one after the other


@pytest.mark.parametrize("sges", [2, 16])
@pytest.mark.parametrize("verb", ["write", "write_imm", "read", "send", "send_imm"])
def test_elements_are_put_together_in_order(verb, sges):
    done = one(verb=verb, message_bytes=1000, messages=100, load={"sges": sges})
    checker = done["source" if verb == "read" else "target"]
    assert checker["payload_verified_bytes"] >= 1000
    assert checker["payload_mismatched_bytes"] == 0


def test_seven_senders_share_one_receiver():
    flows = [flow(f"s{i}", f"h{i}:p0", "h0:p0", verb="send", qps=4, messages=250) for i in range(1, 8)]
    result = result_of(job_of(*flows), "--device", "null0:rate=2Gbps,latency=20us")
    for each in result["flows"]:
        assert each["target"]["recv_completions"] == 1000
        assert each["target"]["payload_verified_bytes"] == 1000 * 256
        assert each["target"]["payload_mismatched_bytes"] == 0


def test_a_mesh_of_eight_with_a_thread_for_each_flow():
    hosts = [f"h{i}:p0" for i in range(8)]
    flows = [flow(f"{a}-{b}", a, b, verb=verb, messages=40, load={"threads": "flow"})
             for verb in ("send", "write_imm") for a in hosts for b in hosts if a < b]  # fmt: skip
    flows = [{**each, "name": f"{each['name']}-{each['verb']}"} for each in flows]
    result = result_of(job_of(*flows))
    assert {each["status"] for each in result["flows"]} == {"done"}
    assert {each["target"]["recv_completions"] for each in result["flows"]} == {40}
    assert len(result["usage"]["threads"]) == 2 * len(flows)  # one at each end


def test_more_than_a_hundred_ports():
    flows = [flow(f"f{i}", f"a{i}:p0", f"b{i}:p0", messages=3) for i in range(100)]
    result = result_of(job_of(*flows))
    assert {each["messages_completed"] for each in result["flows"]} == {3}


@pytest.mark.parametrize("qps", [1024, 16384])
def test_thousands_of_queue_pairs_take_little(qps):
    many = flow(qps=qps, messages=4, message_bytes=64, max_outstanding=2, verb="send", verbs={"srq": True})
    began = time.monotonic()
    result = result_of(job_of(many))
    done = result["flows"][0]
    assert done["source"]["completed"] == [4] * qps
    assert done["target"]["payload_verified_bytes"] == 4 * qps * 64
    assert result["usage"]["memory_peak_bytes"] < 60e6 + 20e3 * qps  # of each pair of QPs at both ends
    assert time.monotonic() - began < 30


def test_sealed_writes_are_found_where_they_lie():
    """More of them than there are slots, by a sender that is faster than who looks at them."""
    job = endless(flow(verb="write_imm", load={"integrity": True, "threads": "flow"}), seconds=0.5)
    found = result_of(job)["flows"][0]["target"]["integrity"]
    assert found["checked"] > 1000
    assert (found["lost"], found["duplicated"], found["corrupted"]) == (0, 0, 0)
