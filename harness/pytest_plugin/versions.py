"""Versions of what takes part in a session, and whether its fabric is a model."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import typing
from pathlib import Path

import pytest

from harness.core.errors import HarnessError
from harness.pytest_plugin.pool import load_binding

_DISTRIBUTION = "roce-validation-harness"
# Printing a version takes milliseconds; a program that does not answer is not worth a wait.
_PATIENCE_S = 5.0


def tool_versions(fabric: str) -> dict[str, str]:
    """Name → version of the harness, Python, pytest and, where there is one, the simulator."""
    found = {"harness": _harness(), "python": platform.python_version(), "pytest": pytest.__version__}
    simulator = _simulator(fabric)
    return found if simulator is None else {**found, **simulator}


def declares_simulation(fabric: str) -> bool:
    """Whether the binding's `reserve` says by its return type that every fabric it gives is a model.

    Before a fabric is reserved nothing else can tell; afterwards `Fabric.simulated` does.
    """
    try:
        kind = typing.get_type_hints(load_binding(fabric).reserve).get("return")
    except NameError:  # a binding that imports its types for the type checker only
        return False
    return getattr(kind, "simulated", None) is True


def _harness() -> str:
    try:
        return importlib.metadata.version(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _simulator(fabric: str) -> dict[str, str] | None:
    """Ask the simulator of the binding for its version; a missing program is reported when a fabric is reserved."""
    find = getattr(load_binding(fabric), "find_simulator", None)
    if find is None:
        return None
    try:
        program = Path(find())
        run = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        )
    except (HarnessError, OSError, subprocess.SubprocessError):
        return None
    name, _, version = run.stdout.strip().rpartition(" ")
    return {name or program.name: version or "unknown"}
