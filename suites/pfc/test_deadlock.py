"""Pauses that wait for each other in a circle stop it; without a circle they never do; a watchdog breaks the lock."""

from __future__ import annotations

import pytest

from harness import (
    MB,
    MS,
    US,
    Capability,
    Counter,
    LinkDown,
    Nic,
    Pfc,
    Qos,
    Scenario,
    Watchdog,
    at_least,
    equals,
)
from harness.analysis.maxmin import max_min_rates
from harness.analysis.transport import Wire
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("ring-5"),
    pytest.mark.needs(Capability.PFC, Capability.SWITCH_COUNTERS, Capability.RATE_SERIES),
]

# Each host sends to the one two switches on, which is the shorter way round: every link of the circle carries two
# flows, and each of its ports waits for the next one.
FLOWS = [
    Pair(1 * MB, "h1", "h3", messages=0, name="first"),
    Pair(1 * MB, "h2", "h4", messages=0, name="second"),
    Pair(1 * MB, "h3", "h5", messages=0, name="third"),
    Pair(1 * MB, "h4", "h1", messages=0, name="fourth"),
    Pair(1 * MB, "h5", "h2", messages=0, name="fifth"),
]
# Without the link from sw5 to sw1 the fourth and fifth go back over three links, and no port waits for itself.
CUT = LinkDown(0, "sw5:e2")
FAIR = max_min_rates(
    {
        "first": ["12", "23"],
        "second": ["23", "34"],
        "third": ["34", "45"],
        "fourth": ["43", "32", "21"],
        "fifth": ["54", "43", "32"],
    },
    dict.fromkeys(["12", "23", "34", "45", "54", "43", "32", "21"], 100),
)
PAYLOAD = Wire().efficiency(4096)
QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
LONG, LATE = 8 * MS, 2 * MS
GOES_ON = at_least(
    0.95 * sum(FAIR.values()) * PAYLOAD,
    margin=0.0,
    source="max-min fair rates of the five flows; 5 % as in the SONiC PFC suite",
)
OVERLOAD = "two flows of line rate meet at each link"
LOSSLESS = equals(0, source="every switch is paused before its headroom is used up")
# Each link of the closed circle carries two flows at most: half the line for each.
HALF = 100 * PAYLOAD / 2
LOCKED = at_least(5, margin=0.0, source="each of the five ports of the circle waits for the next one")
MESSAGES = at_least(5, source="one message of each flow at least; a locked circle delivers nothing")
AGAIN = at_least(
    0.95 * HALF,
    margin=0.0,
    source="half the line for each flow when nothing waits; 5 % as in the SONiC PFC suite",
)
# Both hosts of each of four switches send to the next switch: every link of the circle is overrun, and none waits for
# another one, for all its traffic ends behind it.
NEIGHBOURS = [
    Incast(("h1", "h2"), 1 * MB, "h3", messages=0, name="first"),
    Incast(("h3", "h4"), 1 * MB, "h5", messages=0, name="second"),
    Incast(("h5", "h6"), 1 * MB, "h7", messages=0, name="third"),
    Incast(("h7", "h8"), 1 * MB, "h1", messages=0, name="fourth"),
]
LINKS_FULL = at_least(
    0.95 * 4 * 100 * PAYLOAD,
    margin=0.0,
    source="each link of the circle is full; 5 % as in the SONiC PFC suite",
)


