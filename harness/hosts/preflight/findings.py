"""What a preflight finds: a state for each node and stage, and a line for each problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class State(Enum):
    """How a node stands at a stage; only FAILED stops it there."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it should be.

    `where` names the nodes, ports or pairs; `value` is what was found there, empty where that says nothing.
    """

    stage: str
    state: State
    what: str
    where: str
    value: str
    advice: str

    @property
    def line(self) -> str:
        """All of it in one line."""
        value = f" ({self.value})" if self.value else ""
        return f"{self.where}: {self.what}{value}; {self.advice}"

    def as_json(self) -> dict[str, str]:
        """Return it as plain data."""
        return {
            "stage": self.stage,
            "state": self.state.value,
            "what": self.what,
            "where": self.where,
            "value": self.value,
            "advice": self.advice,
        }


@dataclass(frozen=True, slots=True)
class Cell:
    """A node at a stage; `note` is the fact of most interest, in a few words."""

    state: State
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a preflight found. `facts` are the numbers behind it, by stage, as plain data."""

    topology: str
    hosts: tuple[str, ...]
    switches: tuple[str, ...]
    stages: tuple[str, ...]
    cells: Mapping[str, Mapping[str, Cell]]
    problems: tuple[Problem, ...]
    facts: Mapping[str, Any]

    @property
    def healthy(self) -> bool:
        """Whether nothing failed; warnings are no failures."""
        return all(problem.state is not State.FAILED for problem in self.problems)

    def cell(self, node: str, stage: str) -> Cell:
        """Return a node at a stage; SKIPPED when it did not get there."""
        return self.cells.get(node, {}).get(stage, Cell(State.SKIPPED))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data: format 1 of `roce doctor --site … --json`."""
        nodes = (*self.hosts, *self.switches)
        cells = {
            node: {
                stage: {"state": self.cell(node, stage).state.value, "note": self.cell(node, stage).note}
                for stage in self.stages
            }
            for node in nodes
        }
        return {
            "format": 1,
            "topology": self.topology,
            "healthy": self.healthy,
            "hosts": list(self.hosts),
            "switches": list(self.switches),
            "stages": list(self.stages),
            "nodes": cells,
            "problems": [problem.as_json() for problem in self.problems],
            "facts": dict(self.facts),
        }
