"""What a report page shows, as text: the border between reading a record and printing it.

Every field is formatted; a template chooses places and never computes. Numbers, units and times appear here only as
the words a reader will see.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from reports.chart import ChartView


@dataclass(frozen=True, slots=True)
class BarView:
    """A margin as a bar, in percent of its track: the limit is in the middle, inside is right of it.

    The length is the square root of the margin as a part of the bound, so that 1 % and 100 % can both be seen.
    """

    left: str
    width: str


@dataclass(frozen=True, slots=True)
class MeasurementView:
    """One judged value. `style` is the CSS class of the verdict; `reason` says why when it is INVALID.

    `bar` is None where no margin can be given as a part of the bound.
    """

    name: str
    value: str
    limit: str
    margin: str
    verdict: str
    style: str
    source: str
    evidence: str
    reason: str
    bar: BarView | None = None


@dataclass(frozen=True, slots=True)
class RowView:
    """A measurement in the table of all of them: `order` places it by verdict and margin, `margin_order` by margin.

    `verdict` is what a reader filters by: an intended FAIL is found among what passed. Rows beyond those that are shown
    first are `late`.
    """

    anchor: str
    test: str
    session: str
    test_anchor: str
    kind: str
    verdict: str
    order: str
    margin_order: str
    late: bool
    measurement: MeasurementView


@dataclass(frozen=True, slots=True)
class FigureView:
    """A headline number of a run, such as goodput."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class LinkUseView:
    """One direction of a link and how it was used."""

    way: str
    rate: str
    load: str
    paused: str
    dropped: str


@dataclass(frozen=True, slots=True)
class DrawingView:
    """The fabric of a run; `svg` is a whole element, `note` says what is left out."""

    svg: Markup
    traffic: str
    links: tuple[LinkUseView, ...]
    note: str


@dataclass(frozen=True, slots=True)
class RunView:
    """One scenario that a test executed; `live` is the JSON that the script of the page draws.

    `notes` warn, `remarks` tell how the run was made.
    """

    title: str
    scenario: tuple[str, ...]
    figures: tuple[FigureView, ...]
    notes: tuple[str, ...]
    remarks: tuple[str, ...]
    events: tuple[str, ...]
    drawing: DrawingView | None
    charts: tuple[ChartView, ...]
    live: Markup
    constant: tuple[str, ...]
    simulated: bool


@dataclass(frozen=True, slots=True)
class StepView:
    """A step of a test and how long it took."""

    name: str
    duration: str
    note: str


@dataclass(frozen=True, slots=True)
class TestView:
    """One test: what it claims, what was measured, on what evidence. `anchor` is its id on the page.

    `kind` is `claim` or `control`; `tightest` the smallest margin; `defects` those of which it is the witness;
    `session` the one it is from, where the record joins several.
    """

    anchor: str
    name: str
    nodeid: str
    verdict: str
    style: str
    headline: str
    criterion: str
    plan_ids: tuple[str, ...]
    control: str
    defects: tuple[str, ...]
    kind: str
    session: str
    tightest: str
    fabric: str
    duration: str
    parameters: str
    steps: tuple[StepView, ...]
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
    session: str = ""


@dataclass(frozen=True, slots=True)
class PlanView:
    """Which tests cover one case of the test plan.

    `verdict` is the worst of those that ran; `note` says how many were skipped, and what the fabric lacks for them.
    """

    plan_id: str
    verdict: str
    style: str
    tests: tuple[LinkView, ...]
    note: str


@dataclass(frozen=True, slots=True)
class FactView:
    """A line of identification: what was tested, with what."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class StyledView:
    """A word and the style of its badge."""

    text: str
    style: str


@dataclass(frozen=True, slots=True)
class DifferenceView:
    """A test that ended differently in several sessions."""

    test: str
    outcomes: tuple[StyledView, ...]


@dataclass(frozen=True, slots=True)
class ChangeView:
    """A measurement whose values differ between sessions, and by which part of the largest."""

    test: str
    name: str
    values: tuple[str, ...]
    part: str


@dataclass(frozen=True, slots=True)
class SessionsView:
    """Several sessions side by side."""

    names: tuple[str, ...]
    differing: tuple[DifferenceView, ...]
    changes: tuple[ChangeView, ...]
    more: str


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
    more_attention: str
    plan: tuple[PlanView, ...]
    plan_summary: str
    rows: tuple[RowView, ...]
    tests: tuple[TestView, ...]
    defects: str
    sessions: SessionsView | None
