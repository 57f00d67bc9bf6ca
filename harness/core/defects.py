"""What can be wrong with a device on purpose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Defect:
    """One way in which simulated devices misbehave.

    Attributes:
        part: what is defective: `switch`, `nic`, `link` or `counters`.
        what: what it does, in a phrase.
    """

    name: str
    part: str
    what: str
