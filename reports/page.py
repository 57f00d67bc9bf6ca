"""From a run record to the words and places of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from harness.core.measure import Verdict
from harness.core.record import Outcome, RunRecord, TestRecord
from reports.measurements import measurement_views
from reports.runs import run_view
from reports.text import clean, count, duration, one_line, shell_word
from reports.view import CountView, FactView, LinkView, MeasurementView, PageView, PlanView, TestView

STAMP = "SIMULATED"
SOFTWARE_STAMP = "SOFTWARE RoCE"
_MEANINGS = {
    STAMP: "no frame of this run crossed real hardware",
    SOFTWARE_STAMP: "real verbs on NICs made of software; speeds say nothing about hardware",
}
_DRIVERS, _SOFTWARE_DRIVERS = "RDMA drivers", frozenset({"rxe", "siw"})
TITLE = "RoCE fabric validation"

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
# A page of few tests shows all evidence at once; a long one folds away what passed.
_UNFOLD_ALL_UP_TO = 8


def page_view(record: RunRecord) -> PageView:
    """Build the whole page, file by file."""
    # Workers finish in any order; a reader wants the tests of a file together.
    record = replace(record, tests=tuple(sorted(record.tests, key=_file_of)))
    tests = tuple(view_of(record, test, number) for number, test in enumerate(record.tests, 1))
    links = [_link(view) for view in tests]
    return PageView(
        title=TITLE,
        stamp=stamp_of(record),
        conclusion=conclusion(record),
        style=STYLES[worst_outcome(record)] if record.tests else "invalid",
        counts=count_views(record),
        facts=_facts(record),
        tools=tuple(FactView(one_line(name), one_line(text)) for name, text in record.versions.items()),
        warnings=tuple(clean(warning) for warning in (*_defects(record), *record.problems)),
        attention=_attention(record, links),
        plan=_plan(record, links),
        tests=tests,
    )


def is_simulated(record: RunRecord) -> bool:
    """Whether any result of the session came from a simulator."""
    return record.simulated or any(test.simulated for test in record.tests)


def is_software(record: RunRecord) -> bool:
    """Whether some NIC of the session was software on an ordinary one."""
    drivers = record.versions.get(_DRIVERS, "").split(", ")
    return not _SOFTWARE_DRIVERS.isdisjoint(drivers)


def stamp_of(record: RunRecord) -> str:
    """What a reader must know before any figure: a model made it, or software NICs did; "" for hardware."""
    if is_simulated(record):
        return STAMP
    return SOFTWARE_STAMP if is_software(record) else ""


def meaning_of(stamp: str) -> str:
    """The stamp and what it means, in a sentence."""
    return f"{stamp}: {_MEANINGS[stamp]}"


def worst_outcome(record: RunRecord) -> Outcome:
    """The outcome that speaks for the session; PASS for one without tests."""
    return _worst(test.outcome for test in record.tests)


def _worst(outcomes: Iterable[Outcome]) -> Outcome:
    return min(outcomes, key=WORST_FIRST.index, default=Outcome.PASS)


def conclusion(record: RunRecord) -> str:
    """One sentence: passed or not, and on account of what."""
    counts = record.counts()
    ran = len(record.tests) - counts[Outcome.SKIPPED]
    cut_short = "" if record.finished is not None else " The session was cut short."
    if not ran:
        return f"Nothing was shown: no test ran.{cut_short}"
    bad = [outcome for outcome in WORST_FIRST if counts[outcome] and not outcome.is_good]
    if bad:
        listed = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in bad)
        return f"Not passed: {listed} of {count(ran, 'test')}.{cut_short}"
    marginal = f" {counts[Outcome.MARGINAL]} near a limit." if counts[Outcome.MARGINAL] else ""
    what = "All finished tests passed" if cut_short else "Passed"
    return f"{what}: {count(ran, 'test')}.{marginal}{cut_short}"


def count_views(record: RunRecord) -> tuple[CountView, ...]:
    """Each outcome with its number of tests; ERROR, which a sound suite never has, only when there is one."""
    order = (*Verdict.__members__, "LAB_FAULT", "ERROR", "SKIPPED")
    counts = record.counts()
    shown = [Outcome[name] for name in order if name != "ERROR" or counts[Outcome.ERROR]]
    return tuple(
        CountView(each.value, STYLES[each] if counts[each] else "none", str(counts[each])) for each in shown
    )


def view_of(record: RunRecord, test: TestRecord, number: int) -> TestView:
    """Format one test; `number` makes its anchor on the page."""
    bad = not test.outcome.is_good or test.outcome is Outcome.MARGINAL
    headline, _, message = clean(test.message).partition("\n")
    topology = test.topology or record.topology
    return TestView(
        anchor=f"t{number}",
        name=name_of(test),
        nodeid=one_line(test.nodeid),
        verdict=test.outcome.value,
        style=STYLES[test.outcome],
        headline=headline.strip(),
        criterion=_paragraphs(test.docstring),
        plan_ids=tuple(one_line(plan_id) for plan_id in test.plan_ids),
        control=_control(test),
        fabric=" · ".join(
            one_line(text) for text in (record.fabric, topology, f"seed {record.seed}") if text
        ),
        duration=duration(sum(test.durations_s.values())) if test.durations_s else "",
        message=message.strip("\n"),
        measurements=_measurements(test),
        runs=tuple(run_view(run) for run in test.runs),
        repeat=repeat_command(record, test),
        simulated=test.simulated,
        unfold=bad or len(record.tests) <= _UNFOLD_ALL_UP_TO,
    )


def name_of(test: TestRecord) -> str:
    """The name of a test as a phrase: "test_incast_loses_nothing[8]" reads "incast loses nothing [8]"."""
    name = one_line(test.nodeid).rpartition("::")[2] or one_line(test.nodeid)
    function, bracket, parameters = name.partition("[")
    words = function.removeprefix("test_").replace("_", " ").strip()
    return f"{words} {bracket}{parameters}" if bracket else words


def repeat_command(record: RunRecord, test: TestRecord) -> str:
    """The command line that runs this test again under the same conditions."""
    options = ["--fabric", record.fabric, "--topology", record.topology, *_site(record.command)]
    options += ["--seed", str(record.seed)]
    return " ".join(shell_word(one_line(word)) for word in ("pytest", test.nodeid, *options))


def _site(command: Sequence[str]) -> list[str]:
    """The option of the site as the session had it, in either spelling."""
    for word, following in zip(command, [*command[1:], ""], strict=True):
        if word == "--site":
            return ["--site", following]
        if word.startswith("--site="):
            return [word]
    return []


def _control(test: TestRecord) -> str:
    """What a negative control breaks, and how to read its measurements."""
    if not test.negative_control:
        return ""
    failed = sum(measurement.verdict is Verdict.FAIL for measurement in test.measurements)
    broken = one_line(test.control) or "Something is broken on purpose"
    if not test.measurements:
        return f"{broken}: at least one measurement must fail."
    return f"{broken}: at least one measurement must fail; {failed} of {len(test.measurements)} did."


def _measurements(test: TestRecord) -> tuple[MeasurementView, ...]:
    """The measurements; those that a working negative control made fail are told from failures of the product."""
    views = measurement_views(test.measurements)
    if not (test.negative_control and test.outcome is Outcome.PASS):
        return views
    return tuple(
        replace(view, verdict="FAIL, intended", style="control") if view.style == "fail" else view
        for view in views
    )


def _paragraphs(docstring: str) -> str:
    """Docstrings are wrapped for source code: only the breaks between their paragraphs mean something."""
    return "\n\n".join(one_line(paragraph) for paragraph in docstring.split("\n\n") if paragraph.strip())


def _link(view: TestView) -> LinkView:
    return LinkView(view.anchor, view.name, view.verdict, view.style, view.headline)


def _attention(record: RunRecord, links: Sequence[LinkView]) -> tuple[LinkView, ...]:
    """Tests that a person should look at, the worst first."""
    pairs = zip(record.tests, links, strict=True)
    rows = [(WORST_FIRST.index(test.outcome), link) for test, link in pairs]
    limit = WORST_FIRST.index(Outcome.MARGINAL)
    return tuple(link for rank, link in sorted(rows, key=lambda row: row[0]) if rank <= limit)


def _plan(record: RunRecord, links: Sequence[LinkView]) -> tuple[PlanView, ...]:
    """Coverage of the test plan, by plan ID: the worst of the tests that cite it, negative controls among them."""
    by_id: dict[str, list[tuple[Outcome, LinkView]]] = {}
    for test, link in zip(record.tests, links, strict=True):
        for plan_id in test.plan_ids:
            by_id.setdefault(one_line(plan_id), []).append((test.outcome, link))
    rows = []
    for plan_id, found in sorted(by_id.items()):
        worst = _worst(outcome for outcome, _ in found)
        rows.append(PlanView(plan_id, worst.value, STYLES[worst], _cases(found)))
    return tuple(rows)


def _cases(found: Sequence[tuple[Outcome, LinkView]]) -> tuple[LinkView, ...]:
    """One link a test function, to the worst of its parameters."""
    by_name: dict[str, list[tuple[Outcome, LinkView]]] = {}
    for outcome, link in found:
        by_name.setdefault(link.name.partition(" [")[0], []).append((outcome, link))
    links = []
    for name, cases in by_name.items():
        _, link = min(cases, key=lambda case: WORST_FIRST.index(case[0]))
        links.append(link if len(cases) == 1 else replace(link, name=f"{name} ({len(cases)} cases)"))
    return tuple(links)


def _file_of(test: TestRecord) -> str:
    return test.nodeid.partition("::")[0]


def _facts(record: RunRecord) -> tuple[FactView, ...]:
    facts = [
        ("Fabric", f"{record.fabric} ({_in_words(stamp)})" if (stamp := stamp_of(record)) else record.fabric),
        (
            "Topology",
            ", ".join(sorted({test.topology for test in record.tests if test.topology})) or record.topology,
        ),
        ("Seed", str(record.seed)),
        ("Started", _moment(record.started)),
        ("Elapsed", _elapsed(record)),
        ("Run", record.run_id),
        ("Command", " ".join(shell_word(one_line(word)) for word in record.command)),
    ]
    return tuple(FactView(name, one_line(text)) for name, text in facts if text)


def _defects(record: RunRecord) -> list[str]:
    """What a reader must know of devices that misbehave on purpose: a FAIL here is what the session is for."""
    if not record.defects:
        return []
    return [f"Defective on purpose: the devices of this fabric have {', '.join(record.defects)}."]


def _in_words(stamp: str) -> str:
    return " ".join(word if word == "RoCE" else word.lower() for word in stamp.split())


def _moment(text: str) -> str:
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    except ValueError:
        return text


def _elapsed(record: RunRecord) -> str:
    if record.finished is None:
        return "cut short"
    try:
        seconds = datetime.fromisoformat(record.finished) - datetime.fromisoformat(record.started)
    except (ValueError, TypeError):
        return ""
    return duration(seconds.total_seconds())
