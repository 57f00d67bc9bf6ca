"""In a long queue packets that can carry a mark are marked and kept; with WRED those that cannot are dropped."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    KB,
    MB,
    MS,
    Capability,
    Counter,
    Ecn,
    Nic,
    Pfc,
    Qos,
    Scenario,
    approx,
    at_least,
    equals,
)
from harness.analysis.queueing import red_probability
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(
        Capability.ECN,
        Capability.PFC,
        Capability.QUEUE_SERIES,
        Capability.DROP_REASONS,
        Capability.UNRELIABLE_TRANSPORTS,
    ),
]

# Two senders with a window each hold the queue still; a third one crosses it with packets that are not ECN-capable
# and are never sent again (UC), so that each is dropped at most once. Pmax of 1/2 makes the parts large enough.
KMIN, KMAX, PMAX = 500 * KB, 2000 * KB, 0.5
WRED = Qos(pfc=Pfc({3}), ecn=Ecn(kmin=KMIN, kmax=KMAX, pmax=PMAX, wred_drop=True), nic=Nic(mtu=1024))
PLAIN = Qos(pfc=Pfc({3}), ecn=Ecn(kmin=KMIN, kmax=KMAX, pmax=PMAX), nic=Nic(mtu=1024))
START = 1 * MS
INCAPABLE = Pair(8 * MB, "h3", "h9", transport="uc", ect=False, rate=20 * GBPS, start=START, name="incapable")
PACKETS = 8000000 // 1024 + 1
LONG = 6 * MS
KEPT = "WRED drops only what cannot be marked; PFC keeps the rest"
UNMARKABLE = "RFC 3168: Not-ECT is never changed to CE"
SPREAD = (
    "RED at the depth measured; four standard deviations of a binomial, and 1 % for packets at the samples"
)


@pytest.mark.plan("ECN-03", "ECN-06")
@pytest.mark.catches("wred_drops_ect", "ECN-capable packets dropped")
@pytest.mark.parametrize("window_kb", [600, 800])
def test_wred_drops_only_what_cannot_be_marked(fabric, expect, window_kb):
    """In one queue between Kmin and Kmax capable packets are marked and kept, the others dropped in proportion."""
    standing = Incast(2, 1000 * MB, window=window_kb * KB)
    result = fabric.run(Scenario([standing, INCAPABLE], qos=WRED, duration=LONG))

    busy = result.series["queue_bytes"].between(START, START + 3 * MS)
    chance = red_probability(busy.mean("sw1:e9/3"), kmin_bytes=KMIN, kmax_bytes=KMAX, pmax=PMAX)
    spread = 4 * (chance * (1 - chance) / PACKETS) ** 0.5 + 0.01
    capable, other = result.flows.of(standing), result.flow("incapable-0")
    expect("marks on ECN-capable packets", capable.total("ecn_marked"), at_least(1, source="above Kmin"))
    expect("ECN-capable packets dropped", capable.total("packets_dropped"), equals(0, source=KEPT))
    expect("marks on others", other.ecn_marked, equals(0, source=UNMARKABLE))
    expect(
        "part of others dropped", other.packets_dropped / PACKETS, approx(chance, abs=spread, source=SPREAD)
    )
    dropped = equals(other.packets_dropped, source="WRED is the only reason to drop")
    expect("drops that the switch puts down to WRED", result.counters[Counter.DROPS_WRED], dropped)


@pytest.mark.plan("ECN-03")
@pytest.mark.parametrize(("window_kb", "part"), [(180, 0.0), (1250, 1.0)])
def test_wred_drops_nothing_below_kmin_and_all_above_kmax(fabric, expect, window_kb, part):
    """Packets that cannot be marked all pass a queue of two thirds of Kmin and none passes one above Kmax."""
    standing = Incast(2, 1000 * MB, window=window_kb * KB)
    result = fabric.run(Scenario([standing, INCAPABLE], qos=WRED, duration=LONG))

    share = equals(part, source="RED: 0 up to Kmin, 1 above Kmax")
    expect("part of others dropped", result.flow("incapable-0").packets_dropped / PACKETS, share)
    capable = result.flows.of(standing)
    expect("ECN-capable packets dropped", capable.total("packets_dropped"), equals(0, source=KEPT))


@pytest.mark.plan("ECN-06")
def test_without_wred_nothing_is_dropped(fabric, expect):
    """A switch that only marks keeps packets that cannot be marked, and leaves them unmarked."""
    standing = Incast(2, 1000 * MB, window=800 * KB)
    result = fabric.run(Scenario([standing, INCAPABLE], qos=PLAIN, duration=LONG))

    marks = result.flows.of(standing).total("ecn_marked")
    expect("marks on ECN-capable packets", marks, at_least(1, source="the queue stands above Kmin"))
    expect("marks on others", result.flow("incapable-0").ecn_marked, equals(0, source=UNMARKABLE))
    expect("frames dropped", result.counters[Counter.DROPS], equals(0, source="marking replaces dropping"))


@pytest.mark.plan("ECN-03", "ECN-06")
@pytest.mark.negative_control("WRED switched off")
def test_absent_wred_is_noticed(fabric, expect):
    """A switch that drops nothing does not pass for one with WRED."""
    standing = Incast(2, 1000 * MB, window=800 * KB)
    result = fabric.run(Scenario([standing, INCAPABLE], qos=PLAIN, duration=LONG))

    busy = result.series["queue_bytes"].between(START, START + 3 * MS)
    chance = red_probability(busy.mean("sw1:e9/3"), kmin_bytes=KMIN, kmax_bytes=KMAX, pmax=PMAX)
    spread = 4 * (chance * (1 - chance) / PACKETS) ** 0.5 + 0.01
    part = result.flow("incapable-0").packets_dropped / PACKETS
    expect("part of others dropped", part, approx(chance, abs=spread, source=SPREAD))


@pytest.mark.plan("ECN-06")
@pytest.mark.negative_control("all packets ECN-capable")
def test_marks_on_the_other_flow_are_noticed(fabric, expect):
    """The same flow with ECN-capable packets is marked: its marks are counted."""
    standing = Incast(2, 1000 * MB, window=800 * KB)
    able = Pair(8 * MB, "h3", "h9", transport="uc", rate=20 * GBPS, start=START, name="incapable")
    result = fabric.run(Scenario([standing, able], qos=PLAIN, duration=LONG))

    expect("marks on others", result.flow("incapable-0").ecn_marked, equals(0, source=UNMARKABLE))
