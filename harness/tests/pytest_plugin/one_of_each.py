"""A suite in which tests end in every possible way."""

from __future__ import annotations

ONE_OF_EACH = '''
def test_good(fabric, expect):
    """All is well."""
    expect("goodput", 99.0, at_least(90), "Gb/s")

def test_near(fabric, expect):
    expect("goodput", 91.0, at_least(90), "Gb/s")

def test_bad(fabric, expect):
    expect("goodput", 50.0, at_least(90), "Gb/s")
    expect("frames dropped", 0, equals(0))

def test_gone(fabric, expect):
    expect("marks", Missing("no such counter"), at_least(1))

def test_vacuous(fabric, expect):
    pass

def test_lab(fabric, expect):
    expect("goodput", 99.0, at_least(90), "Gb/s")
    fabric.run(scenario('{"boom": "cable is out"}'))

def test_broken(fabric, expect):
    expect("goodput", 99.0, at_least(90), "Gb/s")
    raise RuntimeError("a bug of the test")

@pytest.mark.needs(Capability.PFC, Capability.CAPTURE, Capability.LINK_FLAP)
def test_unable(fabric, expect):
    raise AssertionError("must not run")
'''

EXPECTED = {
    "test_good": "PASS",
    "test_near": "MARGINAL",
    "test_bad": "FAIL",
    "test_gone": "INVALID",
    "test_vacuous": "INVALID",
    "test_lab": "LAB FAULT",
    "test_broken": "ERROR",
    "test_unable": "SKIPPED",
}
