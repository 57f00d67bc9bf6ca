"""What a fabric of hosts can do, from what its devices, agents and switches say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.core.capability import Capability
from harness.hosts.demands import DISTURBING
from harness.hosts.devices import Endpoint
from harness.hosts.gear import Nics, Switches

OF_AGENTS = frozenset({
    Capability.REAL_VERBS,
    Capability.HOST_COUNTERS,
    Capability.DEPENDENT_TRANSFERS,
    Capability.UNRELIABLE_TRANSPORTS,
    Capability.RATE_SERIES,
    Capability.LATENCY_HISTOGRAM,
})  # fmt: skip
"""What every agent with pyverbs can do on every RDMA device."""


def abilities(
    hello: Iterable[Mapping[str, Any]],
    endpoints: Mapping[str, Endpoint],
    nics: Nics,
    switches: Switches,
    *,
    power: bool,
    pause: bool,
    may_disturb: bool,
) -> tuple[frozenset[Capability], frozenset[Capability]]:
    """Return what the fabric offers, and what it could do and may not."""
    able = OF_AGENTS | nics.capabilities | switches.capabilities
    able |= frozenset(_where_all_have_it(list(hello), endpoints))
    if power:
        able |= {Capability.HOST_DOWN}
    if pause:
        able |= {Capability.PAUSE_STORM}
    return (able, frozenset()) if may_disturb else (able - DISTURBING, able & DISTURBING)


def _where_all_have_it(
    hello: list[Mapping[str, Any]], endpoints: Mapping[str, Endpoint]
) -> Iterator[Capability]:
    if hello and all(said.get("perftest") is True for said in hello):
        yield Capability.WITNESS
    for capability, key in ((Capability.SRQ, "srq"), (Capability.XRC, "xrc")):
        devices = [end.device.get("caps") or {} for end in endpoints.values()]
        if devices and all(caps.get(key) is True for caps in devices):
            yield capability
