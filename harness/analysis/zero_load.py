"""Latency of one message on a fabric without other traffic, from the rates and delays of its links.

Sources: store and forward on each link (serialisation of the whole frame, then propagation); InfiniBand
Architecture 9.4 and 9.7 for what completes a work request: the ACK of its last packet for writes and sends,
its last response for reads. Devices add nothing here: what a measurement has above it is theirs. Times are ps,
sizes bytes.
"""

from __future__ import annotations

from harness.analysis.transport import AETH, RETH, Hop, Wire, completion_ps, delivery_ps
from harness.core.errors import ConfigError
from harness.core.flow import Verb
from harness.core.topology import Topology


def hops(topology: Topology, src: str, dst: str) -> list[Hop]:
    """Return the links of a shortest path between two hosts or host ports."""
    links = [topology.link(port) for port in topology.paths(src, dst)[0]]
    return [Hop(link.rate, link.delay) for link in links]


def zero_load_ps(topology: Topology, src: str, dst: str, verb: str, size: int, mtu: int) -> int:
    """Return the time in ps from posting a message to its completion, on RoCEv2 over IPv4, one ACK a packet.

    Raises ConfigError for a verb that is none of write, send and read.
    """
    path, wire = hops(topology, src, dst), Wire()
    if verb == Verb.READ:
        request = delivery_ps([wire.data(0, RETH)], path)
        responses = _responses(wire, size, mtu)
        return delivery_ps(responses, path[::-1], ready=request * len(responses))[-1]
    if verb not in (Verb.WRITE, Verb.SEND):
        raise ConfigError("no latency is known for this verb", key="verb", value=verb)
    packets = wire.message(size, mtu, first_extension=RETH if verb == Verb.WRITE else 0)
    return completion_ps(packets, path, ack_bytes=wire.ack())


def waiting_ps(topology: Topology, src: str, dst: str, frames: list[int]) -> int:
    """Return the time in ps that a packet and its answer lose when `frames` (link bytes) go first on every link."""
    path = hops(topology, src, dst)
    return 2 * sum(frame * 8 * 10**12 // hop.rate_bps for hop in path for frame in frames)


def _responses(wire: Wire, size: int, mtu: int) -> list[int]:
    """Link bytes of each packet of a read response: the first and the last one carry an AETH."""
    payloads = [min(mtu, size - offset) for offset in range(0, size, mtu)]
    ends = (0, len(payloads) - 1)
    return [wire.data(payload, AETH if index in ends else 0) for index, payload in enumerate(payloads)]
