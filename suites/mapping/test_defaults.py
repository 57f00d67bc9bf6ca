"""The usual settings of a RoCE fabric: data in a priority that is paused, CNPs in a strict one that never waits."""

from __future__ import annotations

import pytest

from harness import (
    KB,
    MB,
    US,
    Buffer,
    Capability,
    Cnp,
    Counter,
    Dcqcn,
    Ecn,
    Ets,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    at_most,
    equals,
)
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.PER_PRIORITY_COUNTERS, Capability.SWITCH_COUNTERS, Capability.HOST_COUNTERS, Capability.PFC,
        Capability.ECN, Capability.DCQCN, Capability.CNP, Capability.ETS, Capability.QUEUE_WATERMARKS,
    ),
]  # fmt: skip

# h1 sends into an incast at h9 and is told so through its own port, which is the target of another incast.
TRAFFIC = [Incast(("h1", "h2", "h3"), 4 * MB, name="there"), Incast(("h5", "h6"), 8 * MB, "h1", name="here")]
NIC, SMALL = Nic(mtu=4096), Buffer(size=2 * MB)
ECN, CNP = Ecn(kmin=100 * KB, kmax=400 * KB, pmax=0.2), Cnp(interval=4 * US)
FRAMES = 3 * 977 + 2 * 1954
DATA = "4 MB are 977 packets of 4096 B, 8 MB 1954"
DEFAULTS = (
    "RoCE in priority 3 by DSCP 26, paused; CNPs in 6 by DSCP 48, strict (NVIDIA Cumulus and mlx5 defaults)"
)
LOSSLESS = "a priority with PFC loses nothing"
STRICT = "a CNP of 78 B waits for the frame that is being sent, 334 ns; the next one of its queue pair comes 4 us later"


@pytest.mark.plan("MAP-02")
@pytest.mark.catches("strict_starved", "CNPs that wait in the port to h1")
def test_the_defaults_are_sane(fabric, expect):
    """Data without a word about DSCP is in priority 3, is paused and not lost; CNPs are in 6 and wait for nobody."""
    qos = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=Dcqcn("mlx5"), cnp=CNP, nic=NIC, buffer=SMALL)
    result = fabric.run(Scenario(TRAFFIC, qos=qos))

    count, sent = result.counters, result.counters[Counter.CNP_SENT]
    data, notes = count.priority(3), count.priority(6)
    others = count[Counter.PAUSE_TX] - data[Counter.PAUSE_TX]
    expect(
        "data into priority 3", data.switches[Counter.RX_PACKETS], at_least(FRAMES, margin=0.0, source=DATA)
    )
    expect("pauses of priority 3", data[Counter.PAUSE_TX], at_least(1, source=DEFAULTS))
    expect("pauses of other priorities", others, equals(0, source="only priority 3 has PFC"))
    expect("frames dropped", count[Counter.DROPS], equals(0, source=LOSSLESS))
    expect("CNPs sent", sent, at_least(10, source="queues beyond Kmin for a millisecond, 4 us apart"))
    expect("frames out of priority 6", notes.switches[Counter.TX_PACKETS], equals(sent, source=DEFAULTS))
    expect(
        "CNPs that wait in the port to h1",
        notes.at("sw1:e1")[Counter.QUEUE_MAX],
        at_most(78, source=STRICT, margin=0.0),
        "B",
    )


@pytest.mark.plan("MAP-02")
@pytest.mark.negative_control("PFC and CNPs in other priorities")
def test_other_priorities_are_noticed(fabric, expect):
    """With PFC on priority 4 and CNPs among the data nothing of what the defaults promise is there."""
    qos = Qos(
        pfc=Pfc({4}),
        ecn=ECN,
        dcqcn=Dcqcn("mlx5"),
        cnp=Cnp(interval=4 * US, priority=3),
        nic=NIC,
        buffer=SMALL,
    )
    result = fabric.run(Scenario(TRAFFIC, qos=qos))

    count, sent = result.counters, result.counters[Counter.CNP_SENT]
    data, notes = count.priority(3), count.priority(6)
    expect("pauses of priority 3", data[Counter.PAUSE_TX], at_least(1, source=DEFAULTS))
    expect("frames dropped", count[Counter.DROPS], equals(0, source=LOSSLESS))
    expect("frames out of priority 6", notes.switches[Counter.TX_PACKETS], equals(sent, source=DEFAULTS))


@pytest.mark.plan("MAP-02")
@pytest.mark.negative_control("data in a strict priority above that of CNPs")
def test_cnps_that_wait_are_noticed(fabric, expect):
    """Where data goes first, CNPs queue behind all of it."""
    qos = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=Dcqcn("mlx5"), cnp=CNP, nic=NIC, buffer=SMALL, ets=Ets(strict={3}))
    result = fabric.run(Scenario(TRAFFIC, qos=qos))

    waiting = result.counters.priority(6).at("sw1:e1")[Counter.QUEUE_MAX]
    expect("CNPs that wait in the port to h1", waiting, at_most(78, source=STRICT, margin=0.0), "B")
