"""Bindings realise a topology as a fabric: one module a kind, found by name, each with `reserve`."""

from __future__ import annotations

from typing import Any

from harness.core.engine import engine_named
from harness.core.errors import ConfigError


def engine_option(binding: Any, fabric: str, engine: str | None) -> dict[str, str]:
    """Return what `reserve` of a binding is given for `--engine`: nothing when it was not said.

    Raises:
        ConfigError: there is no such engine, or this kind of fabric has none to choose from.
    """
    if engine is None:
        return {}
    engine_named(engine)
    if not getattr(binding, "ENGINES", ()):
        raise ConfigError(
            f"fabric {fabric!r} has no engines to choose from",
            key="--engine",
            value=engine,
            hint="fabrics of hosts have: --fabric vmlab or --fabric hardware",
        )
    return {"engine": engine}
