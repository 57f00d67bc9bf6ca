from __future__ import annotations

import pytest

from harness.core.evidence import Missing
from harness.core.measure import Measurement, Verdict, at_least, measure
from harness.pytest_plugin.conclusion import conclude

GOOD = measure("good", 200, at_least(100))
NEAR = measure("near", 101, at_least(100))
BAD = measure("bad", 1, at_least(100))
GONE = measure("gone", Missing("no such counter"), at_least(100))


@pytest.mark.parametrize(
    ("measurements", "verdict", "headline"),
    [
        ([], Verdict.INVALID, "nothing was measured, so nothing was shown"),
        ([GOOD], Verdict.PASS, ""),
        ([GOOD, NEAR], Verdict.MARGINAL, "near the limit: near 101 (limit ≥ 100)"),
        ([GOOD, NEAR, BAD], Verdict.FAIL, "outside the limit: bad 1 (limit ≥ 100)"),
        ([BAD, GONE], Verdict.INVALID, "without evidence: gone no data (limit ≥ 100)"),
    ],
)
def test_worst_measurement_decides(measurements: list[Measurement], verdict: Verdict, headline: str) -> None:
    conclusion = conclude(measurements, None)
    assert (conclusion.verdict, conclusion.headline) == (verdict, headline)


@pytest.mark.parametrize(
    ("measurements", "verdict", "headline"),
    [
        ([], Verdict.INVALID, "nothing was measured, so nothing was shown"),
        ([GOOD, BAD], Verdict.PASS, "the fault was seen by bad 1 (limit ≥ 100)"),
        ([NEAR, BAD], Verdict.PASS, "the fault was seen by bad 1 (limit ≥ 100)"),
        ([GOOD, NEAR], Verdict.FAIL, "the check is blind: nothing failed with PFC off"),
        ([BAD, GONE], Verdict.INVALID, "without evidence: gone no data (limit ≥ 100)"),
    ],
)
def test_a_negative_control_must_fail(
    measurements: list[Measurement], verdict: Verdict, headline: str
) -> None:
    conclusion = conclude(measurements, "PFC off")
    assert (conclusion.verdict, conclusion.headline) == (verdict, headline)


def test_a_run_that_is_no_evidence_makes_everything_invalid() -> None:
    for control in (None, "PFC off"):
        conclusion = conclude([GOOD, BAD], control, ["run 1: unfinished: incast-0"])
        assert conclusion.verdict is Verdict.INVALID
        assert conclusion.headline == "not valid as evidence: run 1: unfinished: incast-0"


def test_many_failures_are_counted() -> None:
    rows = [measure(f"m{i}", 1, at_least(100)) for i in range(5)]
    assert conclude(rows, None).headline.endswith(" and 2 more")
