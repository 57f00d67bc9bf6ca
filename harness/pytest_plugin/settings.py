"""What the command line says about the lab, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_FABRIC = "sim"
DEFAULT_TOPOLOGY = "leaf-spine-16"
DEFAULT_SEED = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of one session.

    `fabric` names a module of `harness.bindings`; `topology` is the one for tests without a `topology` marker; `folder`
    is where the record goes (made when the first test of a fabric finishes) and `html` where the page goes (None: no
    page); `defects`
    are those that the devices of a simulated fabric have; `engine` is what makes the traffic of hosts (None: the
    environment says).
    """

    fabric: str
    topology: str
    site: Path | None
    seed: int
    folder: Path
    html: Path | None
    latest: Path | None
    defects: tuple[str, ...] = ()
    engine: str | None = None
