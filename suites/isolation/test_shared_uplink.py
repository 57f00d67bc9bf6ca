"""Two tenants of a rack share its uplink: one is slowed by as much as the fair share says, and by no more."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    MS,
    Capability,
    Counter,
    Dcqcn,
    Ecn,
    Nic,
    Pfc,
    Qos,
    QosChange,
    Scenario,
    equals,
    within,
)
from harness.analysis.maxmin import max_min_rates
from harness.analysis.transport import Wire
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("leaf-spine-oversub"),
    pytest.mark.needs(Capability.PFC, Capability.ECN, Capability.DCQCN),
]

# One tenant fills the uplink of 200 Gb/s from h1 and h2. The other one has two flows each of h3 and h4, of which none,
# one, two or three leave the rack; those that stay go between h3 and h4.
SIZE = 200 * MB
FIRST = [Pair(SIZE, "h1", "h5", name="first-a"), Pair(SIZE, "h2", "h6", name="first-b")]
LONG = [Pair(500 * MB, "h1", "h5", name="first-a"), Pair(500 * MB, "h2", "h6", name="first-b")]
STAY_A = Pair(1 * MB, "h3", "h4", messages=0, name="second-a")
STAY_B = Pair(1 * MB, "h4", "h3", messages=0, name="second-b")
STAY_C = Pair(1 * MB, "h3", "h4", messages=0, name="second-c")
STAY_D = Pair(1 * MB, "h4", "h3", messages=0, name="second-d")
LEAVE_A = Pair(1 * MB, "h3", "h7", messages=0, name="second-a")
LEAVE_B = Pair(1 * MB, "h4", "h8", messages=0, name="second-b")
LEAVE_C = Pair(1 * MB, "h3", "h8", messages=0, name="second-c")
SECOND = [
    [STAY_A, STAY_B, STAY_C, STAY_D],
    [LEAVE_A, STAY_B, STAY_C, STAY_D],
    [LEAVE_A, LEAVE_B, STAY_C, STAY_D],
    [LEAVE_A, LEAVE_B, LEAVE_C, STAY_D],
]
OVERLAPS = [pytest.param(quarters, id=f"{25 * quarters} %") for quarters in range(4)]
PFC_ALONE = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
WITH_DCQCN = Qos(pfc=Pfc({3}), ecn=Ecn(), dcqcn=Dcqcn("paper"), nic=Nic(mtu=4096))
IDEAL = SIZE * 8 / (100 * GBPS * Wire().efficiency(4096)) * 1000
"""ms that a flow of the first tenant takes alone."""
LONG_IDEAL = IDEAL * 500 * MB / SIZE
CAPACITY = {"uplink": 200, "h1": 100, "h2": 100, "h3": 100, "h4": 100}
TENANT = {"first": ["h1", "uplink"], "other": ["h2", "uplink"]}
PATHS = [
    {**TENANT, "a": ["h3"], "b": ["h4"], "c": ["h3"], "d": ["h4"]},
    {**TENANT, "a": ["h3", "uplink"], "b": ["h4"], "c": ["h3"], "d": ["h4"]},
    {**TENANT, "a": ["h3", "uplink"], "b": ["h4", "uplink"], "c": ["h3"], "d": ["h4"]},
    {**TENANT, "a": ["h3", "uplink"], "b": ["h4", "uplink"], "c": ["h3", "uplink"], "d": ["h4"]},
]
# Pauses hold ports, so that two flows of a port that both leave share what one would have.
PORTS = [{}, {}, {}, {"a": 0.5, "c": 0.5}]
KEPT = equals(0, source="PFC holds senders back before the buffer is full")
FAIR = "BMWG: completion time with contention over that without; max-min fair share, 5 % for start and end (ours)"
NEARLY = "BMWG factor from the max-min fair share, which DCQCN meets within 30 % (SONiC RoCE plan, TC6)"


@pytest.mark.plan("CC-13")
@pytest.mark.parametrize("leaving", OVERLAPS)
def test_pauses_share_an_uplink_fairly(fabric, expect, leaving):
    """With PFC alone the first tenant is slowed by its max-min fair share among ports."""
    scenario = Scenario([*FIRST, *SECOND[leaving]], qos=PFC_ALONE, duration=60 * MS, sample_every=0)
    result = fabric.run(scenario)

    slower = 100 / max_min_rates(PATHS[leaving], CAPACITY, weight=PORTS[leaving])["first"]
    factor = result.flows.of("first").fct.max_ps / MS / IDEAL
    expect("completion time over that alone", factor, within(slower / 1.05, slower * 1.05, source=FAIR))
    expect("frames dropped", result.counters[Counter.DROPS], KEPT)


@pytest.mark.plan("CC-13")
@pytest.mark.parametrize("leaving", OVERLAPS)
def test_dcqcn_shares_an_uplink_nearly_fairly(fabric, expect, leaving):
    """With DCQCN the first tenant is slowed by its max-min fair share, within 30 %, and nobody is paused."""
    scenario = Scenario([*LONG, *SECOND[leaving]], qos=WITH_DCQCN, duration=160 * MS, sample_every=0)
    result = fabric.run(scenario)

    slower = 100 / max_min_rates(PATHS[leaving], CAPACITY)["first"]
    factor = result.flows.of("first").fct.max_ps / MS / LONG_IDEAL
    expect(
        "completion time over that alone", factor, within(max(1, 0.7 * slower), slower / 0.7, source=NEARLY)
    )
    unpaused = equals(0, source="marks begin at 400 KB, pauses at an eighth of 16 MB and more")
    expect("pauses", result.counters[Counter.PAUSE_TX], unpaused)


@pytest.mark.plan("CC-13")
@pytest.mark.needs(Capability.QOS_CHANGE)
@pytest.mark.negative_control("a tenant that does not react")
def test_a_tenant_that_takes_more_is_noticed(fabric, expect):
    """Two hosts of the second tenant without reaction point push the first one far below its share."""
    deaf = [QosChange(0, host, nic={"cc": {"algorithm": "none"}}) for host in ("h3", "h4")]
    greedy = [
        Pair(1 * MB, "h3", "h7", messages=0, name="second-a"),
        Pair(1 * MB, "h4", "h8", messages=0, name="b"),
    ]
    scenario = Scenario([*FIRST, *greedy], qos=WITH_DCQCN, events=deaf, duration=60 * MS, sample_every=0)
    result = fabric.run(scenario)

    slower = 100 / max_min_rates(PATHS[2], CAPACITY)["first"]
    rate = result.flow("first-a-0").goodput_gbps / Wire().efficiency(4096)
    expect("fair rate over rate", 100 / slower / rate, within(0.7, 1 / 0.7, source=NEARLY))


@pytest.mark.plan("CC-13")
@pytest.mark.negative_control("two more flows over the uplink than claimed")
def test_a_wrong_overlap_is_noticed(fabric, expect):
    """With half of the other tenant's flows on the uplink the factor is not that of none."""
    result = fabric.run(Scenario([*FIRST, *SECOND[2]], qos=PFC_ALONE, duration=60 * MS, sample_every=0))

    factor = result.flows.of("first").fct.max_ps / MS / IDEAL
    expect("completion time over that alone", factor, within(1 / 1.05, 1.05, source=FAIR))
