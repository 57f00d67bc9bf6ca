from __future__ import annotations

from harness.core.measure import at_least, equals, measure
from harness.core.record import Outcome, RunRecord, TestRecord
from reports.bounds import bounds_of, render

TEST = "suites/pfc/test_incast.py::test_it"


def claim(parameter: str, *measured, control: bool = False) -> TestRecord:
    return TestRecord(f"{TEST}[{parameter}]", Outcome.PASS, measurements=measured, negative_control=control)


def goodput(least: float):
    return measure("goodput", 95.0, at_least(least, source="payload | headers"), "Gb/s")


def page(*tests: TestRecord) -> str:
    return render(RunRecord(run_id="r", started="", fabric="sim", simulated=True, tests=tests))


def test_joins_the_cases_of_a_test_and_leaves_controls_out() -> None:
    cases = [claim(str(least), goodput(least)) for least in (90, 91, 92, 93)]
    tests = [*cases, claim("broken", goodput(1), control=True)]

    assert [(bound.measurement, len(bound.limits)) for bound in bounds_of(tests)] == [("goodput", 4)]
    assert "| test_it | goodput | ≥ 90 Gb/s, ≥ 91 Gb/s, ≥ 92 Gb/s and 1 more | payload \\| headers |" in page(
        *tests
    )


def test_each_limit_stands_beside_its_measurement_whatever_came_first() -> None:
    near, exact = goodput(94.9), measure("drops", 0, equals(0, source="lossless"))
    first, second = (
        page(claim("2", exact, near), claim("16", exact, near)),
        page(claim("16", exact, near), claim("2", exact, near)),
    )

    assert first == second
    assert "| drops | = 0 | lossless |" in first
    assert "| goodput | ≥ 94.9 Gb/s | payload \\| headers |" in first


def test_cases_stand_in_the_order_of_their_numbers() -> None:
    assert "≥ 1 Gb/s, ≥ 2 Gb/s" in page(claim("16", goodput(2)), claim("2", goodput(1)))


def test_says_on_what_fabric() -> None:
    text = page(claim("2", goodput(90)))

    assert "1 bound of 1 test. Fabric sim, seed 1. SIMULATED." in text
    assert "## suites/pfc/test_incast.py" in text


def test_points_out_a_limit_from_nowhere() -> None:
    assert "| drops | = 0 | **no source** |" in page(claim("2", measure("drops", 0, equals(0))))
