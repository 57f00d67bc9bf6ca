"""Rates that are asked are kept, times that are told are so. What a busy machine may spoil is tried again."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest

from harness.tests.load.generator import (
    endless,
    finish,
    flow,
    job_of,
    one,
    result_of,
    start,
    strict,
)
from harness.tests.load.quiet import soon

SIZE = 1024
WIRE = SIZE + 20 + 14 + 20 + 8 + 12 + 16 + 4 + 4
"""Bytes that a write of 1024 takes: preamble and gap, Ethernet, IPv4, UDP, BTH, RETH, ICRC, FCS."""
DEVICE = ("--device", "null0:latency=20us,rate=10Gbps")
"""One that has a speed of its own, which the host can miss."""
DEVICE_BPS = 10**9
"""Payload that the null device of these tests lets through."""
UNCHECKED = {"check_payload": False}


def rate_of(messages, done):
    """Bits a second on the wire between the first message and the last."""
    return (messages - 1) * WIRE * 8 / (done["fct_ps"] / 1e12)


# --- rate ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1, 0.3, 0.6, 0.9, 0.99])
def test_a_share_of_what_the_device_can_is_kept_within_one_per_cent(share):
    rate = int(share * DEVICE_BPS * WIRE / SIZE)
    messages = int(0.4 * rate / 8 / WIRE)

    def error():
        done = one("--device", f"null0:rate={DEVICE_BPS // 10**6}Mbps", message_bytes=SIZE, messages=messages,
                   rate_bps=rate, verbs=UNCHECKED)  # fmt: skip
        assert done["source"]["rate_reached"] in {True, False}
        return rate_of(messages, done) / rate - 1

    assert abs(soon(error, lambda e: abs(e) <= 0.01)) <= 0.01


def test_all_that_the_device_can_is_used():
    """Without a rate of its own a flow gets the device's, and one of twice that much gets no more."""
    for rate in (0, 2 * DEVICE_BPS):
        error = soon(
            lambda rate=rate: one("--device", "null0:rate=1Gbps", message_bytes=SIZE, messages=40_000,
                                  rate_bps=rate, verbs=UNCHECKED)["goodput_bps"] / DEVICE_BPS - 1,
            lambda error: -0.01 <= error <= 0.001,
        )  # fmt: skip
        assert -0.01 <= error <= 0.001


@pytest.mark.parametrize("qps", [4, 64])
def test_each_queue_pair_has_the_rate(qps):
    rate, messages = 40 * 10**6 * 4 // qps, 2000 * 4 // qps

    def errors():
        done = one(message_bytes=SIZE, messages=messages, qps=qps, rate_bps=rate, verbs=UNCHECKED)
        spans = [qp["end_mono_ns"] - qp["start_mono_ns"] for qp in done["source"]["qps"]]
        return [(messages - 1) * WIRE * 8e9 / span / rate - 1 for span in spans]

    found = soon(errors, lambda each: max(map(abs, each)) <= 0.01)
    assert len(found) == qps
    assert max(map(abs, found)) <= 0.01


def test_a_batch_does_not_change_the_rate():
    rate, messages = 2 * 10**8, 10_000
    error = soon(
        lambda: rate_of(messages, one(message_bytes=SIZE, messages=messages, rate_bps=rate, verbs=UNCHECKED,
                                      load={"batch": 32})) / rate - 1,
        lambda error: abs(error) <= 0.01,
    )  # fmt: skip
    assert abs(error) <= 0.01


def test_a_device_can_keep_the_rate():
    """The null device counts payload, as it has no packets."""
    rate, messages = 10**8, 4000
    done = soon(
        lambda: one(message_bytes=SIZE, messages=messages, rate_bps=rate, verbs=UNCHECKED,
                    load={"pacing": "device"}),
        lambda done: abs(messages * SIZE * 8 / (done["fct_ps"] / 1e12) / rate - 1) <= 0.01,
    )  # fmt: skip
    assert done["source"]["posted"] == [messages]


