"""What is known about a lab between commands: `lab.json`, which names its guests and whom it ends with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.bindings.vmlab.layout import Layout
from harness.bindings.vmlab.process import Process

STATE_FILE = "lab.json"
STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class GuestState:
    """A guest that was started: `process` None once it was powered off."""

    ssh_port: int
    process: Process | None = None


@dataclass(frozen=True, slots=True)
class LabState:
    """A lab as it was last known.

    `topology` is the whole topology as data. `image` names the folder of the image, `build` that very build
    of it. `owner` is the process that the lab ends with; None: it stays until it is taken down.
    """

    name: str
    topology: Mapping[str, Any]
    image: str
    build: str
    accel: str
    owner: Process | None
    guests: Mapping[str, GuestState] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps({"version": STATE_VERSION, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> LabState | None:
        """Read the file's text; None when it is not what this version writes (a crash, an older version)."""
        try:
            data = json.loads(text)
            if data.pop("version") != STATE_VERSION:
                return None
            guests = {
                node: GuestState(guest["ssh_port"], _process(guest["process"]))
                for node, guest in data.pop("guests").items()
            }
            return cls(**{**data, "owner": _process(data["owner"]), "guests": guests})
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def _process(data: Mapping[str, Any] | None) -> Process | None:
    return None if data is None else Process(**data)


def read_state(folder: Path) -> LabState | None:
    """Return the state of the lab in a folder; None when it is not up, or its file cannot be read."""
    try:
        return LabState.from_json((folder / STATE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def write_state(folder: Path, state: LabState) -> None:
    """Replace the state of a lab in one step."""
    partial = folder / f"{STATE_FILE}.partial"
    partial.write_text(state.to_json(), encoding="utf-8")
    partial.replace(folder / STATE_FILE)


def forget_state(folder: Path) -> None:
    """Remove the state: the lab is down."""
    (folder / STATE_FILE).unlink(missing_ok=True)


def labs(layout: Layout) -> list[LabState]:
    """Return all labs that were brought up and not taken down, whether or not their guests still run."""
    found = (read_state(folder) for folder in sorted(layout.runs.iterdir()) if folder.is_dir())
    return [state for state in found if state is not None]
