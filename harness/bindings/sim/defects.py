"""Defects that the simulator can have, as it lists them itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from harness.core.defects import Defect
from harness.core.errors import ConfigError, SimError, suggestion

PATIENCE_S = 10.0
"""Printing a list takes milliseconds; a program that does not answer is not worth a longer wait."""


@lru_cache
def list_defects(program: Path) -> tuple[Defect, ...]:
    """Return the defects that this simulator can have, in its order.

    Raises SimError when the program does not tell.
    """
    command = [str(program), "--list-defects"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
        return tuple(Defect(**each) for each in json.loads(run.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        raise SimError(
            f"{program.name} --list-defects gave no list; is it older than this harness? `make setup` builds it",
            detail=str(error),
        ) from None


def check_names(program: Path, names: Sequence[str]) -> None:
    """Raise ConfigError for a defect that the simulator does not have."""
    known = [defect.name for defect in list_defects(program)] if names else []
    for name in names:
        if name not in known:
            raise ConfigError(
                "no such defect", key="--defect", value=name, hint=suggestion(name, known, "there are")
            )