def test_arrivals_are_exponential_or_fixed(tmp_path):
    """Of 20 in 4 ms the variance is the mean when they are exponential, and next to nothing when they are fixed."""

    def seen(arrivals):
        job = job_of(flow(messages=2500, message_interval_ps=200 * 10**6, arrivals=arrivals, verbs=UNCHECKED),
                     sample_every_ps=4 * 10**9)  # fmt: skip
        done = result_of(job, "--null", "--series", str(tmp_path))["flows"][0]
        counts = np.diff(np.load(tmp_path / "end-0.bytes.npy")[:, 0])[5:-5] / 256
        return counts.var() / counts.mean(), done["fct_ps"] / 1e12

    # five standard deviations of the sum of 2500: 50 ms
    spread, seconds = soon(
        lambda: seen("poisson"), lambda found: 0.5 < found[0] < 2 and abs(found[1] - 0.5) < 0.06
    )
    assert 0.5 < spread < 2
    assert abs(seconds - 0.5) < 0.06
    spread, seconds = soon(
        lambda: seen("fixed"), lambda found: found[0] < 0.3 and abs(found[1] - 0.5) < 0.005
    )
    assert spread < 0.3
    assert abs(seconds - 0.5) < 0.005


def test_queue_pairs_start_within_the_jitter_and_differently():
    done = one(messages=1, qps=64, load={"start_jitter_ps": 100 * 10**9})
    starts = np.array([qp["start_mono_ns"] for qp in done["source"]["qps"]])
    spread = (starts - starts.min()) / 1e6
    assert 60 < spread.max() < 130
    assert len(np.unique(np.round(spread))) > 20


def test_a_burst_is_silent_between_its_times(tmp_path):
    on, off = 30, 70
    load = {"burst": {"on_ps": on * 10**9, "off_ps": off * 10**9}}
    job = endless(flow(message_bytes=SIZE, rate_bps=10**8, load=load, verbs=UNCHECKED), seconds=0.9,
                  sample_every_ps=10**9)  # fmt: skip

    def sent_in_pauses():
        source = result_of(job, "--null", "--series", str(tmp_path))["flows"][0]["source"]
        times = np.load(tmp_path / "end-0.time.npy") - source["start_mono_ns"]
        sent = np.diff(np.load(tmp_path / "end-0.bytes.npy")[:, 0])
        place = times % ((on + off) * 10**6)
        # rows whose interval lies wholly in a pause; timers are late by some milliseconds at most
        quiet = (place[:-1] > (on + 10) * 10**6) & (place[1:] > place[:-1])
        assert quiet.sum() > 100
        return sent[quiet].sum(), sent.sum()

    _, total = soon(sent_in_pauses, lambda seen: seen[0] == 0)
    assert 0.7 < total * WIRE / SIZE * 8 / (10**8 * 0.9 * on / (on + off)) < 1.15


# --- what is measured ---------------------------------------------------------------------------------------


def test_a_latency_is_the_devices():
    def latency():
        return one("--device", "null0:latency=200us", messages=400, max_outstanding=1, load={"poll": "busy"})

    done = soon(latency, lambda done: done["latency"]["p50_ps"] <= 210e6)
    assert done["latency"]["min_ps"] >= 199e6
    assert done["latency"]["count"] == 400


