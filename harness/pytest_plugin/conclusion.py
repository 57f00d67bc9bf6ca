"""The verdict of a test from what it measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.measure import Measurement, Verdict
from reports.measurements import measurement_views
from reports.text import plain_spaces


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Verdict of a whole test and the one sentence that gives its reason ("" when it simply passed)."""

    verdict: Verdict
    headline: str


def conclude(
    measurements: Sequence[Measurement], control: str | None, doubts: Sequence[str] = ()
) -> Conclusion:
    """Judge a test whose body ran to its end.

    The worst measurement decides; no measurement at all is INVALID, and so is everything measured on a run that is no
    evidence (`doubts` says why: an unfinished flow, a generator below its load). A negative control (`control`: what is
    broken) turns FAIL around: at least one measurement must FAIL, or the check cannot see the fault it is there for.
    INVALID stays INVALID in both.
    """
    if doubts:
        return Conclusion(Verdict.INVALID, f"not valid as evidence: {'; '.join(doubts)}")
    if not measurements:
        return Conclusion(Verdict.INVALID, "nothing was measured, so nothing was shown")
    verdict = Verdict.worst(measurement.verdict for measurement in measurements)
    if verdict is Verdict.INVALID or control is None:
        return Conclusion(verdict, _reason(measurements, verdict))
    failed = [measurement for measurement in measurements if measurement.verdict is Verdict.FAIL]
    if failed:
        return Conclusion(Verdict.PASS, f"the fault was seen by {_names(failed)}")
    return Conclusion(Verdict.FAIL, f"the check is blind: nothing failed with {control}")


def _reason(measurements: Sequence[Measurement], verdict: Verdict) -> str:
    if verdict is Verdict.PASS:
        return ""
    decisive = [measurement for measurement in measurements if measurement.verdict is verdict]
    words = {
        Verdict.MARGINAL: "near the limit",
        Verdict.FAIL: "outside the limit",
        Verdict.INVALID: "without evidence",
    }
    return f"{words[verdict]}: {_names(decisive)}"


def _names(measurements: Sequence[Measurement]) -> str:
    """The worst three with their numbers: "goodput 92.5 Gb/s (limit ≥ 95 Gb/s)"."""
    views = measurement_views(measurements)
    rest = f" and {len(views) - 3} more" if len(views) > 3 else ""
    return plain_spaces(
        "; ".join(f"{view.name} {view.value} (limit {view.limit})" for view in views[:3]) + rest
    )
