"""CNPs travel in a priority of their own, past the queues they warn of."""

from __future__ import annotations

import pytest

from harness import (
    KB,
    MB,
    US,
    Capability,
    Cnp,
    Counter,
    Dcqcn,
    Ecn,
    Nic,
    Pfc,
    Qos,
    Scenario,
    at_least,
    equals,
)
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.CNP, Capability.ECN, Capability.DCQCN, Capability.PER_PRIORITY_COUNTERS),
]

ECN = Ecn(kmin=100 * KB, kmax=400 * KB, pmax=0.1)
TRAFFIC = Incast(4, 4 * MB)
SOURCE = "the priority carries CNPs and nothing else"


@pytest.mark.plan("CNP-03")
@pytest.mark.catches("cnp_in_data_queue", "frames from the receiver")
@pytest.mark.parametrize("priority", [5, 6, 7])
def test_cnps_ride_their_own_priority(fabric, expect, priority):
    """Frames of the CNP priority are the CNPs, where they are sent, in the switch and where they arrive."""
    cnp = Cnp(interval=4 * US, priority=priority)
    qos = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=Dcqcn("mlx5"), cnp=cnp, nic=Nic(mtu=4096))
    result = fabric.run(Scenario(TRAFFIC, qos=qos))

    sent, frames = result.counters[Counter.CNP_SENT], result.counters.priority(priority)
    expect(
        "CNPs sent",
        sent,
        at_least(1, source="four senders at line rate are marked, and each mark is answered"),
    )
    expect("frames from the receiver", frames.at("h9")[Counter.TX_PACKETS], equals(sent), source=SOURCE)
    expect("frames into the switch", frames.at("sw1:e9")[Counter.RX_PACKETS], equals(sent), source=SOURCE)
    expect("frames out of the switch", frames.switches[Counter.TX_PACKETS], equals(sent), source=SOURCE)
    expect("CNPs received", result.counters[Counter.CNP_RECEIVED], equals(sent), source=SOURCE)


@pytest.mark.plan("CNP-03")
@pytest.mark.negative_control("CNPs in the priority of the data")
def test_a_wrong_priority_is_noticed(fabric, expect):
    """CNPs that travel with the data are missing in their own priority."""
    cnp = Cnp(interval=4 * US, priority=3)
    qos = Qos(pfc=Pfc({3}), ecn=ECN, dcqcn=Dcqcn("mlx5"), cnp=cnp, nic=Nic(mtu=4096))
    result = fabric.run(Scenario(TRAFFIC, qos=qos))

    sent, frames = result.counters[Counter.CNP_SENT], result.counters.priority(6)
    expect(
        "CNPs sent",
        sent,
        at_least(1, source="four senders at line rate are marked, and each mark is answered"),
    )
    expect("frames from the receiver", frames.at("h9")[Counter.TX_PACKETS], equals(sent), source=SOURCE)
    expect("frames out of the switch", frames.switches[Counter.TX_PACKETS], equals(sent), source=SOURCE)
