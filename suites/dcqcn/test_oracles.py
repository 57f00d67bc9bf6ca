"""DCQCN does what its equations say: where the queue settles, how a rate is cut and how it comes back."""

from __future__ import annotations

import pytest

from harness import KB, MB, MS, US, Capability, Dcqcn, Ecn, Impair, Nic, Pfc, Qos, Scenario, approx, within
from harness.analysis.dcqcn import FluidModel, alpha_after, fast_recovery, fixed_point
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("star-9-40g"),
    pytest.mark.needs(Capability.ECN, Capability.DCQCN, Capability.RATE_SERIES, Capability.QUEUE_SERIES),
]

ECN = Ecn(kmin=5 * KB, kmax=200 * KB, pmax=0.01)
MODEL = FluidModel(packet_bytes=1086)
FLUID = "fixed point of the fluid model (CoNEXT 2016); 0.6 to 1.7 times it: ours, for a model without bursts"
LINE = 40e9
# One packet is marked; its CNP is back after 10 us. The samples are 1 us apart.
PULSE = Impair(0, "pair-0", "mark", packets=(1000,))
CUT = 240 * US
"""1000 packets of 1106 B at 40 Gb/s take 221 us; with the way there and back the cut comes before 240 us."""


@pytest.mark.plan("CC-15")
@pytest.mark.parametrize("senders", [2, 4, 8])
def test_the_queue_settles_at_the_fixed_point(fabric, expect, senders):
    """N flows keep the queue where marking balances increase: (p / Pmax)(Kmax - Kmin) above Kmin."""
    qos = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=Dcqcn("paper"), nic=Nic(mtu=1024))
    result = fabric.run(
        Scenario(Incast(senders, 1000 * MB), qos=qos, duration=100 * MS, sample_every=20 * US)
    )

    queue = result.series["queue_bytes"].between(30 * MS).mean("sw1:e9/3")
    expected = fixed_point(MODEL, senders).queue_bytes
    expect(
        "mean queue", queue / 1000, within(0.6 * expected / 1000, 1.7 * expected / 1000, source=FLUID), "KB"
    )


@pytest.mark.plan("CC-15")
@pytest.mark.negative_control("thresholds ten times as high")
def test_wrong_thresholds_are_noticed_by_the_queue(fabric, expect):
    """With Kmin and Kmax ten times as high the queue settles elsewhere."""
    high = Ecn(kmin=50 * KB, kmax=2000 * KB, pmax=0.01)
    qos = Qos(pfc=Pfc({3}), ecn=high, dcqcn=Dcqcn("paper"), nic=Nic(mtu=1024))
    result = fabric.run(Scenario(Incast(4, 1000 * MB), qos=qos, duration=100 * MS, sample_every=20 * US))

    queue = result.series["queue_bytes"].between(30 * MS).mean("sw1:e9/3")
    expected = fixed_point(MODEL, 4).queue_bytes
    expect(
        "mean queue", queue / 1000, within(0.6 * expected / 1000, 1.7 * expected / 1000, source=FLUID), "KB"
    )


@pytest.mark.plan("CC-15")
@pytest.mark.catches("rate_never_recovers", "rate after the step")
@pytest.mark.needs(Capability.ECN_MARK_INJECT)
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_a_rate_comes_back_in_halves(fabric, expect, step):
    """One CNP halves the rate; each 55 us half of what is missing comes back."""
    qos = Qos(dcqcn=Dcqcn("paper"), nic=Nic(mtu=1024))
    result = fabric.run(
        Scenario(Pair(1000 * MB), qos=qos, events=[PULSE], duration=1 * MS, sample_every=1 * US)
    )

    rate = result.series["cc_rate_bps"]
    expected = fast_recovery(LINE / 2, LINE, step)[-1]
    after = rate.between(CUT + (55 * step - 10) * US, CUT + (55 * step + 10) * US)
    before = rate.between(CUT - 50 * US, CUT - 30 * US)
    expect("rate before", before.min() / 1e9, approx(40, rel=1e-6, source="line rate"), "Gb/s")
    expect(
        "lowest rate", rate.min() / 1e9, approx(20, rel=1e-6, source="R (1 - alpha / 2), alpha = 1"), "Gb/s"
    )
    expect(
        "rate after the step",
        after.max() / 1e9,
        approx(expected / 1e9, rel=1e-6, source="R = (R + R_T) / 2"),
        "Gb/s",
    )


@pytest.mark.plan("CC-15")
@pytest.mark.catches("alpha_never_decays", "alpha")
@pytest.mark.needs(Capability.ECN_MARK_INJECT)
@pytest.mark.parametrize("periods", [1, 5, 10])
def test_alpha_decays_without_notifications(fabric, expect, periods):
    """Each 55 us without a CNP take 1/256 from alpha."""
    qos = Qos(dcqcn=Dcqcn("paper"), nic=Nic(mtu=1024))
    result = fabric.run(
        Scenario(Pair(1000 * MB), qos=qos, events=[PULSE], duration=1 * MS, sample_every=1 * US)
    )

    alpha = result.series["cc_alpha"].between(CUT + (55 * periods) * US, CUT + (55 * periods + 20) * US)
    expected = alpha_after(periods, g=1 / 256)
    expect("alpha", alpha.max(), approx(expected, rel=1e-6, source="alpha = (1 - g) alpha, from 1"))


@pytest.mark.plan("CC-15")
@pytest.mark.needs(Capability.ECN_MARK_INJECT)
@pytest.mark.negative_control("a rate timer of twice the length, and a g of twice the size")
def test_wrong_parameters_are_noticed(fabric, expect):
    """Rates that come back late and an alpha that decays too fast are seen."""
    wrong = Dcqcn("paper", rate_timer_ps=110 * US, g=1 / 128)
    qos = Qos(dcqcn=wrong, nic=Nic(mtu=1024))
    result = fabric.run(
        Scenario(Pair(1000 * MB), qos=qos, events=[PULSE], duration=1 * MS, sample_every=1 * US)
    )

    rate = result.series["cc_rate_bps"].between(CUT + 155 * US, CUT + 175 * US)
    alpha = result.series["cc_alpha"].between(CUT + 275 * US, CUT + 295 * US)
    expect(
        "rate after the step",
        rate.max() / 1e9,
        approx(fast_recovery(20, 40, 3)[-1], rel=1e-6, source="R = (R + R_T) / 2"),
        "Gb/s",
    )
    expect(
        "alpha",
        alpha.max(),
        approx(alpha_after(5, g=1 / 256), rel=1e-6, source="alpha = (1 - g) alpha, from 1"),
    )
