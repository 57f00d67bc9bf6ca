"""The stages of a preflight in their order, and how they are gone through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.core.site import Site
from harness.core.topology import Topology
from harness.hosts.crew import Dialer, dialer
from harness.hosts.preflight import bandwidth, clocks, device, link, mesh, reach, software, switches
from harness.hosts.preflight.examination import Examination, Options, Say
from harness.hosts.preflight.findings import Report


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its name in tables and JSON, what it does in words, and the function that does it."""

    name: str
    doing: str
    look: Callable[[Examination], None]


STAGES: tuple[Stage, ...] = (
    Stage("ssh", "connecting", reach.look),
    Stage("switch", "asking the switches", switches.look),
    Stage("python", "starting agents", software.look),
    Stage("device", "looking at RDMA devices", device.look),
    Stage("link", "looking at links, MTUs and GIDs", link.look),
    Stage("clock", "comparing clocks", clocks.look),
    Stage("mesh", "letting every host talk to every other", mesh.look),
    Stage("bandwidth", "measuring bandwidth between neighbours", bandwidth.look),
)


def _silent(_: str) -> None:
    """Say nothing."""


def preflight(
    site: Site,
    topology: Topology,
    options: Options | None = None,
    *,
    dial: Dialer | None = None,
    say: Say = _silent,
) -> Report:
    """Examine the nodes of a site and return what was found; nothing is left running there.

    `say` gets a line of progress at the start of each stage. Raises ConfigError when the site does not fit the
    topology, or an SSH configuration is wrong; everything else is a finding.
    """
    site.check(topology)
    examination = Examination(site, topology, options or Options(), dial or dialer(site), say)
    try:
        for stage in STAGES:
            examination.stage = stage.name
            if examination.standing:
                say(f"{stage.name}: {stage.doing} ({len(examination.standing)} hosts)")
                stage.look(examination)
        return examination.report(stage.name for stage in STAGES)
    finally:
        examination.close()
