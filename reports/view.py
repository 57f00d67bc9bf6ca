"""What a report page shows, as text: the border between reading a record and printing it.

Every field is formatted; a template chooses places and never computes. Numbers, units and times appear here only as
the words a reader will see.
"""

from __future__ import annotations

from dataclasses import dataclass

from reports.chart import ChartView


@dataclass(frozen=True, slots=True)
class MeasurementView:
    """One judged value. `style` is the CSS class of the verdict; `reason` says why when it is INVALID."""

    name: str
    value: str
    limit: str
    margin: str
    verdict: str
    style: str
    source: str
    evidence: str
    reason: str


@dataclass(frozen=True, slots=True)
class FigureView:
    """A headline number of a run, such as goodput."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class RunView:
    """One scenario that a test executed."""

    title: str
    scenario: tuple[str, ...]
    figures: tuple[FigureView, ...]
    notes: tuple[str, ...]
    events: tuple[str, ...]
    charts: tuple[ChartView, ...]
    constant: tuple[str, ...]
    simulated: bool


@dataclass(frozen=True, slots=True)
class TestView:
    """One test: what it claims, what was measured, on what evidence. `anchor` is its id on the page."""

    anchor: str
    name: str
    nodeid: str
    verdict: str
    style: str
    headline: str
    criterion: str
    plan_ids: tuple[str, ...]
    control: str
    fabric: str
    duration: str
    message: str
    measurements: tuple[MeasurementView, ...]
    runs: tuple[RunView, ...]
    repeat: str
    simulated: bool
    unfold: bool


@dataclass(frozen=True, slots=True)
class CountView:
    """How many tests ended with one verdict."""

    verdict: str
    style: str
    amount: str


@dataclass(frozen=True, slots=True)
class LinkView:
    """A test to look at, by its `anchor`."""

    anchor: str
    name: str
    verdict: str
    style: str
    headline: str


@dataclass(frozen=True, slots=True)
class PlanView:
    """Which tests cover one case of the test plan; `verdict` is the worst of them."""

    plan_id: str
    verdict: str
    style: str
    tests: tuple[LinkView, ...]


@dataclass(frozen=True, slots=True)
class FactView:
    """A line of identification: what was tested, with what."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class PageView:
    """A whole report."""

    title: str
    stamp: str
    conclusion: str
    style: str
    counts: tuple[CountView, ...]
    facts: tuple[FactView, ...]
    tools: tuple[FactView, ...]
    warnings: tuple[str, ...]
    attention: tuple[LinkView, ...]
    plan: tuple[PlanView, ...]
    tests: tuple[TestView, ...]
