"""Congested ports share the buffer by the dynamic threshold: each of k holds alpha B / (1 + k alpha)."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    MS,
    Buffer,
    Capability,
    Counter,
    Nic,
    PauseStorm,
    Pfc,
    Qos,
    Scenario,
    approx,
    at_least,
    equals,
)
from harness.analysis.buffer import shared_bytes
from harness.analysis.pfc import dynamic_queue_bytes, worst_headroom_bytes
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.PFC, Capability.BUFFER_CONFIG, Capability.QUEUE_WATERMARKS, Capability.DROP_REASONS
    ),
]

SIZE, LONG, NIC = 4 * MB, 1 * MS, Nic(mtu=4096)
FRAME = 4096 + 62
HEADROOM = worst_headroom_bytes(100 * GBPS, 1_000_000, mtu_wire_bytes=FRAME + 20, mtu_buffer_bytes=FRAME + 16)
LOSSLESS_SHARED = shared_bytes(SIZE, 9, headroom_bytes=HEADROOM)
LAW = "alpha B / (1 + k alpha) (Choudhury and Hahne 1998); a frame for each of the k ports"
# The receiver stops its switch for the whole run, so that each sender fills its ingress port until it is paused.
STORM = PauseStorm(0, "h9:p0", {3}, LONG)
PAUSED = at_least(1, source="nothing leaves: the port fills up")
LOSSLESS = equals(0, source="what arrives after the pause finds headroom")


@pytest.mark.plan("BUF-01")
@pytest.mark.needs(Capability.PAUSE_STORM)
@pytest.mark.catches("buffer_static", "shared buffer of port 1")
@pytest.mark.parametrize("alpha", [0.125, 1.0])
@pytest.mark.parametrize("ports", [1, 2, 4, 8])
def test_paused_ports_share_the_buffer(fabric, expect, alpha, ports):
    """Each of k lossless ingress ports that cannot drain is paused at its share of the buffer, and loses nothing."""
    buffer = Buffer(size=SIZE, alpha=alpha, reserve=0, headroom=HEADROOM)
    qos = Qos(pfc=Pfc({3}), buffer=buffer, nic=NIC)
    result = fabric.run(Scenario(Incast(ports, 8 * MB), qos=qos, events=[STORM], duration=LONG))

    first, last = result.counters.at("sw1:e1"), result.counters.at(f"sw1:e{ports}")
    each = approx(dynamic_queue_bytes(alpha, LOSSLESS_SHARED, ports), abs=ports * FRAME, source=LAW)
    expect("pause frames sent", first[Counter.PAUSE_TX], PAUSED)
    expect("shared buffer of port 1", first[Counter.INGRESS_MAX] - first[Counter.HEADROOM_MAX], each, "B")
    expect("shared buffer of port k", last[Counter.INGRESS_MAX] - last[Counter.HEADROOM_MAX], each, "B")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("BUF-01")
@pytest.mark.needs(Capability.PAUSE_STORM)
@pytest.mark.negative_control("one port fewer than claimed, or half of alpha")
@pytest.mark.parametrize(("alpha", "ports"), [(1.0, 3), (0.5, 4)])
def test_another_share_is_noticed(fabric, expect, alpha, ports):
    """The share of three ports, or of half of alpha, does not pass for that of four ports at alpha 1."""
    buffer = Buffer(size=SIZE, alpha=alpha, reserve=0, headroom=HEADROOM)
    qos = Qos(pfc=Pfc({3}), buffer=buffer, nic=NIC)
    result = fabric.run(Scenario(Incast(ports, 8 * MB), qos=qos, events=[STORM], duration=LONG))

    first = result.counters.at("sw1:e1")
    each = approx(dynamic_queue_bytes(1.0, LOSSLESS_SHARED, 4), abs=4 * FRAME, source=LAW)
    expect("shared buffer of port 1", first[Counter.INGRESS_MAX] - first[Counter.HEADROOM_MAX], each, "B")


# Two senders of datagrams overload each of up to three receivers. The threshold of an ingress port is far away.
PAIRS = (("h1", "h2"), ("h3", "h4"), ("h5", "h6"))
LOSSY = [
    Incast(PAIRS[0], 4096, "h9", verb="send", transport="ud", messages=0, name="first"),
    Incast(PAIRS[1], 4096, "h8", verb="send", transport="ud", messages=0, name="second"),
    Incast(PAIRS[2], 4096, "h7", verb="send", transport="ud", messages=0, name="third"),
]
OVER = at_least(1, source="a queue at its threshold takes no more than leaves it")


@pytest.mark.plan("BUF-02")
@pytest.mark.needs(Capability.UNRELIABLE_TRANSPORTS)
@pytest.mark.catches("buffer_static", "queue of the first receiver")
@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("queues", [1, 2, 3])
def test_lossy_queues_share_the_buffer(fabric, expect, alpha, queues):
    """Each of k overloaded lossy egress queues fills to its share of the buffer, and drops what does not fit."""
    buffer = Buffer(size=SIZE, egress_alpha=alpha, lossy_alpha=16.0, reserve=0)
    result = fabric.run(Scenario(LOSSY[:queues], qos=Qos(buffer=buffer, nic=NIC), duration=LONG))

    each = approx(
        dynamic_queue_bytes(alpha, shared_bytes(SIZE, 9), queues), abs=2 * queues * FRAME, source=LAW
    )
    expect("queue of the first receiver", result.counters.at("sw1:e9")[Counter.QUEUE_MAX], each, "B")
    expect(
        "queue of the k-th receiver",
        result.counters.at(f"sw1:e{10 - queues}")[Counter.QUEUE_MAX],
        each,
        "B",
    )
    expect("frames dropped at egress", result.counters[Counter.DROPS_EGRESS_LIMIT], OVER)


@pytest.mark.plan("BUF-02")
@pytest.mark.needs(Capability.UNRELIABLE_TRANSPORTS)
@pytest.mark.negative_control("half of alpha")
def test_another_share_of_a_lossy_queue_is_noticed(fabric, expect):
    """A queue at alpha 1/2 holds a third of the buffer and not half of it."""
    buffer = Buffer(size=SIZE, egress_alpha=0.5, lossy_alpha=16.0, reserve=0)
    result = fabric.run(Scenario(LOSSY[:1], qos=Qos(buffer=buffer, nic=NIC), duration=LONG))

    each = approx(dynamic_queue_bytes(1.0, shared_bytes(SIZE, 9), 1), abs=2 * FRAME, source=LAW)
    expect("queue of the first receiver", result.counters.at("sw1:e9")[Counter.QUEUE_MAX], each, "B")
