"""Fabrics of real hosts: `reserve(topology, site)` drives the rack that a site file describes."""

from __future__ import annotations

import os
from pathlib import Path

from harness.core.capability import Capability
from harness.core.engine import ENGINES, engine_named
from harness.core.errors import ConfigError, TopologyNotOffered
from harness.core.site import MAY_DISTURB, Site
from harness.core.topology import Topology
from harness.hosts.fabric import HostFabric

__all__ = ["ENGINES", "default_topology", "reserve"]


def default_topology(site: Path | None) -> str:
    """Return the topology that lives at a site; raise ConfigError when the file is wrong or not given."""
    return _load(site).topology


def reserve(
    topology: Topology,
    site: Path | None = None,
    seed: int = 1,
    *,
    may_disturb: bool | None = None,
    engine: str | None = None,
) -> HostFabric:
    """Return the fabric that a site file describes, its hosts connected and their agents running.

    What disturbs a fabric (pause storms, links taken down, drops, QoS of switches, hosts powered off) is only
    offered when it `may_disturb`; None takes that from the environment, as it does the `engine` that makes the
    traffic of hosts.

    Raises:
        ConfigError: no site was given, or it is wrong; there is no such engine.
        TopologyNotOffered: the site is of another topology.
        HarnessError: a machine cannot be reached, or a host has no agent, device or GID that serves.
    """
    place = _load(site)
    if place.topology != topology.name:
        raise TopologyNotOffered(
            "the site is of another topology",
            file=site,
            key="topology",
            value=place.topology,
            hint=f"asked was {topology.name!r}",
        )
    owned = os.environ.get(MAY_DISTURB) == "1" if may_disturb is None else may_disturb
    return HostFabric(
        "hardware",
        topology,
        place,
        seed,
        capabilities=frozenset({Capability.REAL_TIME}),
        may_disturb=owned,
        engine=engine_named(engine),
    )


def _load(site: Path | None) -> Site:
    if site is None:
        raise ConfigError(
            "real hosts need a site file",
            key="--site",
            hint="say where they are: --site FILE; topologies/sites/example.yaml explains every key",
        )
    return Site.load(site)
