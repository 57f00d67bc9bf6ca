"""What one end of a link says it sent is what the other end says it received."""

from __future__ import annotations

import pytest

from harness import MB, Buffer, Capability, Counter, Nic, Pfc, Qos, Scenario, at_least, equals
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.HOST_COUNTERS, Capability.SWITCH_COUNTERS, Capability.PFC)

QOS = Qos(pfc=Pfc({3}), buffer=Buffer(size=4 * MB), nic=Nic(mtu=4096))
SOURCE = "a link without bit errors neither makes nor loses frames"


@pytest.mark.plan("BASE-09")
@pytest.mark.catches("bit_errors", "frames to the switch")
@pytest.mark.topology("star-9")
@pytest.mark.parametrize("number", [1, 5, 9])
def test_both_ends_of_a_link_count_the_same(fabric, expect, number):
    """In an incast that pauses senders, frames, bytes and pauses sent at one end are those received at the other."""
    result = fabric.run(Scenario(Incast(8, 4 * MB), qos=QOS))
    host, switch = result.counters.at(f"h{number}:p0"), result.counters.at(f"sw1:e{number}")

    expect(
        "frames from the host",
        host[Counter.TX_PACKETS],
        at_least(977, margin=0.0),
        source="4 MB are 977 packets",
    )
    expect(
        "pause frames sent", result.counters[Counter.PAUSE_TX], at_least(8), source="one a sender at least"
    )
    expect(
        "frames to the switch", switch[Counter.RX_PACKETS], equals(host[Counter.TX_PACKETS]), source=SOURCE
    )
    expect(
        "bytes to the switch", switch[Counter.RX_BYTES], equals(host[Counter.TX_BYTES]), "B", source=SOURCE
    )
    expect("frames to the host", host[Counter.RX_PACKETS], equals(switch[Counter.TX_PACKETS]), source=SOURCE)
    expect("bytes to the host", host[Counter.RX_BYTES], equals(switch[Counter.TX_BYTES]), "B", source=SOURCE)
    expect("pauses to the host", host[Counter.PAUSE_RX], equals(switch[Counter.PAUSE_TX]), source=SOURCE)


@pytest.mark.plan("BASE-09")
@pytest.mark.topology("bad-cable")
@pytest.mark.needs(Capability.BIT_ERRORS)
@pytest.mark.negative_control("a cable with bit errors")
def test_a_bad_cable_is_noticed(fabric, expect):
    """On a link with bit errors the two ends count differently."""
    result = fabric.run(Scenario(Pair(16 * MB, "h1", "h2", both_ways=True), qos=QOS))
    host, switch = result.counters.at("h2:p0"), result.counters.at("sw1:e2")

    expect(
        "frames to the switch", switch[Counter.RX_PACKETS], equals(host[Counter.TX_PACKETS]), source=SOURCE
    )
    expect(
        "bytes to the switch", switch[Counter.RX_BYTES], equals(host[Counter.TX_BYTES]), "B", source=SOURCE
    )
    expect("frames to the host", host[Counter.RX_PACKETS], equals(switch[Counter.TX_PACKETS]), source=SOURCE)
    expect("bytes to the host", host[Counter.RX_BYTES], equals(switch[Counter.TX_BYTES]), "B", source=SOURCE)
