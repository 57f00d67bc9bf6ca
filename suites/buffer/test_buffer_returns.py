"""When traffic is over the shared buffer is empty again, however full it was."""

from __future__ import annotations

import pytest

from harness import MB, US, Buffer, Capability, Nic, Pfc, Qos, Scenario, at_least, equals
from harness.analysis.pfc import dynamic_queue_bytes
from harness.patterns.incast import Incast

pytestmark = [
    pytest.mark.topology("star-9"),
    pytest.mark.needs(Capability.PFC, Capability.BUFFER_CONFIG, Capability.QUEUE_SERIES),
]

# Four bursts of 1 MB into one port take 0.34 ms; the run is twice as long.
QOS = Qos(pfc=Pfc({3}), buffer=Buffer(size=4 * MB, reserve=0), nic=Nic(mtu=4096))
LONG, IDLE = 800 * US, 600 * US
FILLED = at_least(
    dynamic_queue_bytes(0.125, 3 * MB, 1),
    source="alpha B / (1 + alpha) of at least 3 MB that nine headrooms leave, as if one port alone filled",
)
EMPTY = equals(0, source="conservation: each frame that left has given back what it took")


@pytest.mark.plan("BUF-03")
@pytest.mark.catches("buffer_leak", "shared buffer in use afterwards")
@pytest.mark.parametrize("senders", [4, 8])
def test_the_buffer_is_empty_after_a_burst(fabric, expect, senders):
    """An incast fills the shared buffer; when it is done nothing of it is in use any more."""
    result = fabric.run(Scenario(Incast(senders, 4 * MB // senders), qos=QOS, duration=LONG))

    shared = result.series["shared_bytes"]
    delivered = at_least(4 * MB, margin=0.0, source="all of the burst")
    expect("shared buffer in use, highest", shared.max("sw1"), FILLED, "B")
    expect("shared buffer in use afterwards", shared.between(IDLE).max("sw1"), EMPTY, "B")
    expect("delivered", result.flows.total("bytes_delivered"), delivered, "B")


@pytest.mark.plan("BUF-03")
@pytest.mark.negative_control("a burst that goes on")
def test_a_buffer_that_stays_in_use_is_noticed(fabric, expect):
    """While the incast goes on the buffer is in use."""
    result = fabric.run(Scenario(Incast(4, 4 * MB), qos=QOS, duration=LONG))

    shared = result.series["shared_bytes"]
    expect("shared buffer in use afterwards", shared.between(IDLE).max("sw1"), EMPTY, "B")
