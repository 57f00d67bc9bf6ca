"""The lab as a fabric that suites run on."""

from __future__ import annotations

import os
from pathlib import Path

from harness.bindings.vmlab.lab import Lab
from harness.bindings.vmlab.running import RunningLab
from harness.core.engine import engine_named
from harness.core.errors import ConfigError
from harness.core.topology import Topology
from harness.hosts.fabric import HostFabric

NAME_VARIABLE = "ROCE_LAB_NAME"
"""Names the lab that suites use, where several are up; by default it has the topology's name."""


class LabPower:
    """The power switches of a lab's guests."""

    def __init__(self, lab: RunningLab) -> None:
        self._lab = lab

    def off(self, host: str) -> None:
        """Take the power away; it is gone on return."""
        self._lab.guest(host).power_off()

    def on(self, host: str) -> None:
        """Start the host, if it is off; its sshd answers on return."""
        guest = self._lab.guest(host)
        if not guest.running:
            guest.restart()


def reserve(
    topology: Topology, site: Path | None = None, seed: int = 1, *, engine: str | None = None
) -> HostFabric:
    """Return a fabric of virtual machines of this shape.

    A lab that `roce lab up` started is used and left running; otherwise one is started and ends with the
    fabric. `engine` is what makes the traffic of guests; None takes that from the environment.

    Raises:
        ConfigError: a site was given; the lab makes its own. There is no such engine.
        TopologyNotOffered: the lab does not take this topology.
        LabError: the lab is in use, or does not come up.
    """
    if site is not None:
        raise ConfigError("the VM lab makes its own site", key="--site", value=str(site))
    wanted = engine_named(engine)
    lab = Lab.up(topology, name=os.environ.get(NAME_VARIABLE))
    try:
        return HostFabric(
            "vmlab",
            topology,
            lab.site,
            seed,
            host_power=LabPower(lab),
            engine=wanted,
            on_close=lab.close,
        )
    except BaseException:
        lab.close()
        raise
