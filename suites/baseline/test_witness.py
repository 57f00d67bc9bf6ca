"""Our traffic beside that of perftest, the witness from outside: the same devices and sizes, one after the other."""

from __future__ import annotations

import pytest

from harness import (
    MS,
    Capability,
    Counter,
    Impair,
    KiB,
    MiB,
    Nic,
    Qos,
    Scenario,
    VerbsOptions,
    at_least,
    at_most,
    within,
)
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.WITNESS, Capability.REAL_VERBS)

# One read at a time: more would answer faster than a slow link drains. perftest makes at least five messages.
QOS = Qos(nic=Nic(mtu=4096, ack_timeout=17, max_rd_atomic=1))
THEIRS = VerbsOptions(engine="perftest")
OURS_TO_ECHO = VerbsOptions(ping_pong=True)
THEIRS_TO_ECHO = VerbsOptions(engine="perftest", ping_pong=True)
BANDWIDTH = (
    "the engine in Python must not be what limits: at least 0.9 of ib_write_bw, ib_read_bw, ib_send_bw"
)
LATENCY = "at most 1.5 times ib_write_lat, ib_send_lat"
SAME = "the same payload and packets; 64 KB for perftest's own set-up over TCP and its last exchange"
OTHERS = 64 * 1024


@pytest.mark.plan("BASE-13")
@pytest.mark.parametrize("verb", ["write", "send", pytest.param("read", marks=pytest.mark.slow)])
def test_our_bandwidth_is_that_of_perftest(fabric, expect, verb):
    """At 1 MiB our engine moves as much as perftest does, and the ports count the same bytes for both."""
    ours = fabric.run(Scenario(Pair(1 * MiB, verb=verb, messages=5), qos=QOS))
    theirs = fabric.run(Scenario(Pair(1 * MiB, verb=verb, messages=5, verbs=THEIRS), qos=QOS))

    ratio = ours.flow("pair-0").goodput_gbps / theirs.flow("pair-0").goodput_gbps
    sent = theirs.counters.hosts[Counter.TX_BYTES]
    expect("goodput of perftest", theirs.flow("pair-0").goodput_gbps, at_least(0, margin=0.0), "Gb/s")
    expect("goodput over perftest's", ratio, at_least(0.9, source=BANDWIDTH))
    expect(
        "bytes counted",
        ours.counters.hosts[Counter.TX_BYTES],
        within(sent - OTHERS, sent + OTHERS, source=SAME),
        "B",
    )


@pytest.mark.plan("BASE-06")
@pytest.mark.parametrize(("verb", "size"), [("write", 8), ("send", 1024)])
def test_our_latency_is_that_of_perftest(fabric, expect, verb, size):
    """Half the round trip of small messages, by our engine and by perftest."""
    ours = fabric.run(Scenario(Pair(size, verb=verb, messages=200, verbs=OURS_TO_ECHO), qos=QOS))
    theirs = fabric.run(Scenario(Pair(size, verb=verb, messages=200, verbs=THEIRS_TO_ECHO), qos=QOS))

    ratio = ours.flow("pair-0").latency.p50_ps / theirs.flow("pair-0").latency.p50_ps
    expect("median of perftest", theirs.flow("pair-0").latency.p50_ps / 1e6, at_least(0, margin=0.0), "us")
    expect("median of ours", ours.flow("pair-0").latency.p50_ps / 1e6, at_least(0, margin=0.0), "us")
    expect("median over perftest's", ratio, at_most(1.5, source=LATENCY))


@pytest.mark.plan("BASE-13")
@pytest.mark.negative_control("one message of 64 KB in flight at a time")
def test_a_slow_engine_is_noticed(fabric, expect):
    """An engine that waits for each small message, and sends half of the data, does not pass."""
    slow = Pair(64 * KiB, messages=32, max_outstanding=1, interval=50 * MS)
    ours = fabric.run(Scenario(slow, qos=QOS))
    theirs = fabric.run(Scenario(Pair(1 * MiB, messages=5, verbs=THEIRS), qos=QOS))

    ratio = ours.flow("pair-0").goodput_gbps / theirs.flow("pair-0").goodput_gbps
    sent = theirs.counters.hosts[Counter.TX_BYTES]
    expect("goodput over perftest's", ratio, at_least(0.9, source=BANDWIDTH))
    expect(
        "bytes counted",
        ours.counters.hosts[Counter.TX_BYTES],
        within(sent - OTHERS, sent + OTHERS, source=SAME),
        "B",
    )


@pytest.mark.plan("BASE-06")
@pytest.mark.needs(Capability.PACKET_DELAY)
@pytest.mark.negative_control("every packet of ours held back by 50 ms")
def test_a_slow_path_is_noticed(fabric, expect):
    """Latency that a path adds to our messages shows in the ratio."""
    held = Impair(0, "pair-0", "delay", fraction=1.0, delay=50 * MS)
    ours = fabric.run(Scenario(Pair(8, messages=20, verbs=OURS_TO_ECHO), qos=QOS, events=[held]))
    theirs = fabric.run(Scenario(Pair(8, messages=200, verbs=THEIRS_TO_ECHO), qos=QOS))

    ratio = ours.flow("pair-0").latency.p50_ps / theirs.flow("pair-0").latency.p50_ps
    expect("median over perftest's", ratio, at_most(1.5, source=LATENCY))
