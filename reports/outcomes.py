"""How outcomes look and in which order they need a person."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.record import Outcome

STYLES = {
    Outcome.PASS: "pass",
    Outcome.MARGINAL: "marginal",
    Outcome.FAIL: "fail",
    Outcome.INVALID: "invalid",
    Outcome.LAB_FAULT: "fault",
    Outcome.ERROR: "error",
    Outcome.SKIPPED: "skipped",
}

# From what needs a person most to what needs none; also the order in which the worst of several is found.
WORST_FIRST = (
    Outcome.FAIL,
    Outcome.INVALID,
    Outcome.ERROR,
    Outcome.LAB_FAULT,
    Outcome.MARGINAL,
    Outcome.SKIPPED,
    Outcome.PASS,
)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome that speaks for all; PASS for none."""
    return min(outcomes, key=WORST_FIRST.index, default=Outcome.PASS)
