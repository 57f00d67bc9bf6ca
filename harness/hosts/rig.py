"""What a fabric of hosts consists of, and how its switches are put back even when a connection broke."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from harness.core.errors import DriverError, HarnessError, TransportError, one_line
from harness.core.site import Site
from harness.hosts.crew import Crew
from harness.hosts.gear import Nics, Switches


@dataclass(frozen=True, slots=True)
class Rig:
    """Machines, agents and drivers. `may_configure`: switches and NICs may be changed."""

    site: Site
    crew: Crew
    switches: Switches
    nics: Nics
    may_configure: bool

    def make_ready(self) -> None:
        """Connect and start whatever is not there; a switch that is back is asked again what it is."""
        self._attach(self.crew.ready())

    def restore_switches(self, timeout_s: float) -> dict[str, Exception]:
        """Put all switches back; one whose connection broke is dialled once more.

        Returns why that failed, by switch; nothing is done to switches that may not be changed.
        """
        if not self.may_configure:
            return {}
        end = time.monotonic() + timeout_s
        errors = self.switches.restore(timeout_s)
        cut_off = [node for node, error in errors.items() if isinstance(error, TransportError)]
        left_s = end - time.monotonic()
        if not cut_off or left_s <= 0:
            return errors
        try:
            self.crew.reconnect(cut_off)
            self._attach(cut_off)
        except HarnessError:
            return errors
        return {node: error for node, error in errors.items() if node not in cut_off} | self.switches.restore(
            left_s, only=cut_off
        )

    def _attach(self, nodes: Iterable[str]) -> None:
        self.switches.attach({node: self.crew.remotes[node] for node in nodes})


def raise_first(errors: dict[str, Exception]) -> None:
    """Raise the first of errors kept by node; other exceptions become a DriverError that names the node."""
    for node, error in errors.items():
        raise error if isinstance(error, HarnessError) else DriverError(one_line(f"{node}: {error}"))
