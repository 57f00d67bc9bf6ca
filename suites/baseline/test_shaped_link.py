"""One host alone fills the link it has, hosts start together, and counters tell what was sent.

For any fabric: the link's rate is that of the topology, whatever it is.
"""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MS,
    Capability,
    Counter,
    KiB,
    LinkRate,
    Nic,
    Qos,
    Scenario,
    at_least,
    at_most,
    equals,
    within,
)
from harness.analysis.completion import start_skew_limit_ps, start_skew_ps
from harness.analysis.transport import Wire
from harness.patterns.pair import Pair
from harness.patterns.permutation import Permutation

# A timer of half a second: on slow machines, too, no timeout adds packets to those that are counted.
PATIENT = 17
SHARE = "payload part of a full frame on the link; 10 % for start-up and the last acknowledgement (ours)"
SKEW = "what the site allows; 5 ms where it does not say otherwise"
FRAMES = "58 B of headers a packet (Ethernet to ICRC), 16 more a message, 4 more where the FCS is counted"
OTHERS = 16 * 1024
"""Bytes that hosts may send beside the flow: ARP, neighbour discovery, connection set-up of the tools."""


def full(fabric, mtu):
    """Nine tenths of what a link carries in full packets."""
    return at_least(0.9 * fabric.line_rate_gbps * Wire().efficiency(mtu), margin=0.0, source=SHARE)


@pytest.mark.plan("BASE-03")
@pytest.mark.parametrize(
    ("mtu", "qps"), [(1024, 1), (4096, 4), pytest.param(4096, 1, marks=pytest.mark.slow)]
)
def test_a_pair_fills_its_link(fabric, expect, mtu, qps):
    """Two hosts alone on a fabric use nine tenths of what their link can carry, and lose nothing."""
    # two messages in flight: half a megabyte in all, which a buffer of 1 MB holds
    traffic = Pair(256 * KiB // qps, messages=16, qps=qps, max_outstanding=2)
    result = fabric.run(Scenario(traffic, qos=Qos(nic=Nic(mtu=mtu, ack_timeout=PATIENT))))

    flow = result.flow("pair-0")
    expect("goodput", flow.goodput_gbps, full(fabric, mtu), "Gb/s")
    expect(
        "bytes delivered",
        flow.bytes_delivered,
        equals(4096 * KiB, source="16 messages of 256 KiB over all QPs"),
        "B",
    )


@pytest.mark.plan("BASE-09")
@pytest.mark.needs(Capability.HOST_COUNTERS)
@pytest.mark.parametrize("verb", ["write", pytest.param("send", marks=pytest.mark.slow)])
def test_the_port_counts_what_was_sent(fabric, expect, verb):
    """The bytes and packets that the sender's port counts are the payload and its headers."""
    qos = Qos(nic=Nic(mtu=4096, ack_timeout=PATIENT))
    result = fabric.run(Scenario(Pair(256 * KiB, verb=verb, messages=4), qos=qos))

    port = result.counters.at(fabric.topology.host_ports[0])
    payload, packets = 4 * 256 * KiB, 4 * 64
    least, most = payload + 58 * packets, payload + 62 * packets + 16 * 4 + OTHERS
    expect("bytes sent", port[Counter.TX_BYTES], within(least, most, source=FRAMES), "B")
    expect(
        "packets sent",
        port[Counter.TX_PACKETS],
        within(packets, packets + 16),
        source="64 a message; 16 for what hosts say by themselves",
    )


@pytest.mark.plan("BASE-12")
@pytest.mark.catches("late_start", "start skew")
def test_hosts_start_together(fabric, expect):
    """Flows that are to start at once on all hosts start as close to one another as the site asks for."""
    result = fabric.run(Scenario(Permutation(16 * KiB, shift=1), qos=Qos(nic=Nic(ack_timeout=PATIENT))))

    flows = result.flows
    expect("flows", len(flows), equals(len(fabric.topology.host_ports)), source="one a host")
    limit = start_skew_limit_ps(result) / 1e9
    expect("start skew", start_skew_ps(flows) / 1e9, at_most(limit, source=SKEW), "ms")


@pytest.mark.plan("BASE-03")
@pytest.mark.needs(Capability.LINK_RATE)
@pytest.mark.negative_control("the receiver's link at half its rate")
def test_a_link_of_half_the_rate_is_noticed(fabric, expect):
    """Half a link does not pass for a whole one."""
    half = LinkRate(0, fabric.topology.host_ports[-1], int(fabric.line_rate_gbps * GBPS / 2))
    qos = Qos(nic=Nic(mtu=4096, ack_timeout=PATIENT))
    result = fabric.run(Scenario(Pair(256 * KiB, messages=8), qos=qos, events=[half]))

    expect("goodput", result.flow("pair-0").goodput_gbps, full(fabric, 4096), "Gb/s")


@pytest.mark.plan("BASE-09")
@pytest.mark.needs(Capability.HOST_COUNTERS)
@pytest.mark.negative_control("a message more than is claimed")
def test_a_message_too_many_is_noticed(fabric, expect):
    """One message of 256 KB more shows in bytes and packets."""
    qos = Qos(nic=Nic(mtu=4096, ack_timeout=PATIENT))
    result = fabric.run(Scenario(Pair(256 * KiB, messages=5), qos=qos))

    port = result.counters.at(fabric.topology.host_ports[0])
    payload, packets = 4 * 256 * KiB, 4 * 64
    least, most = payload + 58 * packets, payload + 62 * packets + 16 * 4 + OTHERS
    expect("bytes sent", port[Counter.TX_BYTES], within(least, most, source=FRAMES), "B")
    expect(
        "packets sent",
        port[Counter.TX_PACKETS],
        within(packets, packets + 16),
        source="64 a message; 16 for what hosts say by themselves",
    )


@pytest.mark.plan("BASE-12")
@pytest.mark.negative_control("one flow that starts 200 ms late")
def test_a_late_start_is_noticed(fabric, expect):
    """A flow that is told to wait does not pass for one that starts with the others."""
    late = Pair(16 * KiB, start=200 * MS, name="late")
    traffic = [Permutation(16 * KiB, shift=1), late]
    result = fabric.run(Scenario(traffic, qos=Qos(nic=Nic(ack_timeout=PATIENT))))

    limit = start_skew_limit_ps(result) / 1e9
    expect("start skew", start_skew_ps(result.flows) / 1e9, at_most(limit, source=SKEW), "ms")
