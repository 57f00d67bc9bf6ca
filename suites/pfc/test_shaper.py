"""A burst through a slow port comes out whole: every frame that went into the switch leaves it."""

from __future__ import annotations

import pytest

from harness import (
    KB,
    MB,
    MBPS,
    MS,
    Buffer,
    Capability,
    Counter,
    LinkRate,
    Nic,
    Pfc,
    Qos,
    Scenario,
    approx,
    at_least,
    equals,
)
from harness.analysis.transport import Wire
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.PFC, Capability.LINK_RATE, Capability.BUFFER_CONFIG, Capability.PER_PRIORITY_COUNTERS
    ),
]

# As the test of the mlxsw driver has it: a burst of 10 MB at line rate, 200 Mb/s out, headroom of 100 KB.
BURST = Pair(10 * MB, "h1", "h9")
SHAPER = LinkRate(0, "h9:p0", 200 * MBPS)
BUFFER = Buffer(size=4 * MB, headroom=100 * KB)
TOOK = approx(
    10 * MB * 8 / (0.2 * Wire().efficiency(4096)) / 1e6,
    rel=0.05,
    source="10 MB and headers at 200 Mb/s; 95 to 105 % as in Linux mlxsw qos_pfc.sh",
)
WHOLE = equals(0, source="conservation: the switch keeps, loses and makes no frame; Linux mlxsw qos_pfc.sh")
LOSSLESS = equals(0, source="the sender is paused before the headroom is used up")


@pytest.mark.plan("PFC-14")
@pytest.mark.catches("silent_drop", "frames in less frames out")
def test_a_burst_through_a_slow_port_comes_out_whole(fabric, expect):
    """10 MB at line rate into 200 Mb/s: the sender is paused, and as many frames leave the switch as came in."""
    result = fabric.run(
        Scenario(BURST, qos=Qos(pfc=Pfc({3}), buffer=BUFFER, nic=Nic(mtu=4096)), events=[SHAPER])
    )

    into, out = result.counters.at("sw1:e1").priority(3), result.counters.at("sw1:e9").priority(3)
    expect("pause frames sent", into[Counter.PAUSE_TX], at_least(1, source="10 MB do not fit in 4 MB"))
    expect("frames in less frames out", into[Counter.RX_PACKETS] - out[Counter.TX_PACKETS], WHOLE)
    expect("bytes in less bytes out", into[Counter.RX_BYTES] - out[Counter.TX_BYTES], WHOLE, "B")
    expect("burst took", result.flow("pair-0").fct_ps / MS, TOOK, "ms")
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)
    expect("packets sent again", result.counters[Counter.RETRANSMITTED], equals(0, source="nothing was lost"))


@pytest.mark.plan("PFC-14")
@pytest.mark.negative_control("PFC switched off")
def test_a_burst_that_is_cut_is_noticed(fabric, expect):
    """Without PFC the buffer overflows: more frames go in than come out."""
    result = fabric.run(Scenario(BURST, qos=Qos(buffer=BUFFER, nic=Nic(mtu=4096)), events=[SHAPER]))

    into, out = result.counters.at("sw1:e1").priority(3), result.counters.at("sw1:e9").priority(3)
    expect("frames in less frames out", into[Counter.RX_PACKETS] - out[Counter.TX_PACKETS], WHOLE)
    expect("frames dropped", result.counters[Counter.DROPS], LOSSLESS)
