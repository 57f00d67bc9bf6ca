"""What switches can be told and asked, one module per operating system.

A module `harness/switches/<os>.py` holds one class of that name in CamelCase that is a `SwitchDriver`; `load`
finds it by name, there is no list to edit. A driver does all its work through one `Remote` and leaves the
switch as it found it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from harness.core.capability import Capability
from harness.core.counters import Counter
from harness.core.errors import ConfigError, suggestion
from harness.core.topology import Topology
from harness.transport.remote import Remote

Json = dict[str, Any]

SwitchReading = Mapping[str, Any]
"""What a switch said about its counters at one moment: plain JSON, kept as evidence."""


@dataclass(frozen=True, slots=True)
class QpRoute:
    """One QP of a flow, seen from the requester whatever the verb: `src` is the host port that posts.

    Addresses are IPv4 or IPv6 in text. `first_psn` is the PSN of the requester's first packet. `read` is true
    for RDMA reads and atomics, whose data packets are the responses, from `dst` to `src`.
    """

    src: str
    dst: str
    src_address: str
    dst_address: str
    src_qpn: int
    dst_qpn: int
    first_psn: int
    read: bool = False


@dataclass(frozen=True, slots=True)
class Applied:
    """What an event did: words for people, and when, on this machine's monotonic clock in ns.

    It took effect between `began_ns` and `ended_ns`. `acted` is false where the event is not this switch's
    (the flow or the port is elsewhere); then nothing was done.
    """

    what: str
    began_ns: int
    ended_ns: int
    acted: bool = True


@runtime_checkable
class SwitchDriver(Protocol):
    """One switch of a lab. Threads may share it.

    The order of a run: `snapshot` → `configure` → `counters` → `flows_connected` → `apply`… → `counters` →
    `restore`. Every method but `deltas` costs one round trip; those that change something raise ConfigError
    for what the switch cannot do, UnexpectedOutput for answers nobody understands, and TransportError.
    """

    @property
    def name(self) -> str:
        """The operating system: the name of the module."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this switch adds to a fabric, as found on the machine itself."""

    @property
    def offered(self) -> frozenset[Counter]:
        """The counters of the vocabulary that `deltas` fills in."""

    @property
    def deviations(self) -> Mapping[str, str]:
        """Known differences from what a scenario asks for: subject → sentence."""

    @property
    def cleaning(self) -> str:
        """A POSIX shell script that removes everything of ours, whatever it is.

        It runs on the switch when the controller is gone; it is what `restore` without a snapshot does.
        """

    def snapshot(self) -> None:
        """Remember how everything is that this driver may change; `restore` goes back there.

        What an earlier run left behind is removed first.
        """

    def configure(self, switch: Mapping[str, Any]) -> None:
        """Apply a complete `switch` block of a job (docs/job-format.md); link rates are the topology's.

        Link rates, buffer size and marking. Raises ConfigError for keys that ask for what is not offered.
        """

    def flows_connected(self, flows: Mapping[str, Sequence[QpRoute]]) -> None:
        """Say which QPs carry each flow, so that `impair` events find their packets. No round trip."""

    def apply(self, event: Mapping[str, Any]) -> Applied:
        """Do one event of a job now: `impair`, `link_down`, `link_up`, `link_rate`, or `qos` with `switch`.

        An event may be given to every switch: the right one acts, once.
        """

    def counters(self) -> SwitchReading:
        """Read all counters."""

    def deltas(self, before: SwitchReading, after: SwitchReading) -> dict[str, Json]:
        """Return the port objects of a result, `{"sw1:e1": {"tx_packets": …, "drops": {…}}}`.

        What is not known is left out.
        """

    def restore(self) -> None:
        """Put back what `snapshot` saw, check it, and raise DriverError when something stayed different.

        Harmless at any time and twice; without a snapshot it removes what is recognisably ours.
        """

    def leftovers(self) -> list[str]:
        """Say what on the switch is still ours (of any run), in words; empty when it is clean."""


class SwitchFactory(Protocol):
    """Make a driver for one switch; asks the machine what it can do (one round trip)."""

    def __call__(
        self, remote: Remote, node: str, ports: Mapping[str, str], topology: Topology
    ) -> SwitchDriver:
        """`node` is its name in the topology, `ports` maps port names there (`e1`) to its own (`swp1`)."""


def names() -> list[str]:
    """Names of all switch operating systems: the modules of this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(os: str) -> SwitchFactory:
    """Return the driver class of an operating system; raise ConfigError with those that exist."""
    if os not in names():
        raise ConfigError(
            "no driver for this switch", key="os", value=os, hint=suggestion(os, names(), "there are")
        )
    class_name = "".join(word.capitalize() for word in os.split("_"))
    found: SwitchFactory = getattr(importlib.import_module(f"{__name__}.{os}"), class_name)
    return found
