"""Packets sprayed over equal paths load them alike, so that an exchange without an incast causes no congestion."""

from __future__ import annotations

import math

import pytest

from harness import GBPS, Capability, Counter, Ecmp, Ecn, Nic, Pfc, Qos, Scenario, at_least, at_most, equals
from harness.analysis.uplinks import (
    busiest_uplink_packets,
    idlest_uplink_packets,
    uplink_packets,
    used_uplinks,
)
from harness.patterns.pair import Pair
from harness.patterns.permutation import Permutation

pytestmark = [
    pytest.mark.topology("leaf-spine-16"),
    pytest.mark.needs(
        Capability.ECMP_CONFIG, Capability.PFC, Capability.ECN, Capability.SWITCH_COUNTERS,
        Capability.UNRELIABLE_TRANSPORTS,
    ),
]  # fmt: skip

PATHS = 4
PACKETS = 4000
# Datagrams know no order, as a receiver that places packets wherever they belong.
DATAGRAMS = {"verb": "send", "transport": "ud", "messages": PACKETS}
# Four standard deviations of a binomial number with n draws of 1/4.
SPREAD = 4 * math.sqrt(PACKETS * (1 / PATHS) * (1 - 1 / PATHS))
BY_CHANCE = "binomial: a quarter of the packets and four standard deviations"
NO_CONGESTION = (
    "SONiC pull 21514, TC8: no pause and no mark; at 90 % no link is ever asked for more than it has"
)


def spray(mode):
    """Marks from 400 KB of a queue on, pauses at the default threshold, and this spreading."""
    return Qos(nic=Nic(mtu=4096), pfc=Pfc({3}), ecn=Ecn(), ecmp=Ecmp(mode))


@pytest.mark.plan("CC-10")
def test_one_flow_sprayed_loads_all_uplinks_alike(fabric, expect):
    """A single queue pair with spraying: each of the four uplinks carries a quarter, as even as chance allows."""
    result = fabric.run(Scenario(Pair(4096, "h1", "h5", **DATAGRAMS), qos=spray("spray")))

    even = PACKETS / PATHS
    most = at_most(even + SPREAD, margin=0.0, source=BY_CHANCE)
    least = at_least(even - SPREAD, margin=0.0, source=BY_CHANCE)
    expect(
        "packets over the uplinks", uplink_packets(result, "leaf1"), equals(PACKETS, source="what was sent")
    )
    expect("uplinks used", used_uplinks(result, "leaf1"), equals(PATHS, source="the spines"))
    expect("packets on the busiest uplink", busiest_uplink_packets(result, "leaf1"), most)
    expect("packets on the idlest uplink", idlest_uplink_packets(result, "leaf1"), least)


@pytest.mark.plan("CC-10")
def test_a_sprayed_exchange_causes_no_congestion(fabric, expect):
    """Every host sends to the next rack at 90 % of line rate, sprayed: no pause, no mark, no loss, all arrives."""
    exchange = Permutation(4096, shift=4, rate=90 * GBPS, **DATAGRAMS)
    result = fabric.run(Scenario(exchange, qos=spray("spray")))

    sent = equals(16 * PACKETS * 4096, source="what was sent")
    expect("bytes delivered", result.flows.total("bytes_delivered"), sent, "B")
    expect("pause frames sent", result.counters[Counter.PAUSE_TX], equals(0, source=NO_CONGESTION))
    expect("packets marked", result.counters[Counter.ECN_MARKED], equals(0, source=NO_CONGESTION))
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source=NO_CONGESTION))


@pytest.mark.plan("CC-10")
@pytest.mark.negative_control("a hash of the five tuple instead of spraying")
def test_a_flow_on_one_path_is_noticed(fabric, expect):
    """Without spraying one uplink carries all of a queue pair."""
    result = fabric.run(Scenario(Pair(4096, "h1", "h5", **DATAGRAMS), qos=spray("5tuple")))

    most = at_most(PACKETS / PATHS + SPREAD, margin=0.0, source=BY_CHANCE)
    expect("uplinks used", used_uplinks(result, "leaf1"), equals(PATHS, source="the spines"))
    expect("packets on the busiest uplink", busiest_uplink_packets(result, "leaf1"), most)


@pytest.mark.plan("CC-10")
@pytest.mark.negative_control("a hash of the five tuple instead of spraying")
def test_flows_that_meet_are_noticed(fabric, expect):
    """Sixteen flows on hashed paths meet somewhere, and that link is congested."""
    exchange = Permutation(4096, shift=4, rate=90 * GBPS, **DATAGRAMS)
    result = fabric.run(Scenario(exchange, qos=spray("5tuple")))

    expect("pause frames sent", result.counters[Counter.PAUSE_TX], equals(0, source=NO_CONGESTION))
    expect("packets marked", result.counters[Counter.ECN_MARKED], equals(0, source=NO_CONGESTION))
