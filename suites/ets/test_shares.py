"""Priorities share a congested port by their weights; what one leaves the others get; strict ones go first."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    MS,
    Capability,
    Counter,
    Ets,
    Nic,
    Pfc,
    Qos,
    Scenario,
    approx,
    at_least,
    at_most,
    equals,
)
from harness.analysis.sched import ets_shares
from harness.analysis.shares import worst_deviation
from harness.analysis.transport import Wire
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.ETS, Capability.PFC, Capability.SWITCH_COUNTERS),
]

LOSSLESS, NIC = Pfc({0, 3, 4}), Nic(mtu=4096)
WEIGHTS = "weight over the sum of weights; 3 % is the tolerance of the featureprofiles WRR test (802.1Qaz allows 10 %)"
LEFT = "what the other priority leaves of the line rate, less headers; 3 % as for shares"
BOUNDLESS = float("inf")
NONE_LOST = equals(0, source="every priority in use has PFC")
LINE = 100 * Wire().efficiency(4096)
FULL = at_least(0.97 * LINE, margin=0.0, source="a greedy port is never idle")
ALL = Pfc(set(range(8)))
EIGHT, ONE = [f"h{number}" for number in range(1, 9)], ["h1"] * 8


@pytest.mark.plan("ETS-01")
@pytest.mark.catches("ets_weights_ignored", "first")
@pytest.mark.parametrize(("first", "second"), [(50, 50), (60, 40), (80, 20), (90, 10)])
@pytest.mark.parametrize(
    ("source", "target"), [("h2", "h9"), ("h1", "h8")], ids=["at the switch", "at the sender"]
)
def test_two_priorities_share_by_weight(fabric, expect, first, second, source, target):
    """Two greedy priorities meet in a switch port or in one NIC: each gets its weight's part, and the port is full."""
    flows = [
        Pair(1 * MB, "h1", "h9", priority=3, messages=0, name="first"),
        Pair(1 * MB, source, target, priority=4, messages=0, name="second"),
    ]
    qos = Qos(pfc=LOSSLESS, ets=Ets({3: first, 4: second}), nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=4 * MS))

    shares = ets_shares([BOUNDLESS, BOUNDLESS], [first, second], [], LINE)
    expect("first", result.flow("first-0").goodput_gbps, approx(shares[0], rel=0.03, source=WEIGHTS), "Gb/s")
    expect(
        "second", result.flow("second-0").goodput_gbps, approx(shares[1], rel=0.03, source=WEIGHTS), "Gb/s"
    )
    expect("together", result.goodput_gbps, FULL, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], NONE_LOST)


@pytest.mark.plan("ETS-01")
@pytest.mark.parametrize("weights", [(1, 1, 1), (50, 30, 20), (70, 20, 10)])
def test_three_priorities_share_by_weight(fabric, expect, weights):
    """Three greedy priorities from three hosts share a switch port by weight."""
    flows = [
        Pair(1 * MB, "h1", "h9", priority=0, messages=0, name="first"),
        Pair(1 * MB, "h2", "h9", priority=3, messages=0, name="second"),
        Pair(1 * MB, "h3", "h9", priority=4, messages=0, name="third"),
    ]
    qos = Qos(pfc=LOSSLESS, ets=Ets({0: weights[0], 3: weights[1], 4: weights[2]}), nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=4 * MS))

    shares = ets_shares([BOUNDLESS] * 3, weights, [], LINE)
    expect("first", result.flow("first-0").goodput_gbps, approx(shares[0], rel=0.03, source=WEIGHTS), "Gb/s")
    expect(
        "second", result.flow("second-0").goodput_gbps, approx(shares[1], rel=0.03, source=WEIGHTS), "Gb/s"
    )
    expect("third", result.flow("third-0").goodput_gbps, approx(shares[2], rel=0.03, source=WEIGHTS), "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], NONE_LOST)


@pytest.mark.plan("ETS-01")
@pytest.mark.catches("ets_weights_ignored", "worst share")
@pytest.mark.parametrize(
    "weights",
    [(1, 1, 1, 1), (40, 30, 20, 10), (1, 1, 1, 1, 1, 1, 1, 1), (30, 20, 15, 10, 10, 5, 5, 5)],
    ids=["4 equal", "4 skewed", "8 equal", "8 skewed"],
)
@pytest.mark.parametrize("sources", [EIGHT, ONE], ids=["at the switch", "at the sender"])
def test_many_priorities_share_by_weight(fabric, expect, weights, sources):
    """Four and eight greedy priorities, from as many hosts or from one: each has its weight's part of the port."""
    flows = [
        Pair(1 * MB, source, "h9", priority=priority, messages=0, name=f"class-{priority}")
        for priority, (source, _) in enumerate(zip(sources, weights, strict=False))
    ]
    qos = Qos(pfc=ALL, ets=Ets(dict(enumerate(weights)), strict=set()), nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=4 * MS))

    shares = ets_shares([BOUNDLESS] * len(weights), weights, [], LINE)
    off = worst_deviation(result.flows.goodputs_gbps, shares)
    expect("worst share", 100 * off, at_most(3, source=WEIGHTS), "%")
    expect("together", result.goodput_gbps, FULL, "Gb/s")
    expect("frames dropped", result.counters[Counter.DROPS], NONE_LOST)