@pytest.mark.plan("PFC-18")
@pytest.mark.needs(Capability.LINK_FLAP)
def test_routes_without_a_circle_never_lock(fabric, expect):
    """With one link of the circle down pauses travel over several switches, and traffic goes on at its fair rates."""
    result = fabric.run(Scenario(FLOWS, qos=QOS, events=[CUT], duration=LONG))

    late = result.series["goodput_bps"].between(LATE)
    switches = result.counters.switches
    expect("pauses between switches", switches.at("sw2:e2")[Counter.PAUSE_TX], at_least(1, source=OVERLOAD))
    expect("goodput after 2 ms", len(FLOWS) * late.mean() / 1e9, GOES_ON, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-18")
@pytest.mark.topology("ring-4")
def test_a_ring_of_neighbours_never_locks(fabric, expect):
    """Around a circle whose links are all overrun by flows to the next switch, traffic goes on and fills every link."""
    result = fabric.run(Scenario(NEIGHBOURS, qos=QOS, duration=LONG))

    late = result.series["goodput_bps"].between(LATE)
    pauses = result.counters.priority(3).hosts[Counter.PAUSE_RX]
    expect("pauses of hosts", pauses, at_least(8, source=OVERLOAD))
    expect("goodput after 2 ms", 8 * late.mean() / 1e9, LINKS_FULL, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-18")
@pytest.mark.negative_control("the circle closed")
def test_a_circle_of_pauses_locks(fabric, expect):
    """With the circle closed each switch waits for the next one, and nothing moves any more."""
    result = fabric.run(Scenario(FLOWS, qos=QOS, duration=LONG))

    late = result.series["goodput_bps"].between(LATE)
    switches = result.counters.switches
    expect("pauses between switches", switches.at("sw2:e2")[Counter.PAUSE_TX], at_least(1, source=OVERLOAD))
    expect("goodput after 2 ms", len(FLOWS) * late.mean() / 1e9, GOES_ON, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)


@pytest.mark.plan("PFC-18", "WD-01")
@pytest.mark.needs(Capability.PFC_WATCHDOG)
@pytest.mark.catches("watchdog_never", "locked ports that the watchdog found")
def test_a_watchdog_that_drops_breaks_the_lock(fabric, expect):
    """The watchdog finds all ports of the locked circle and empties them: data moves again, until the next lock."""
    guard = Watchdog(detect=1 * MS, restore=1 * MS, poll=500 * US)
    qos = Qos(pfc=Pfc({3}, watchdog=guard), nic=Nic(mtu=4096))
    result = fabric.run(Scenario(FLOWS, qos=qos, duration=LONG))

    late = result.series["goodput_bps"].between(LATE)
    found = result.counters[Counter.WATCHDOG_DETECTED]
    expect("locked ports that the watchdog found", found, LOCKED)
    expect("queues restored", result.counters[Counter.WATCHDOG_RESTORED], LOCKED)
    expect("frames discarded", result.counters[Counter.DROPS_WATCHDOG], at_least(1, source="action drop"))
    delivered = len(FLOWS) * late.mean() / 8 * (LONG - LATE) / 1e12
    expect("delivered after the lock", delivered / MB, MESSAGES, "MB")


@pytest.mark.plan("PFC-18", "WD-01")
@pytest.mark.needs(Capability.PFC_WATCHDOG)
def test_a_watchdog_that_forwards_breaks_the_lock(fabric, expect):
    """A watchdog that forwards in spite of the pauses keeps the links of the circle full from then on."""
    guard = Watchdog(detect=1 * MS, restore=1 * MS, poll=500 * US, action="forward")
    qos = Qos(pfc=Pfc({3}, watchdog=guard), nic=Nic(mtu=4096))
    result = fabric.run(Scenario(FLOWS, qos=qos, duration=LONG))

    late = result.series["goodput_bps"].between(LATE)
    found = result.counters[Counter.WATCHDOG_DETECTED]
    expect("locked ports that the watchdog found", found, LOCKED)
    expect("mean of the flows after the lock", late.mean() / 1e9, AGAIN, "Gb/s")


@pytest.mark.plan("PFC-18", "WD-01")
@pytest.mark.negative_control("watchdog switched off")
def test_a_lock_that_lasts_is_noticed(fabric, expect):
    """Without a watchdog the circle stays locked."""
    result = fabric.run(Scenario(FLOWS, qos=QOS, duration=LONG))

    late = result.series["goodput_bps"].between(LATE)
    expect("locked ports that the watchdog found", result.counters[Counter.WATCHDOG_DETECTED], LOCKED)
    delivered = len(FLOWS) * late.mean() / 8 * (LONG - LATE) / 1e12
    expect("delivered after the lock", delivered / MB, MESSAGES, "MB")
    expect("mean of the flows after the lock", late.mean() / 1e9, AGAIN, "Gb/s")
