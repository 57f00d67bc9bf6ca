"""A NIC stops the priority that a pause names and no other, and goes on when it is told to."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    MS,
    US,
    Buffer,
    Capability,
    Counter,
    Nic,
    PauseStorm,
    Pfc,
    Qos,
    Scenario,
    at_least,
    at_most,
    equals,
)
from harness.analysis.transport import Wire
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.PFC, Capability.BUFFER_CONFIG, Capability.PER_PRIORITY_COUNTERS, Capability.RATE_SERIES
    ),
]

QOS = Qos(pfc=Pfc({3, 4}), buffer=Buffer(size=4 * MB), nic=Nic(mtu=4096))
PAYLOAD = Wire().efficiency(4096)
# Four senders overload h9 in priority 3; h1 sends a fifth of its line to h8 in priority 4 as well.
OVERLOAD = Incast(4, 1 * MB, "h9", messages=0)
BESIDE = Pair(1 * MB, "h1", "h8", priority=4, rate=20 * GBPS, messages=0, name="beside")
LONG = 2 * MS
HELD = at_least(
    0.5 * LONG / MS,
    source="four senders share a link: each stands still for 3/4 of the time, less one buffer",
)
ALONE = equals(0, source="802.1Q 36.1.3.3: a pause acts on the priorities of its enable vector only")
UNASKED = equals(0, source="the port of h8 is loaded to a fifth: nothing to pause for")
KEPT = at_least(
    0.95 * 20 * PAYLOAD, margin=0.0, source="the load offered less headers; 5 % as in the SONiC PFC suite"
)
LOSSLESS = equals(0, source="a NIC that stops as told never overruns the headroom")


@pytest.mark.plan("PFC-05")
@pytest.mark.catches("pause_wrong_priority", "time priority 4 stood still")
@pytest.mark.catches("pfc_ignored", "time priority 3 stood still")
def test_a_nic_stops_the_priority_that_is_named(fabric, expect):
    """h1 is paused in priority 3: that one stands still, priority 4 keeps its rate, and nothing is dropped."""
    result = fabric.run(Scenario([OVERLOAD, BESIDE], qos=QOS, duration=LONG))

    host = result.counters.at("h1")
    named, other = host.priority(3), host.priority(4)
    expect("pauses of priority 4", other[Counter.PAUSE_RX], UNASKED)
    expect("time priority 3 stood still", named[Counter.PAUSE_RX_DURATION] / MS, HELD, "ms")
    expect("time priority 4 stood still", other[Counter.PAUSE_RX_DURATION] / MS, ALONE, "ms")
    expect("rate of priority 4", result.flow("beside-0").goodput_gbps, KEPT, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-05")
@pytest.mark.negative_control("both flows in the priority that is paused")
def test_a_nic_that_stops_too_much_is_noticed(fabric, expect):
    """In the paused priority the flow beside the overload stands still as well."""
    beside = Pair(1 * MB, "h1", "h8", priority=3, rate=20 * GBPS, messages=0, name="beside")
    result = fabric.run(Scenario([OVERLOAD, beside], qos=QOS, duration=LONG))

    expect("rate of priority 4", result.flow("beside-0").goodput_gbps, KEPT, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-05")
@pytest.mark.negative_control("NICs that ignore pause frames")
def test_a_nic_that_does_not_stop_is_noticed(fabric, expect):
    """NICs without PFC go on, and the headroom overflows."""
    result = fabric.run(Scenario([OVERLOAD, BESIDE], qos=QOS, nic={"pfc": {"priorities": []}}, duration=LONG))

    named = result.counters.at("h1").priority(3)
    expect("time priority 3 stood still", named[Counter.PAUSE_RX_DURATION] / MS, HELD, "ms")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


# h1 sends all the time; h2 joins for 4 MB, which holds h1 back for 0.64 ms at most. Then h1 has the link for itself.
STEADY = Pair(1 * MB, "h1", "h9", messages=0, name="steady")
GUEST = Pair(4 * MB, "h2", "h9", name="guest")
AFTER = 1 * MS
FREED = at_least(
    0.99 * 100 * PAYLOAD,
    margin=0.0,
    source="alone on its link: line rate less headers, 1 % for the ends of the window",
)
NO_LONGER = at_most(AFTER / MS, source="h1 can be held only while h2 sends: 8 MB pass in 0.67 ms")


@pytest.mark.plan("PFC-05")
@pytest.mark.catches("pause_never_released", "rate after the overload")
def test_a_nic_goes_on_when_the_overload_ends(fabric, expect):
    """A sender that is paused while another one shares its receiver has the whole link when that one is done."""
    result = fabric.run(Scenario([STEADY, GUEST], qos=QOS, duration=LONG))

    rate = result.series["goodput_bps"].between(AFTER + 20 * US)
    host = result.counters.at("h1").priority(3)
    expect(
        "pauses of the sender",
        host[Counter.PAUSE_RX],
        at_least(1, source="two senders of line rate, one link"),
    )
    expect("time the sender stood still", host[Counter.PAUSE_RX_DURATION] / MS, NO_LONGER, "ms")
    expect("rate after the overload", rate.mean("steady-0") / 1e9, FREED, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-05")
@pytest.mark.negative_control("a receiver that keeps pausing")
@pytest.mark.needs(Capability.PAUSE_STORM)
def test_a_nic_that_stays_paused_is_noticed(fabric, expect):
    """When the receiver pauses its switch to the end, the sender never has the link again."""
    storm = PauseStorm(AFTER, "h9:p0", {3}, LONG)
    result = fabric.run(Scenario([STEADY, GUEST], qos=QOS, events=[storm], duration=LONG))

    rate = result.series["goodput_bps"].between(AFTER + 20 * US)
    host = result.counters.at("h1").priority(3)
    expect("time the sender stood still", host[Counter.PAUSE_RX_DURATION] / MS, NO_LONGER, "ms")
    expect("rate after the overload", rate.mean("steady-0") / 1e9, FREED, "Gb/s")
