"""The depth of one queue never marks packets of another."""

from __future__ import annotations

import pytest

from harness import GBPS, MB, MS, Capability, Counter, Ecn, Ets, Nic, Pfc, Qos, Scenario, at_least, equals
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.ECN, Capability.ETS, Capability.PER_PRIORITY_COUNTERS),
]

QOS = Qos(pfc=Pfc({3, 4}), ecn=Ecn(priorities={3, 4}), ets=Ets({3: 50, 4: 50}), nic=Nic(mtu=4096))
CONGESTED = Incast(4, 1000 * MB, priority=3)
MARKED = at_least(1000, source="at least 55 % of 9000 packets pass, most through a queue above Kmin")
SPARED = equals(0, source="RED looks at the packet's own queue, which stays empty below its share")
GREEDY = at_least(1, source="above its share the queue grows past Kmin")
KEPT = equals(0, source="PFC holds senders back before the buffer is full")


@pytest.mark.plan("ECN-06")
@pytest.mark.catches("marking_wrong_queue", "marks on the quiet flow")
@pytest.mark.parametrize("load", [10, 25, 40])
def test_a_congested_queue_does_not_mark_another(fabric, expect, load):
    """Four senders congest priority 3 of a port; a flow of priority 4 below its share of that port is never marked."""
    quiet = Pair(1000 * MB, "h5", "h9", priority=4, rate=load * GBPS, name="quiet")
    result = fabric.run(Scenario([CONGESTED, quiet], qos=QOS, duration=3 * MS))

    expect("marked in the congested queue", result.counters.priority(3)[Counter.ECN_MARKED], MARKED)
    expect("marked in the quiet queue", result.counters.priority(4)[Counter.ECN_MARKED], SPARED)
    expect("marks on the quiet flow", result.flow("quiet-0").ecn_marked, SPARED)


@pytest.mark.plan("ECN-06")
@pytest.mark.negative_control("both flows in one queue")
def test_marks_across_flows_are_noticed(fabric, expect):
    """In the congested queue the same flow is marked."""
    quiet = Pair(1000 * MB, "h5", "h9", priority=3, rate=10 * GBPS, name="quiet")
    result = fabric.run(Scenario([CONGESTED, quiet], qos=QOS, duration=3 * MS))

    expect("marked in the congested queue", result.counters.priority(3)[Counter.ECN_MARKED], MARKED)
    expect("marks on the quiet flow", result.flow("quiet-0").ecn_marked, SPARED)


@pytest.mark.plan("ECN-09")
@pytest.mark.parametrize("load", [20, 48])
def test_loads_that_fit_are_not_marked(fabric, expect, load):
    """Two flows in queues of equal weight that fit the port together are not marked."""
    first = Pair(8 * MB, "h1", "h9", priority=3, rate=load * GBPS, name="first")
    second = Pair(8 * MB, "h2", "h9", priority=4, rate=load * GBPS, name="second")
    result = fabric.run(Scenario([first, second], qos=QOS))

    expect(
        "packets carried",
        result.flows.total("packets_delivered"),
        equals(2 * 1954),
        source="two flows of 1954 packets",
    )
    expect(
        "packets marked",
        result.counters[Counter.ECN_MARKED],
        equals(0, source="loads that fit leave no queue"),
    )
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)


@pytest.mark.plan("ECN-09")
@pytest.mark.parametrize(("above", "below"), [(80, 40), (95, 20)])
def test_only_the_flow_above_its_share_is_marked(fabric, expect, above, below):
    """Of two queues of equal weight only the one that asks for more than it can get is marked."""
    greedy = Pair(1000 * MB, "h1", "h9", priority=3, rate=above * GBPS, name="greedy")
    modest = Pair(1000 * MB, "h2", "h9", priority=4, rate=below * GBPS, name="modest")
    result = fabric.run(Scenario([greedy, modest], qos=QOS, duration=3 * MS))

    expect("marks on the flow above its share", result.flow("greedy-0").ecn_marked, GREEDY)
    expect("marks on the flow below its share", result.flow("modest-0").ecn_marked, SPARED)
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)


@pytest.mark.plan("ECN-09")
@pytest.mark.negative_control("weights that give the modest flow less than it asks for")
def test_wrong_weights_are_noticed_by_their_marks(fabric, expect):
    """With a weight too small for it the modest flow is marked as well."""
    greedy = Pair(1000 * MB, "h1", "h9", priority=3, rate=80 * GBPS, name="greedy")
    modest = Pair(1000 * MB, "h2", "h9", priority=4, rate=40 * GBPS, name="modest")
    qos = Qos(pfc=Pfc({3, 4}), ecn=Ecn(priorities={3, 4}), ets=Ets({3: 75, 4: 25}), nic=Nic(mtu=4096))
    result = fabric.run(Scenario([greedy, modest], qos=qos, duration=3 * MS))

    expect("marks on the flow above its share", result.flow("greedy-0").ecn_marked, GREEDY)
    expect("marks on the flow below its share", result.flow("modest-0").ecn_marked, SPARED)
