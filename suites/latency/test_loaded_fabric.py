"""Beside paced traffic a small message waits for what is in its way and for no more."""

from __future__ import annotations

import pytest

from harness import GBPS, MB, MS, US, Capability, Nic, Pfc, Qos, Scenario, approx, within
from harness.analysis.transport import Wire, exact_ps
from harness.analysis.zero_load import zero_load_ps
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.LATENCY_HISTOGRAM, Capability.PFC),
]

QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
PROBE = Pair(8, "h1", "h9", messages=0, interval=5 * US, arrivals="poisson", name="probe")
FRAME_PS = Wire().data(4096) * 8 * 1000 / 100
ONE_FRAME = (
    "one frame of the paced flow goes first in the port to the receiver, and one ACK in the receiver's"
)
RESIDUAL = (
    "a random arrival finds the port busy for the load's part of time, with half a frame to go: load x S / 2"
)
DEVICES_US = 5.0


def loaded(*others):
    """Messages at random times beside other traffic, for 10 ms: about 2000 of them."""
    return Scenario([PROBE, *others], qos=QOS, duration=10 * MS)


def background(load):
    """Full frames of another host to the same receiver, evenly spaced."""
    return Pair(1 * MB, "h2", "h9", messages=0, rate=load * GBPS, name="background")


def in_line(fabric):
    """The idle latency, and one frame and one acknowledgement of others more, in us."""
    idle = zero_load_ps(fabric.topology, "h1", "h9", "write", 8, 4096)
    wait = exact_ps(Wire().data(4096) + Wire().ack(), 100 * GBPS)
    high = 1.01 * (idle + wait) / 1e6 + DEVICES_US
    return within(0.99 * idle / 1e6, high, source=f"{ONE_FRAME}; devices: 2.5 us a way (ngc_multinode_perf)")


@pytest.mark.plan("BASE-06")
@pytest.mark.parametrize("load", [30, 60, 90])
def test_a_message_waits_for_one_frame_at_most(fabric, expect, load):
    """With 30 to 90 % of the receiver's link in use by another host, nearly every message waits one frame at most."""
    result = fabric.run(loaded(background(load)))

    latency, limit = result.flow("probe-0").latency, in_line(fabric)
    expect("median latency", latency.p50_ps / 1e6, limit, "us")
    expect("P99.9 of the latency", latency.p999_ps / 1e6, limit, "us")


@pytest.mark.plan("BASE-06")
@pytest.mark.parametrize("load", [30, 60, 90])
def test_the_mean_wait_is_the_part_of_time_the_port_is_busy(fabric, expect, load):
    """The mean latency grows with the load as the rest of the frame that a random arrival finds."""
    idle = fabric.run(loaded()).flow("probe-0").latency
    busy = fabric.run(loaded(background(load))).flow("probe-0").latency

    wait = load / 100 * FRAME_PS / 2
    # three standard errors of 2000 waits that lie evenly between 0 and a frame, or are 0
    error = 3 * FRAME_PS * (load / 300 - (load / 200) ** 2) ** 0.5 / 2000**0.5
    limit = approx(wait / 1e6, abs=error / 1e6, source=f"{RESIDUAL}; three standard errors")
    expect("mean wait", (busy.mean_ps - idle.mean_ps) / 1e6, limit, "us")


@pytest.mark.plan("BASE-06")
@pytest.mark.negative_control("two hosts that overload the receiver")
def test_a_queue_in_the_way_is_noticed(fabric, expect):
    """Behind the queue of two hosts at full rate messages wait for much more than a frame."""
    others = [Pair(1 * MB, host, "h9", messages=0, name=host) for host in ("h2", "h3")]
    result = fabric.run(loaded(*others))

    latency, limit = result.flow("probe-0").latency, in_line(fabric)
    expect("median latency", latency.p50_ps / 1e6, limit, "us")
    expect("P99.9 of the latency", latency.p999_ps / 1e6, limit, "us")


@pytest.mark.plan("BASE-06")
@pytest.mark.negative_control("90 % of load where 30 % are claimed")
def test_another_load_is_noticed(fabric, expect):
    """Three times the load is three times the wait."""
    idle = fabric.run(loaded()).flow("probe-0").latency
    busy = fabric.run(loaded(background(90))).flow("probe-0").latency

    error = 3 * FRAME_PS * (30 / 300 - (30 / 200) ** 2) ** 0.5 / 2000**0.5
    limit = approx(0.3 * FRAME_PS / 2 / 1e6, abs=error / 1e6, source=f"{RESIDUAL}; three standard errors")
    expect("mean wait", (busy.mean_ps - idle.mean_ps) / 1e6, limit, "us")
