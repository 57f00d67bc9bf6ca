"""Who did nothing to deserve it keeps rate and latency, whatever others do to a receiver: victims against aggressors.

All aggressors hit h4 from the other rack, from 1 ms on, and are over after 6 ms. No victim shares their bottleneck.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness import (
    GBPS,
    KB,
    MB,
    MS,
    US,
    Buffer,
    Capability,
    Counter,
    Dcqcn,
    DrainRate,
    Ecn,
    Nic,
    PauseStorm,
    Pfc,
    Qos,
    Scenario,
    Watchdog,
    at_least,
    at_most,
    equals,
)
from harness.analysis.convergence import time_until_above
from harness.analysis.transport import Wire
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("two-racks"),
    pytest.mark.needs(
        Capability.PFC,
        Capability.ECN,
        Capability.DCQCN,
        Capability.PFC_WATCHDOG,
        Capability.PAUSE_STORM,
        Capability.SLOW_RECEIVER,
        Capability.LATENCY_HISTOGRAM,
        Capability.RATE_SERIES,
        Capability.HOST_COUNTERS,
    ),
]

WATCHDOG = Watchdog(detect=500 * US, restore=500 * US, poll=100 * US)
NIC = Nic(mtu=4096, rx_buffer=1 * MB, rx_xoff=500 * KB, rx_xon=400 * KB)
# With the factor 8 of SIGCOMM 2015, section 4, marks come long before pauses, also when 192 queue pairs start at once.
BUFFER = Buffer(alpha=8.0)
QOS = Qos(pfc=Pfc({3}, watchdog=WATCHDOG), ecn=Ecn(), dcqcn=Dcqcn("paper"), buffer=BUFFER, nic=NIC)
PFC_ALONE = Qos(pfc=Pfc({3}), nic=NIC)
START, OVER, END = 1 * MS, 6 * MS, 8 * MS

PING = Pair(64, "h8", "h1", messages=0, interval=5 * US, name="victim")
UPLINK = Pair(1 * MB, "h8", "h1", messages=0, name="victim")
OTHER_WAY = Pair(1 * MB, "h3", "h8", messages=0, name="victim")
OTHER_PORT = Pair(1 * MB, "h1", "h2", messages=0, name="victim")
OTHER_PRIORITY = Pair(64 * KB, "h5", "h1", messages=0, priority=4, rate=30 * GBPS, name="victim")
# Each with what it can have alone, in Gb/s: a message of 64 B each 5 us, a full link, 30 Gb/s less headers.
FULL = 100 * Wire().efficiency(4096)
VICTIMS = [
    pytest.param(PING, 64 * 8 / 5000, id="ping"),
    pytest.param(UPLINK, FULL, id="same uplink"),
    pytest.param(OTHER_WAY, FULL, id="uplink back"),
    pytest.param(OTHER_PORT, FULL, id="other port"),
    pytest.param(OTHER_PRIORITY, 0.3 * FULL, id="other priority"),
]

RACK = ("h5", "h6", "h7")
INCAST = Incast(RACK, 8 * MB, "h4", start=START, name="aggressor")
TRICKLE = Incast(RACK, 1 * MB, "h4", start=START, rate=2 * GBPS, name="aggressor")
ONE = Pair(16 * MB, "h5", "h4", start=START, name="aggressor")
MANY = Incast(RACK, 64 * KB, "h4", start=START, messages=2, qps=64, name="aggressor")
SENDS = Incast(
    RACK, 4 * KB, "h4", start=START, verb="send", messages=50, recv_depth=1, recv_repost=20 * US,
    name="aggressor",
)  # fmt: skip
STORM = [PauseStorm(START, "h4:p0", priorities={3}, duration=3 * MS)]
SLOW = [DrainRate(START, "h4:p0", 40 * GBPS), DrainRate(5 * MS, "h4:p0", 0)]
AGGRESSORS = [
    pytest.param(INCAST, [], Counter.ECN_MARKED, id="incast"),
    pytest.param(TRICKLE, STORM, Counter.WATCHDOG_DETECTED, id="pause storm"),
    pytest.param(ONE, SLOW, Counter.PAUSE_TX, id="slow receiver"),
    pytest.param(MANY, [], Counter.ECN_MARKED, id="many queue pairs"),
    pytest.param(SENDS, [], Counter.RNR_NAK_SENT, id="receiver not ready"),
]

CAUSE = at_least(1, margin=0.0, source="the aggressor must be felt where it strikes")
ASKED = at_least(0.95, source="alone, nothing is in its way; 5 % for the last message and start-up")
KEPT = at_least(0.8, source="Husky: a victim keeps 0.8 of what it has alone")
QUICK = at_most(1.25, source="GPCNeT impact factor; 1 / 0.8 as Husky has it for rates")
ONCE = equals(0, source="no victim shares a queue that overflows, so that nothing of it is lost")
SOON = at_most(
    0.525, source="fast recovery from one cut takes five periods of 55 us; and a sample of 0.25 ms"
)


@pytest.mark.plan("ISO-03", "ISO-04")
@pytest.mark.catches("slow_sender", "rate alone over what it asks for")
@pytest.mark.parametrize(("aggressor", "events", "felt"), AGGRESSORS)
@pytest.mark.parametrize(("victim", "asked"), VICTIMS)
def test_a_victim_keeps_what_it_had(fabric, expect, victim, asked, aggressor, events, felt):
    """Rate and latency beside an aggressor are those of the victim alone, within a quarter, and soon all of them."""
    quiet = Scenario(victim, qos=QOS, duration=END, drain=1 * MS, sample_every=250 * US)
    alone, result = fabric.run(quiet), fabric.run(replace(quiet, traffic=[victim, aggressor], events=events))

    flow, before = result.flow("victim-0"), alone.flow("victim-0")
    usual = alone.series["goodput_bps"].between(START, END).mean("victim-0")
    rates = result.series["goodput_bps"].between(0, END)
    back = time_until_above(rates.time_ps, rates.column("victim-0"), 0.95 * usual, OVER)
    expect("trace of the aggressor", result.counters[felt], CAUSE)
    expect("rate alone over what it asks for", usual / asked / 1e9, ASKED)
    expect("rate over that alone", flow.bytes_delivered / before.bytes_delivered, KEPT)
    slower = flow.latency.p99_ps / before.latency.p99_ps
    expect("latency over that alone, 99th percentile", slower, QUICK)
    expect("packets of the victim sent again", flow.packets_retransmitted, ONCE)
    expect("time until 95 % of its rate, after the aggressor", back / MS, SOON, "ms")


@pytest.mark.plan("ISO-03", "ISO-04")
@pytest.mark.negative_control("PFC alone")
@pytest.mark.parametrize("victim", [PING, UPLINK])
def test_a_blocked_victim_is_noticed(fabric, expect, victim):
    """With PFC alone an incast that does not end holds the trunk, and whoever crosses it waits."""
    long = Incast(RACK, 1000 * MB, "h4", start=START, name="aggressor")
    quiet = Scenario(victim, qos=PFC_ALONE, duration=END, sample_every=250 * US)
    alone, result = fabric.run(quiet), fabric.run(replace(quiet, traffic=[victim, long]))

    flow, before = result.flow("victim-0"), alone.flow("victim-0")
    usual = alone.series["goodput_bps"].between(START, END).mean("victim-0")
    rates = result.series["goodput_bps"].between(0, END)
    back = time_until_above(rates.time_ps, rates.column("victim-0"), 0.95 * usual, OVER)
    expect("rate over that alone", flow.bytes_delivered / before.bytes_delivered, KEPT)
    slower = flow.latency.p99_ps / before.latency.p99_ps
    expect("latency over that alone, 99th percentile", slower, QUICK)
    expect("time until 95 % of its rate, after the aggressor", back / MS, SOON, "ms")


@pytest.mark.plan("ISO-03", "ISO-04")
@pytest.mark.negative_control("a pause storm without watchdog")
def test_a_storm_that_nothing_breaks_is_noticed(fabric, expect):
    """Without watchdog what is meant for the stormed port fills the switch and stops the trunk."""
    quiet = Scenario(UPLINK, qos=PFC_ALONE, duration=END, sample_every=250 * US)
    alone, result = fabric.run(quiet), fabric.run(replace(quiet, traffic=[UPLINK, INCAST], events=STORM))

    flow, before = result.flow("victim-0"), alone.flow("victim-0")
    expect("rate over that alone", flow.bytes_delivered / before.bytes_delivered, KEPT)
    slower = flow.latency.p99_ps / before.latency.p99_ps
    expect("latency over that alone, 99th percentile", slower, QUICK)
