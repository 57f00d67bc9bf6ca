"""A link carries its rate in every sample and in every run."""

from __future__ import annotations

import pytest

from harness import (
    GBPS,
    MB,
    MS,
    US,
    Capability,
    LinkRate,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    at_most,
    equals,
)
from harness.analysis.shares import variation
from harness.analysis.transport import Wire
from harness.patterns.pair import Pair
from harness.patterns.permutation import Permutation

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.RATE_SERIES, Capability.PFC),
]

QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
RUNS = 20
FLOOR = (
    "a full link less headers and the ACKs of the other way, in each sample of 100 us; 2 %: 6 packets of 300"
)
SAME = "BMWG reporting: a coefficient of variation below 5 %, over 20 runs"
START = 200 * US


def floor(fabric):
    """The goodput in bit/s that no sample may be below."""
    share = 4096 / (Wire().data(4096) + Wire().ack())
    return at_least(0.98 * share * fabric.line_rate_gbps, margin=0.0, source=FLOOR)


def runs(**fields):
    """One transfer after the other, each with its own start, so that no two meet."""
    return [
        Pair(4 * MB, "h1", "h9", start=number * MS, jitter=100 * US, name=f"run-{number}", **fields)
        for number in range(RUNS)
    ]


@pytest.mark.plan("BASE-07")
@pytest.mark.catches("slow_sender", "lowest sample of a host's link")
def test_no_sample_is_below_the_rate(fabric, expect):
    """Every host sends to the next one for 5 ms: no flow has a sample of 100 us below the rate of its link."""
    scenario = Scenario(
        Permutation(1 * MB, shift=1, messages=0), qos=QOS, duration=5 * MS, sample_every=100 * US
    )
    rates = fabric.run(scenario).series["goodput_bps"].between(START)

    expect("flows sampled", rates.values.shape[1], equals(9, source="one a host"))
    expect("lowest sample of a host's link", rates.min() / 1e9, floor(fabric), "Gb/s")


@pytest.mark.plan("BASE-10")
def test_runs_repeat(fabric, expect):
    """Twenty transfers at random moments reach the same goodput, and each the rate of the link."""
    result = fabric.run(Scenario(runs(), qos=QOS))

    rates = result.flows.goodputs_gbps
    full = at_least(
        0.97 * fabric.line_rate_gbps * Wire().efficiency(4096),
        margin=0.0,
        source="payload part of a full frame; 3 % for start and last ACK: 8 us of 340 us",
    )
    expect("runs", len(rates), equals(RUNS, source="BMWG reporting: 20 for latency and rate"))
    expect("variation of the goodput", 100 * variation(rates), at_most(5, source=SAME), "%")
    expect("slowest run", min(rates), full, "Gb/s")


@pytest.mark.plan("BASE-07")
@pytest.mark.needs(Capability.LINK_RATE)
@pytest.mark.negative_control("a link that is at half its rate for 100 us")
def test_a_dip_is_noticed(fabric, expect):
    """A tenth of a millisecond at half the rate shows in a sample, and hardly in the mean."""
    events = [LinkRate(2 * MS, "h5:p0", 50 * GBPS), LinkRate(2 * MS + 100 * US, "h5:p0", 100 * GBPS)]
    scenario = Scenario(
        Permutation(1 * MB, shift=1, messages=0),
        qos=QOS,
        duration=5 * MS,
        sample_every=100 * US,
        events=events,
    )
    rates = fabric.run(scenario).series["goodput_bps"].between(START)

    expect("lowest sample of a host's link", rates.min() / 1e9, floor(fabric), "Gb/s")


@pytest.mark.plan("BASE-10")
@pytest.mark.needs(Capability.LINK_RATE)
@pytest.mark.negative_control("half the runs at half the rate")
def test_runs_that_differ_are_noticed(fabric, expect):
    """When the second half of the runs has half a link, the variation tells."""
    result = fabric.run(Scenario(runs(), qos=QOS, events=[LinkRate(10 * MS, "h9:p0", 50 * GBPS)]))

    rates = result.flows.goodputs_gbps
    expect("variation of the goodput", 100 * variation(rates), at_most(5, source=SAME), "%")
