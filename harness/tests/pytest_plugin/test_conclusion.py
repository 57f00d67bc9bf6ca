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
        ([GOOD, NEAR], Verdict.MARGINAL, "near its limit: near"),
        ([GOOD, NEAR, BAD], Verdict.FAIL, "outside its limit: bad"),
        ([BAD, GONE], Verdict.INVALID, "without evidence: gone"),
    ],
)
def test_worst_measurement_decides(measurements: list[Measurement], verdict: Verdict, headline: str) -> None:
    conclusion = conclude(measurements, None)
    assert (conclusion.verdict, conclusion.headline) == (verdict, headline)


@pytest.mark.parametrize(
    ("measurements", "verdict", "headline"),
    [
        ([], Verdict.INVALID, "nothing was measured, so nothing was shown"),
        ([GOOD, BAD], Verdict.PASS, "the fault was seen by bad"),
        ([NEAR, BAD], Verdict.PASS, "the fault was seen by bad"),
        ([GOOD, NEAR], Verdict.FAIL, "the check is blind: nothing failed with PFC off"),
        ([BAD, GONE], Verdict.INVALID, "without evidence: gone"),
    ],
)
def test_a_negative_control_must_fail(
    measurements: list[Measurement], verdict: Verdict, headline: str
) -> None:
    conclusion = conclude(measurements, "PFC off")
    assert (conclusion.verdict, conclusion.headline) == (verdict, headline)