@pytest.mark.plan("ETS-01")
@pytest.mark.negative_control("two of four weights exchanged")
def test_exchanged_weights_are_noticed(fabric, expect):
    """The shares of 30 to 40 do not pass for those of 40 to 30."""
    flows = [
        Pair(1 * MB, source, "h9", priority=priority, messages=0, name=f"class-{priority}")
        for priority, source in enumerate(EIGHT[:4])
    ]
    qos = Qos(pfc=ALL, ets=Ets({0: 30, 1: 40, 2: 20, 3: 10}, strict=set()), nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=4 * MS))

    shares = ets_shares([BOUNDLESS] * 4, [40, 30, 20, 10], [], LINE)
    off = worst_deviation(result.flows.goodputs_gbps, shares)
    expect("worst share", 100 * off, at_most(3, source=WEIGHTS), "%")


@pytest.mark.plan("ETS-01")
@pytest.mark.negative_control("all weights equal")
def test_equal_weights_are_noticed(fabric, expect):
    """A port that ignores its weights gives both priorities half."""
    flows = [
        Pair(1 * MB, "h1", "h9", priority=3, messages=0, name="first"),
        Pair(1 * MB, "h2", "h9", priority=4, messages=0, name="second"),
    ]
    result = fabric.run(Scenario(flows, qos=Qos(pfc=LOSSLESS, ets=Ets(), nic=NIC), duration=4 * MS))

    shares = ets_shares([BOUNDLESS, BOUNDLESS], [60, 40], [], LINE)
    expect("first", result.flow("first-0").goodput_gbps, approx(shares[0], rel=0.03, source=WEIGHTS), "Gb/s")
    expect(
        "second", result.flow("second-0").goodput_gbps, approx(shares[1], rel=0.03, source=WEIGHTS), "Gb/s"
    )


@pytest.mark.plan("ETS-02")
@pytest.mark.catches("ets_not_work_conserving", "greedy")
@pytest.mark.parametrize("demand", [0.001, 10, 30])
@pytest.mark.parametrize(
    ("source", "target"), [("h2", "h9"), ("h1", "h8")], ids=["at the switch", "at the sender"]
)
def test_an_idle_share_is_used_by_the_other(fabric, expect, demand, source, target):
    """A priority with half the weight that asks for less leaves the rest to the greedy one."""
    flows = [
        Pair(1 * MB, "h1", "h9", priority=3, messages=0, rate=int(demand * GBPS), name="modest"),
        Pair(1 * MB, source, target, priority=4, messages=0, name="greedy"),
    ]
    result = fabric.run(
        Scenario(flows, qos=Qos(pfc=LOSSLESS, ets=Ets({3: 50, 4: 50}), nic=NIC), duration=4 * MS)
    )

    rest = ets_shares([demand * LINE / 100, BOUNDLESS], [50, 50], [], LINE)[1]
    expect("greedy", result.flow("greedy-0").goodput_gbps, approx(rest, rel=0.03, source=LEFT), "Gb/s")
    expect("together", result.goodput_gbps, FULL, "Gb/s")


@pytest.mark.plan("ETS-02")
@pytest.mark.negative_control("the greedy priority held to its share")
def test_a_port_that_wastes_is_noticed(fabric, expect):
    """A port that keeps the idle share free looks like a greedy flow limited to half the link."""
    flows = [
        Pair(1 * MB, "h1", "h9", priority=3, messages=0, rate=10 * GBPS, name="modest"),
        Pair(1 * MB, "h2", "h9", priority=4, messages=0, rate=50 * GBPS, name="greedy"),
    ]
    result = fabric.run(
        Scenario(flows, qos=Qos(pfc=LOSSLESS, ets=Ets({3: 50, 4: 50}), nic=NIC), duration=4 * MS)
    )

    rest = ets_shares([10 * LINE / 100, BOUNDLESS], [50, 50], [], LINE)[1]
    expect("greedy", result.flow("greedy-0").goodput_gbps, approx(rest, rel=0.03, source=LEFT), "Gb/s")
    expect("together", result.goodput_gbps, FULL, "Gb/s")


