"""The table of lab faults: what was injected, what the harness said, how soon, and what it left behind."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One fault; `noticed_s` counts from the moment it could be known to the error, clean-up included."""

    injected: str
    error: str
    noticed_s: float
    left: str


@dataclass
class Ledger:
    entries: list[Entry] = field(default_factory=list)

    def add(self, injected: str, error: object, noticed_s: float, left: list[str]) -> None:
        kind = f"{type(error).__name__}: " if isinstance(error, Exception) else ""
        self.entries.append(
            Entry(injected, f"{kind}{error}", round(noticed_s, 1), "; ".join(left) or "nothing")
        )

    def lines(self) -> list[str]:
        return [
            f"{each.injected:<34} {each.noticed_s:5.1f} s   left: {each.left}   {each.error}"
            for each in self.entries
        ]

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rows = "\n".join(
            f"| {each.injected} | {each.error.replace('|', '/')} | {each.noticed_s} s | {each.left} |"
            for each in self.entries
        )
        head = "| injected | error given | time to notice and clean up | left behind |\n|---|---|---|---|\n"
        (folder / "lab-faults.md").write_text(f"{head}{rows}\n", encoding="utf-8")
        data = [asdict(each) for each in self.entries]
        (folder / "lab-faults.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
