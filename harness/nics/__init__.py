"""What NICs count, one module per kernel driver.

A module `harness/nics/<kernel_driver>.py` holds one class of that name in CamelCase (`rxe.py` has `Rxe`) that
is a `NicDriver`; `load` finds it by name, there is no list to edit. Drivers without a module are served by
`generic`, which knows the counters that every Linux network device has.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from harness.core.capability import Capability
from harness.core.counters import Counter
from harness.transport.remote import Remote

Json = dict[str, Any]

Reading = Mapping[str, Any]
"""Raw counters of one port at one moment, an entry of the agent's answer to `counters`."""

GENERIC = "generic"
"""The driver of NICs that have none of their own."""


@runtime_checkable
class NicDriver(Protocol):
    """One NIC port of a host, by the kind of its kernel driver."""

    @property
    def name(self) -> str:
        """The kernel driver: the name of the module."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this NIC adds to a fabric."""

    @property
    def offered(self) -> frozenset[Counter]:
        """The counters of the vocabulary that `counters` fills in for this very port."""

    @property
    def deviations(self) -> Mapping[str, str]:
        """Known differences from the standard or the vocabulary: subject → sentence."""

    def counters(self, before: Reading, after: Reading) -> Json:
        """Return the keys of a host port of a result (docs/job-format.md), `nic` and `drops` among them.

        Values are differences. What is not known, or was reset in between, is left out.
        """

    def configure(self, remote: Remote, netdev: str, nic: Mapping[str, Any]) -> None:
        """Apply a complete `nic` block of a job as far as it is the NIC's (QPs are the agent's matter).

        Raises ConfigError for keys that ask for what this NIC does not have.
        """

    def restore(self, remote: Remote, netdev: str) -> None:
        """Put back what `configure` changed; harmless at any time and twice."""


class NicFactory(Protocol):
    """Make a driver for one port."""

    def __call__(self, reading: Reading, kernel: str) -> NicDriver:
        """`reading` is a first look at its counters, `kernel` the release of the host (`6.12.57+deb13-amd64`).

        What is in neither is not offered.
        """


def names() -> list[str]:
    """Names of all NIC drivers: the modules of this package, but those that begin with an underscore."""
    return sorted(each.name for each in pkgutil.iter_modules(__path__) if not each.name.startswith("_"))


def load(kernel_driver: str) -> NicFactory:
    """Return the driver class for a kernel driver (`rxe`, `mlx5_core`, …), `Generic` when there is none."""
    name = _module_of(kernel_driver)
    class_name = "".join(word.capitalize() for word in name.split("_"))
    found: NicFactory = getattr(importlib.import_module(f"{__name__}.{name}"), class_name)
    return found


def _module_of(kernel_driver: str) -> str:
    """Vendors spell one driver in several ways: `mlx5_core` and `mlx5_ib` are mlx5, `rdma_rxe` is rxe."""
    plain = kernel_driver.removeprefix("rdma_").removesuffix("_core").removesuffix("_ib")
    return next((name for name in (kernel_driver, plain) if name in names()), GENERIC)
