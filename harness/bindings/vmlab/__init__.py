"""A lab of virtual machines: real verbs (rdma_rxe), real sshd, a Linux switch; no root and no hardware."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.bindings.vmlab.errors import GuestError, LabBusy, LabError
from harness.bindings.vmlab.lab import Lab
from harness.bindings.vmlab.plan import offers
from harness.bindings.vmlab.running import Guest, RunningLab
from harness.core.engine import ENGINES

if TYPE_CHECKING:
    from harness.core.topology import Topology
    from harness.hosts.fabric import HostFabric


def default_topology(site: Path | None) -> str:  # noqa: ARG001 - the lab needs no site
    """Return the smallest lab that has traffic."""
    return "softroce-2"


def reserve(
    topology: Topology, site: Path | None = None, seed: int = 1, *, engine: str | None = None
) -> HostFabric:
    """Return a fabric of virtual machines of this shape; see `harness.bindings.vmlab.fabric.reserve`."""
    from harness.bindings.vmlab import fabric  # noqa: PLC0415 - looking at labs needs no SSH and no agents

    return fabric.reserve(topology, site, seed, engine=engine)


__all__ = [
    "ENGINES",
    "Guest",
    "GuestError",
    "Lab",
    "LabBusy",
    "LabError",
    "RunningLab",
    "default_topology",
    "offers",
    "reserve",
]
