"""What the tests of a session tried to show that they pass on evidence only, added up."""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def summed(proofs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what all tests of a session tried together."""
    tried = [proof for proof in proofs if proof]
    if not tried:
        return {}
    noticed = {key for proof in tried for key in proof["noticed"]}
    still = {key for proof in tried for key in proof["still"]}
    modes = dict.fromkeys(mode for proof in tried for mode in proof["replays"])
    replays = {mode: sum(proof["replays"].get(mode, 0) for proof in tried) for mode in modes}
    unwitnessed: Tally[str] = Tally()
    for proof in tried:
        unwitnessed.update(proof.get("unwitnessed", {}))
    return {
        "tests": len(tried),
        "measurements": sum(proof["measurements"] for proof in tried),
        "readings": sum(proof["readings"] for proof in tried),
        "replays": replays,
        "blind": sum(len(proof["blind"]) for proof in tried),
        "unwitnessed": dict(sorted(unwitnessed.items())),
        "noticed": sorted(noticed),
        "never_moved": sorted(still - noticed),
    }


def summary_lines(evidence: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a person should know of it."""
    replays = evidence["replays"]
    tried = ", ".join(f"{count} {mode}" for mode, count in replays.items())
    yield (
        f"evidence: {evidence['tests']} tests with {evidence['measurements']} measurements were judged again "
        f"{sum(replays.values())} times without it ({tried}); {evidence['blind']} times it was not INVALID"
    )
    if evidence.get("unwitnessed"):
        known = ", ".join(f"{key} {count}" for key, count in evidence["unwitnessed"].items())
        yield f"evidence: stood still where nothing else tells it (NO_WITNESS of harness/core/laws.py): {known}"
    if evidence["never_moved"]:
        yield f"evidence: never moved, so not shown to be noticed when frozen: {', '.join(evidence['never_moved'])}"
