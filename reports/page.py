"""From a run record to the words and places of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import zip_longest

from harness.core.measure import Measurement, Verdict
from harness.core.record import Outcome, RunRecord, TestRecord
from reports.live import Points, points_for
from reports.measurements import measurement_views, relative_margin, worst_first
from reports.outcomes import STYLES, WORST_FIRST, worst
from reports.plan import plan_views, summary_of
from reports.runs import run_view
from reports.sessions import sessions_view
from reports.steps import step_views
from reports.text import clean, count, duration, one_line, shell_word, shorten
from reports.trim import trimmed
from reports.view import CountView, FactView, LinkView, MeasurementView, PageView, RowView, TestView

STAMP = "SIMULATED"
SOFTWARE_STAMP = "SOFTWARE RoCE"
_MEANINGS = {
    STAMP: "no frame of this run crossed real hardware",
    SOFTWARE_STAMP: "real verbs on NICs made of software; speeds say nothing about hardware",
}
_DRIVERS, _SOFTWARE_DRIVERS = "RDMA drivers", frozenset({"rxe", "siw"})
TITLE = "RoCE fabric validation"

# A page of few tests shows all evidence at once; a long one folds away what passed.
_UNFOLD_ALL_UP_TO = 8
# Opened tests draw their charts: where very many failed, the first of them are opened.
_UNFOLD_BAD_UP_TO = 12
# Tests listed first; a session with more of them has its table to sort and filter.
_MAX_ATTENTION = 30
# Rows of the table of measurements that are shown at first, and after each search: see `page.js`.
ROWS_AT_FIRST = 60
# Room for names and texts from elsewhere, in characters; longer ones are cut and say so.
_NAME_ROOM, _TEXT_ROOM, _MESSAGE_ROOM = 240, 4_000, 20_000


def page_view(record: RunRecord) -> PageView:
    """Build the whole page, file by file."""
    # Workers finish in any order; a reader wants the tests of a file together.
    record = replace(record, tests=tuple(trimmed(test) for test in sorted(record.tests, key=_file_of)))
    points = points_for(record)
    tests = tuple(view_of(record, test, number, points) for number, test in enumerate(record.tests, 1))
    tests = _unfolded(record, tests)
    links = [_link(view) for view in tests]
    attention = _attention(record, links)
    plan = plan_views(zip(record.tests, links, strict=True))
    more = len(attention) - _MAX_ATTENTION
    return PageView(
        title=TITLE,
        stamp=stamp_of(record),
        conclusion=conclusion(record),
        style=STYLES[worst_outcome(record)] if record.tests else "invalid",
        counts=count_views(record),
        facts=_facts(record),
        tools=tuple(_fact(name, text) for name, text in record.versions.items()),
        warnings=tuple(shorten(clean(warning), _TEXT_ROOM) for warning in record.problems),
        attention=attention[:_MAX_ATTENTION],
        more_attention=f"and {count(more, 'more test')}: filter the tables by verdict" if more > 0 else "",
        plan=plan,
        plan_summary=summary_of(plan),
        rows=_rows(record, tests),
        tests=tests,
        defects=_defects(record),
        sessions=sessions_view(record),
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
    """The outcome that speaks for the session: the worst of what ran; PASS for one without tests."""
    outcomes = [test.outcome for test in record.tests]
    return worst([outcome for outcome in outcomes if outcome is not Outcome.SKIPPED] or outcomes)


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


def view_of(record: RunRecord, test: TestRecord, number: int, points: Points | None = None) -> TestView:
    """Format one test; `number` makes its anchor on the page."""
    headline, _, message = clean(test.message[: 2 * _MESSAGE_ROOM]).partition("\n")
    session = record.session_of(test)
    where = (session.fabric, test.topology or session.topology, f"seed {session.seed}")
    return TestView(
        anchor=f"t{number}",
        name=shorten(name_of(test), _NAME_ROOM),
        nodeid=shorten(one_line(test.nodeid), _TEXT_ROOM),
        verdict=test.outcome.value,
        style=STYLES[test.outcome],
        headline=shorten(headline.strip(), _TEXT_ROOM),
        criterion=shorten(_paragraphs(test.docstring), _TEXT_ROOM),
        plan_ids=tuple(shorten(one_line(plan_id), 60) for plan_id in test.plan_ids),
        control=_control(test),
        defects=tuple(shorten(one_line(f"{defect}, by {name}"), _NAME_ROOM) for defect, name in test.catches),
        kind="control" if test.negative_control else "claim",
        session=shorten(one_line(test.run), 60),
        tightest=_tightest(test),
        fabric=" · ".join(shorten(one_line(text), _NAME_ROOM) for text in where if text),
        duration=duration(sum(test.durations_s.values())) if test.durations_s else "",
        parameters=", ".join(
            shorten(one_line(f"{name} {value}"), _NAME_ROOM) for name, value in test.parameters.items()
        ),
        steps=step_views(test),
        message=shorten(message.strip("\n"), _MESSAGE_ROOM),
        measurements=_measurements(session, test),
        runs=tuple(run_view(run, test, points) for run in test.runs),
        repeat=shorten(repeat_command(session, test), _TEXT_ROOM),
        simulated=test.simulated,
        unfold=False,
    )


def _unfolded(record: RunRecord, views: Sequence[TestView]) -> tuple[TestView, ...]:
    """Open what a reader came for: all of a few tests, of many the first that did not pass."""
    every = len(views) <= _UNFOLD_ALL_UP_TO
    left, unfolded = _UNFOLD_BAD_UP_TO, []
    for test, view in zip(record.tests, views, strict=True):
        bad = not test.outcome.is_good or test.outcome is Outcome.MARGINAL
        unfolded.append(replace(view, unfold=every or (bad and left > 0)))
        left -= bad
    return tuple(unfolded)


def _tightest(test: TestRecord) -> str:
    """The measurement nearest to its limit, for the line that a folded test shows."""
    margins = [(margin, each) for each in test.measurements if (margin := relative_margin(each)) is not None]
    if not margins or test.negative_control:
        return ""
    _, nearest = min(margins, key=lambda pair: pair[0])
    (view,) = measurement_views([nearest])
    return f"{shorten(view.name, _NAME_ROOM)} {view.margin}"


def _rows(record: RunRecord, views: Sequence[TestView]) -> tuple[RowView, ...]:
    """All measurements of all tests, the worst first; anchors are those of the tests with a number."""
    rows: list[tuple[tuple[int, float], Measurement, RowView]] = []
    for test, view in zip(record.tests, views, strict=True):
        pairs = zip(worst_first(test.measurements), view.measurements, strict=True)
        for number, (measured, shown) in enumerate(pairs, 1):
            margin = relative_margin(measured)
            rank = -1 if shown.style == "control" else measured.verdict.rank  # after all that passed
            verdict = "PASS" if shown.style == "control" else measured.verdict.value
            row = RowView(
                anchor=f"{view.anchor}-m{number}",
                test=view.name,
                session=view.session,
                test_anchor=view.anchor,
                kind=view.kind,
                verdict=verdict,
                order="",
                margin_order="",
                late=False,
                measurement=shown,
            )
            rows.append(((-rank, float("inf") if margin is None else margin), measured, row))
    rows.sort(key=lambda each: each[0])
    ranks = {margin: str(rank) for rank, margin in enumerate(sorted({key[1] for key, _, _ in rows}))}
    return tuple(
        replace(row, order=str(place), margin_order=ranks[key[1]], late=place >= ROWS_AT_FIRST)
        for place, (key, _, row) in enumerate(rows)
    )


def name_of(test: TestRecord) -> str:
    """The name of a test as a phrase: "test_incast_loses_nothing[8]" reads "incast loses nothing [8]"."""
    whole = one_line(shorten(test.nodeid, _TEXT_ROOM))
    name = whole.rpartition("::")[2] or whole
    function, bracket, parameters = name.partition("[")
    words = function.removeprefix("test_").replace("_", " ").strip()
    return f"{words} {bracket}{parameters}" if bracket else words


def repeat_command(record: RunRecord, test: TestRecord) -> str:
    """The command line that runs this test again under the same conditions."""
    options = ["--fabric", record.fabric, "--topology", record.topology, *_as_said("--site", record.command)]
    options += _as_said("--engine", record.command)
    options += ["--seed", str(record.seed)]
    options += [word for defect in record.defects for word in ("--defect", defect)]
    return " ".join(shell_word(one_line(word)) for word in ("pytest", test.nodeid, *options))


def _as_said(option: str, command: Sequence[str]) -> list[str]:
    """An option as the session had it, in either spelling; nothing when it had none."""
    for word, following in zip_longest(command, command[1:], fillvalue=""):
        if word == option:
            return [option, following]
        if word.startswith(f"{option}="):
            return [word]
    return []


def _control(test: TestRecord) -> str:
    """What a negative control breaks, and how to read its measurements."""
    if not test.negative_control:
        return ""
    failed = sum(measurement.verdict is Verdict.FAIL for measurement in test.measurements)
    broken = shorten(one_line(test.control), _TEXT_ROOM) or "Something is broken on purpose"
    if not test.measurements:
        return f"{broken}: at least one measurement must fail."
    return f"{broken}: at least one measurement must fail; {failed} of {len(test.measurements)} did."


def _measurements(record: RunRecord, test: TestRecord) -> tuple[MeasurementView, ...]:
    """The measurements; those that a working negative control made fail are told from failures of the product.

    So are those that a defect of its devices was to make fail.
    """
    intended = "FAIL, intended" if test.negative_control and test.outcome is Outcome.PASS else ""
    caught = {name for defect, name in test.catches if defect in record.defects}
    return tuple(
        replace(view, verdict=intended or "FAIL, the defect", style="control")
        if view.style == "fail" and (intended or view.name in caught)
        else view
        for view in measurement_views(test.measurements)
    )


def _paragraphs(docstring: str) -> str:
    """Docstrings are wrapped for source code: only the breaks between their paragraphs mean something."""
    return "\n\n".join(one_line(paragraph) for paragraph in docstring.split("\n\n") if paragraph.strip())


def _link(view: TestView) -> LinkView:
    return LinkView(view.anchor, view.name, view.verdict, view.style, view.headline, view.session)


def _attention(record: RunRecord, links: Sequence[LinkView]) -> tuple[LinkView, ...]:
    """Tests that a person should look at, the worst first."""
    pairs = zip(record.tests, links, strict=True)
    rows = [(WORST_FIRST.index(test.outcome), link) for test, link in pairs]
    limit = WORST_FIRST.index(Outcome.MARGINAL)
    return tuple(link for rank, link in sorted(rows, key=lambda row: row[0]) if rank <= limit)


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
    return tuple(_fact(name, text) for name, text in facts if text)


def _fact(name: str, text: str) -> FactView:
    return FactView(shorten(one_line(name), _NAME_ROOM), shorten(one_line(text), _TEXT_ROOM))


def _defects(record: RunRecord) -> str:
    """What a reader must know of devices that misbehave on purpose: a FAIL here is what the session is for."""
    if not record.defects:
        return ""
    names = shorten(one_line(", ".join(record.defects)), _TEXT_ROOM)
    return f"Defective on purpose: the devices of this fabric have {names}."


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