@pytest.mark.plan("ETS-03")
@pytest.mark.catches("strict_starved", "strict")
@pytest.mark.parametrize("demand", [10, 40])
def test_a_strict_priority_goes_first(fabric, expect, demand):
    """A strict priority gets all it asks for; two greedy ones share the rest by weight."""
    flows = [
        Pair(1 * MB, "h1", "h9", priority=6, messages=0, rate=demand * GBPS, name="strict"),
        Pair(1 * MB, "h2", "h9", priority=3, messages=0, name="first"),
        Pair(1 * MB, "h3", "h9", priority=4, messages=0, name="second"),
    ]
    qos = Qos(pfc=LOSSLESS, ets=Ets({3: 60, 4: 40}, strict={6}), nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=4 * MS))

    shares = ets_shares([BOUNDLESS, BOUNDLESS, demand * LINE / 100], [60, 40, 1], [2], LINE)
    expect(
        "strict",
        result.flow("strict-0").goodput_gbps,
        approx(shares[2], rel=0.03, source="its demand, less headers"),
        "Gb/s",
    )
    expect("first", result.flow("first-0").goodput_gbps, approx(shares[0], rel=0.03, source=WEIGHTS), "Gb/s")
    expect(
        "second", result.flow("second-0").goodput_gbps, approx(shares[1], rel=0.03, source=WEIGHTS), "Gb/s"
    )


@pytest.mark.plan("ETS-03")
@pytest.mark.catches("strict_starved", "higher")
def test_the_higher_of_two_strict_priorities_goes_first(fabric, expect):
    """Two strict priorities that ask for 60 % each: 7 has all of it, 6 what is left, and ordinary ones nothing."""
    flows = [
        Pair(1 * MB, "h1", "h9", priority=7, messages=0, rate=60 * GBPS, name="higher"),
        Pair(1 * MB, "h2", "h9", priority=6, messages=0, rate=60 * GBPS, name="lower"),
        Pair(1 * MB, "h3", "h9", priority=3, messages=0, name="ordinary"),
    ]
    qos = Qos(pfc=Pfc({3, 6, 7}), ets=Ets(strict={6, 7}), nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=4 * MS))

    asked = 60 * LINE / 100
    first = approx(asked, rel=0.03, source="its demand, less headers")
    second = approx(LINE - asked, rel=0.03, source="what the higher one leaves; 3 % as for shares")
    none = at_most(0.03 * LINE, source="nothing is left; 3 % as for shares")
    expect("higher", result.flow("higher-0").goodput_gbps, first, "Gb/s")
    expect("lower", result.flow("lower-0").goodput_gbps, second, "Gb/s")
    expect("ordinary", result.flow("ordinary-0").goodput_gbps, none, "Gb/s")


@pytest.mark.plan("ETS-03")
@pytest.mark.negative_control("the two strict priorities exchanged")
def test_a_lower_priority_that_goes_first_is_noticed(fabric, expect):
    """The one that is served second gets the rest and not its demand."""
    flows = [
        Pair(1 * MB, "h1", "h9", priority=6, messages=0, rate=60 * GBPS, name="higher"),
        Pair(1 * MB, "h2", "h9", priority=7, messages=0, rate=60 * GBPS, name="lower"),
    ]
    qos = Qos(pfc=Pfc({3, 6, 7}), ets=Ets(strict={6, 7}), nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=4 * MS))

    asked = 60 * LINE / 100
    expect(
        "higher",
        result.flow("higher-0").goodput_gbps,
        approx(asked, rel=0.03, source="its demand, less headers"),
        "Gb/s",
    )
    expect(
        "lower",
        result.flow("lower-0").goodput_gbps,
        approx(LINE - asked, rel=0.03, source="what the higher one leaves; 3 % as for shares"),
        "Gb/s",
    )


@pytest.mark.plan("ETS-03")
@pytest.mark.negative_control("the strict priority made an ordinary one")
def test_a_priority_that_is_not_strict_is_noticed(fabric, expect):
    """Without strict priority the flow gets a share by weight and not its demand."""
    flows = [
        Pair(1 * MB, "h1", "h9", priority=6, messages=0, rate=40 * GBPS, name="strict"),
        Pair(1 * MB, "h2", "h9", priority=3, messages=0, name="first"),
        Pair(1 * MB, "h3", "h9", priority=4, messages=0, name="second"),
    ]
    qos = Qos(pfc=LOSSLESS, ets=Ets({3: 60, 4: 40, 6: 10}, strict=set()), nic=NIC)
    result = fabric.run(Scenario(flows, qos=qos, duration=4 * MS))

    shares = ets_shares([BOUNDLESS, BOUNDLESS, 40 * LINE / 100], [60, 40, 1], [2], LINE)
    expect(
        "strict",
        result.flow("strict-0").goodput_gbps,
        approx(shares[2], rel=0.03, source="its demand, less headers"),
        "Gb/s",
    )
    expect("first", result.flow("first-0").goodput_gbps, approx(shares[0], rel=0.03, source=WEIGHTS), "Gb/s")
