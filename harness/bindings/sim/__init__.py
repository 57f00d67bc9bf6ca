"""The simulated fabric: `reserve(topology)` gives one; `roce-sim` executes its scenarios."""

from __future__ import annotations

from harness.bindings.sim.fabric import SimFabric, known_defects, reserve
from harness.bindings.sim.process import find_simulator

__all__ = ["SimFabric", "find_simulator", "known_defects", "reserve"]
