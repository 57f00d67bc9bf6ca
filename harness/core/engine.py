"""Which program makes the traffic of hosts: the agent itself with pyverbs, or roce-load."""

from __future__ import annotations

import os
from enum import StrEnum

from harness.core.errors import ConfigError, suggestion

ENGINE_VARIABLE = "ROCE_ENGINE"
"""Environment variable with the engine of fabrics that are told none."""


class Engine(StrEnum):
    """What is asked for; `auto` takes the native generator wherever a host has it."""

    AUTO = "auto"
    PYVERBS = "pyverbs"
    NATIVE = "native"


ENGINES = tuple(engine.value for engine in Engine)


def engine_named(name: str | None, *, key: str = "--engine") -> Engine:
    """Return the engine of that name; None takes it from the environment, else `auto`. Raises ConfigError."""
    if name is None:
        name, key = os.environ.get(ENGINE_VARIABLE) or Engine.AUTO.value, ENGINE_VARIABLE
    if name not in ENGINES:
        raise ConfigError("no such engine", key=key, value=name, hint=suggestion(name, ENGINES, "there are"))
    return Engine(name)
