"""In an incast that PFC alone holds back, each of N senders stands still for 1 - 1/N of the time."""

from __future__ import annotations

import pytest

from harness import MB, Buffer, Capability, Counter, Nic, Pfc, Qos, Scenario, approx, at_least, equals
from harness.analysis.pfc import pause_fraction, pause_ps
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.PFC, Capability.BUFFER_CONFIG, Capability.PER_PRIORITY_COUNTERS),
]

# A small buffer fills at once, so that the run is all steady state.
QOS = Qos(pfc=Pfc({3}), buffer=Buffer(size=4 * MB), nic=Nic(mtu=4096))
SHARE = (
    "a sender that gets 1/N of the link sends at line rate or not at all; 3 % of the run for start and end"
)


@pytest.mark.plan("PFC-17")
@pytest.mark.parametrize("senders", [2, 4, 8])
def test_every_sender_is_paused_for_its_excess(fabric, expect, senders):
    """Senders 1 and N are paused for 1 - 1/N of the run, by enough frames to keep them so; nothing is dropped."""
    result = fabric.run(Scenario(Incast(senders, 16 * MB), qos=QOS))

    sender = result.counters.at("h1").priority(3)
    last = result.counters.at(f"h{senders}").priority(3)
    fraction = approx(pause_fraction(senders), abs=0.03, source=SHARE)
    frames = sender[Counter.PAUSE_RX_DURATION] / pause_ps(100_000_000_000)
    expect("paused part, sender 1", sender[Counter.PAUSE_RX_DURATION] / result.flows.busy_ps, fraction)
    expect("paused part, sender N", last[Counter.PAUSE_RX_DURATION] / result.flows.busy_ps, fraction)
    expect(
        "pause frames to sender 1",
        sender[Counter.PAUSE_RX],
        at_least(frames),
        source="one lasts 65535 quanta at most",
    )
    expect("frames dropped", result.counters[Counter.DROPS], equals(0))


@pytest.mark.plan("PFC-17")
@pytest.mark.negative_control("PFC switched off")
def test_nobody_is_paused_without_pfc(fabric, expect):
    """Without PFC senders never stand still."""
    result = fabric.run(Scenario(Incast(4, 16 * MB), qos=Qos(buffer=Buffer(size=4 * MB), nic=Nic(mtu=4096))))

    sender = result.counters.at("h1").priority(3)
    fraction = approx(pause_fraction(4), abs=0.03, source=SHARE)
    expect("paused part, sender 1", sender[Counter.PAUSE_RX_DURATION] / result.flows.busy_ps, fraction)
    expect("frames dropped", result.counters[Counter.DROPS], equals(0))


@pytest.mark.plan("PFC-17")
@pytest.mark.negative_control("one sender fewer than claimed")
def test_a_wrong_number_of_senders_is_noticed(fabric, expect):
    """Four senders are paused for 3/4 and not for 4/5 of the time: the bound is tight enough to tell."""
    result = fabric.run(Scenario(Incast(4, 16 * MB), qos=QOS))

    sender = result.counters.at("h1").priority(3)
    fraction = approx(pause_fraction(5), abs=0.03, source=SHARE)
    expect("paused part, sender 1", sender[Counter.PAUSE_RX_DURATION] / result.flows.busy_ps, fraction)
