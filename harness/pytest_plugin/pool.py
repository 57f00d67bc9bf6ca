"""Fabrics of this process: reserved once a topology, closed together at the end."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from typing import TYPE_CHECKING, Any, cast

import harness.bindings
from harness.bindings import engine_option
from harness.core.errors import ConfigError, HarnessError, TopologyNotOffered, suggestion
from harness.core.topology import Topology
from harness.pytest_plugin.settings import DEFAULT_TOPOLOGY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.core.fabric import Binding, Fabric
    from harness.pytest_plugin.settings import Settings

_log = logging.getLogger(__name__)


class FabricNotReserved(HarnessError):
    """A fabric that this test needs could not be had; an earlier test reported the cause."""


class FabricPool:
    """Hands out one fabric a topology for the binding, site and seed of the session.

    A reservation that fails is not tried again: real labs take minutes to say no, and the cause would stand in the
    report once per test. Its first user gets the error itself, the others a `FabricNotReserved` that names that test.
    A shape that the lab does not have is no failure: every user gets the `TopologyNotOffered`, and is skipped for it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fabrics: dict[str, Fabric] = {}
        self._failures: dict[str, str] = {}
        self._not_offered: dict[str, TopologyNotOffered] = {}

    def get(self, topology: str, user: str) -> Fabric:
        """Return the fabric of this topology, reserving it at first use; `user` is the test that asks.

        Raises the binding's HarnessError at the first failure and FabricNotReserved after it.
        """
        if topology in self._not_offered:
            raise self._not_offered[topology]
        if topology in self._failures:
            raise FabricNotReserved(
                f"not run: fabric {self._settings.fabric!r} with topology {topology!r} could not be reserved, "
                f"see {self._failures[topology]}"
            )
        if topology not in self._fabrics:
            self._fabrics[topology] = self._reserve(topology, user)
        return self._fabrics[topology]

    def close(self) -> None:
        """Give every fabric back, the last one first; one that fails to close is logged and does not stop the rest."""
        while self._fabrics:
            topology, fabric = self._fabrics.popitem()
            try:
                fabric.close()
            except HarnessError as error:
                _log.error(
                    "fabric %r with topology %r did not close: %s", self._settings.fabric, topology, error
                )

    def _reserve(self, topology: str, user: str) -> Fabric:
        try:
            binding = load_binding(self._settings.fabric)
            # only a binding that has them is asked for defects: see check_defects
            more: dict[str, Any] = {"defects": self._settings.defects} if self._settings.defects else {}
            more |= engine_option(binding, self._settings.fabric, self._settings.engine)
            return binding.reserve(
                Topology.load(topology), site=self._settings.site, seed=self._settings.seed, **more
            )
        except TopologyNotOffered as error:
            self._not_offered[topology] = error
            raise
        except BaseException:
            # Ctrl-C during a slow reservation counts too: what is half reserved must not be handed out later.
            self._failures[topology] = user
            raise


def default_topology(fabric: str, site: Path | None) -> str:
    """Return the topology of tests that name none: the binding's own, where it says so, else the harness's."""
    own = getattr(load_binding(fabric), "default_topology", None)
    return DEFAULT_TOPOLOGY if own is None else str(own(site))


def check_defects(fabric: str, names: Sequence[str]) -> None:
    """Raise ConfigError for a defect that this kind of fabric cannot be given."""
    known: list[str] = getattr(load_binding(fabric), "known_defects", list)() if names else []
    for name in names:
        if name not in known:
            hint = (
                suggestion(name, known, "there are")
                if known
                else "the simulated fabric has some: --fabric sim"
            )
            raise ConfigError(f"fabric {fabric!r} has no such defect", key="--defect", value=name, hint=hint)


def check_engine(fabric: str, name: str | None) -> None:
    """Raise ConfigError for an engine that this kind of fabric does not have."""
    if name is not None:
        engine_option(load_binding(fabric), fabric, name)


def load_binding(name: str) -> Binding:
    """Find a kind of fabric by the name of its module; ConfigError names those that exist."""
    known = sorted(module.name for module in pkgutil.iter_modules(harness.bindings.__path__))
    if name not in known:
        raise ConfigError(
            "unknown fabric", key="--fabric", value=name, hint=suggestion(name, known, "there are")
        )
    return cast("Binding", importlib.import_module(f"harness.bindings.{name}"))