@pytest.mark.parametrize("load", [{"signal_every": 1}, {"signal_every": 1, "batch": 32}])
def test_the_histogram_holds_each_message_within_one_per_cent(load):
    source = one("--device", "null0:latency=100us,rate=1Gbps", messages=3000, load=load)["source"]
    edges, counts = (
        np.array(source["histogram"]["edges"], dtype=float),
        np.array(source["histogram"]["counts"]),
    )
    latency = source["latencies"]
    assert counts.sum() == latency["count"] == 3000
    assert (counts > 0).all()
    assert (edges[1:, 0] >= edges[:-1, 1]).all()
    # told is the middle: off by half of the width at most
    assert ((edges[:, 1] - edges[:, 0]) / 2 <= np.maximum(1, 0.01 * edges[:, 0])).all()
    keys = ("min_ps", "p50_ps", "p90_ps", "p99_ps", "p999_ps", "max_ps")
    values = [latency[key] / 1000 for key in keys]
    assert values == sorted(values)
    for share, value in zip((0.5, 0.9, 0.99, 0.999), values[1:], strict=False):
        middle = edges[np.searchsorted(np.cumsum(counts), share * 3000)].mean()
        assert value == pytest.approx(middle, rel=0.02)
    assert latency["mean_ps"] / 1000 == pytest.approx((edges.mean(axis=1) * counts).sum() / 3000, rel=0.01)


def test_a_ping_pong_tells_half_of_the_way_there_and_back():
    def half():
        done = one("--device", "null0:latency=300us", verb="send", messages=200, verbs={"ping_pong": True},
                   load={"poll": "busy"})  # fmt: skip
        return done["latency"]["p50_ps"]

    # the null device is late with the completion, and the message arrives with it: each way takes 300 us
    assert 297e6 <= soon(half, lambda ps: 297e6 <= ps <= 330e6) <= 330e6


def test_times_of_series_lie_within_the_run_and_end_with_all_of_it(tmp_path):
    job = job_of(flow(message_bytes=SIZE, messages=500, qps=8, rate_bps=10**7, load={"sizes": [[256, 1], [SIZE, 1]]}),
                 sample_every_ps=5 * 10**8)  # fmt: skip
    began = time.monotonic_ns()
    source = result_of(job, *DEVICE, "--series", str(tmp_path))["flows"][0]["source"]
    series = source["series"]
    times = np.load(tmp_path / series["time_file"])
    sent, messages = np.load(tmp_path / series["file"]), np.load(tmp_path / series["messages_file"])
    assert (
        began < times[0] < source["start_mono_ns"] < source["end_mono_ns"] <= times[-1] < time.monotonic_ns()
    )
    assert sent.shape == messages.shape == (series["rows"], 8)
    assert (np.diff(messages, axis=0) >= 0).all()
    assert list(messages[-1]) == [500] * 8
    assert int(sent[-1].sum()) == source["bytes_acked"]
    assert series["interval_ns"] == 5 * 10**5


@pytest.mark.parametrize(("device", "shortest_ns"), [("null0:rate=100Gbps", 10**5), ("null0", 10**6)])
def test_an_interval_shorter_than_possible_is_the_shortest(tmp_path, device, shortest_ns):
    """A device without a rate of its own is made of the processor, and who looks takes time from it."""
    job = job_of(flow(), sample_every_ps=1000)
    source = result_of(job, "--device", device, "--series", str(tmp_path))["flows"][0]["source"]
    assert source["series"]["interval_ns"] == shortest_ns


# --- the host as the bottleneck -----------------------------------------------------------------------------


def test_a_run_that_was_stopped_for_a_while_limits_its_flow():
    job = endless(flow(message_bytes=SIZE, rate_bps=10**8, verbs=UNCHECKED), seconds=1.2)
    process = start(job, *DEVICE)
    time.sleep(0.4)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.4)
    process.send_signal(signal.SIGCONT)
    usage = strict(finish(process)[1])["usage"]
    assert usage["host_limited"] is True
    assert usage["why"].startswith("flow f: the device waited for messages")


def test_a_run_in_peace_is_not_limited():
    job = endless(flow(message_bytes=SIZE, rate_bps=10**8, verbs=UNCHECKED), seconds=0.5)
    usage = soon(lambda: result_of(job, *DEVICE)["usage"], lambda usage: usage["host_limited"] is False)
    assert usage["why"] is None
    assert 0 <= usage["threads"][0]["cpu_share"] <= 1.05
