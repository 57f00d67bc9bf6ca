"""JUnit XML for CI systems, with the four verdicts told apart; docs/reports.md says how."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TextIO
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.core.record import Outcome, RunRecord, TestRecord
from reports.digest import headline_of, views_of, what_is_missing
from reports.measurements import measurement_views
from reports.page import stamp_of
from reports.table import measurement_table
from reports.text import clean, one_line, plain_spaces, shorten

MAX_NAME = 500
MAX_TEXT = 60_000
"""Characters of a name and of a text: GitLab refuses a file above 30 MB, and pages of a megabyte help nobody."""

_TABLE_WIDTH = 100
_FAILURES = (Outcome.FAIL, Outcome.INVALID)
_ERRORS = (Outcome.LAB_FAULT, Outcome.ERROR)
KNOWN_DEVIATION = "KNOWN DEVIATION"


@dataclass(slots=True)
class _Suite:
    """The tests of one file in one session."""

    name: str
    session: RunRecord
    tests: list[TestRecord] = field(default_factory=list)


class JunitReporter:
    """Prints `testsuites`: one `testsuite` a file of tests and session, one `testcase` a test."""

    report_type = "JUnit"
    suffix = ".xml"

    def write(self, record: RunRecord, out: TextIO) -> None:
        """Print the document into `out`."""
        root = _document(record)
        indent(root)
        out.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        out.write(tostring(root, encoding="unicode") + "\n")


def facts_of(test: TestRecord) -> list[tuple[str, str]]:
    """What our records know of a test and JUnit has no place for, as names and values on one line each."""
    facts = [("verdict", test.outcome.value), ("simulated", "true" if test.simulated else "false")]
    facts += [("plan", ", ".join(one_line(plan_id) for plan_id in test.plan_ids))] if test.plan_ids else []
    facts += [("negative_control", one_line(test.control) or "yes")] if test.negative_control else []
    margins = [view for view in measurement_views(test.measurements) if view.margin]
    facts += [("margin", plain_spaces(f"{margins[0].margin} ({margins[0].name})"))] if margins else []
    facts += [("run", one_line(test.run))] if test.run else []
    return [(name, shorten(value, MAX_NAME)) for name, value in facts]


def _document(record: RunRecord) -> Element:
    suites = _suites(record)
    missing = what_is_missing(record)
    root = Element(
        "testsuites", {"name": "RoCE fabric validation", **_totals(record.tests, errors=len(missing))}
    )
    del root.attrib["skipped"]  # the schema has it on suites only
    for suite in suites:
        _add_suite(root, suite)
    if missing:
        _add_missing(root, record, missing)
    return root


def _suites(record: RunRecord) -> list[_Suite]:
    found: dict[tuple[str, str], _Suite] = {}
    for test in record.tests:
        file = test.nodeid.partition("::")[0]
        name = f"{test.run}: {file}" if test.run else file
        suite = found.setdefault((test.run, file), _Suite(name, record.session_of(test)))
        suite.tests.append(test)
    return list(found.values())


def _totals(tests: Sequence[TestRecord], *, errors: int = 0) -> dict[str, str]:
    def amount(outcomes: Sequence[Outcome]) -> int:
        return sum(test.outcome in outcomes for test in tests)

    seconds = sum(sum(test.durations_s.values()) for test in tests)
    return {
        "tests": str(len(tests) + errors),
        "failures": str(amount(_FAILURES)),
        "errors": str(amount(_ERRORS) + errors),
        "skipped": str(amount((Outcome.SKIPPED,))),
        "time": f"{seconds:.3f}",
    }


def _add_suite(root: Element, suite: _Suite) -> None:
    session = suite.session
    element = SubElement(root, "testsuite", {"name": _name(suite.name), **_totals(suite.tests)})
    element.set("timestamp", _name(session.started))
    _add_properties(element, session)
    for test in suite.tests:
        _add_case(element, test)


def _add_properties(suite: Element, session: RunRecord) -> None:
    facts = [
        ("run", session.run_id),
        ("fabric", session.fabric),
        ("stamp", stamp_of(session)),
        ("topology", session.topology),
        ("seed", str(session.seed)),
        ("command", " ".join(session.command)),
        ("defects", ", ".join(session.defects)),
        *((f"version of {name}", text) for name, text in session.versions.items()),
    ]
    properties = SubElement(suite, "properties")
    for name, value in facts:
        if value:
            SubElement(properties, "property", name=_name(name), value=_name(value))


def _add_case(suite: Element, test: TestRecord) -> None:
    seconds = sum(test.durations_s.values())
    case = SubElement(
        suite, "testcase", classname=_classname(test), name=_case_name(test), time=f"{seconds:.3f}"
    )
    headline = headline_of(test)
    if test.outcome in _FAILURES:
        _add_result(case, "failure", test.outcome.value, headline, _why(test))
    elif test.outcome in _ERRORS:
        _add_result(case, "error", test.outcome.value, headline, _why(test))
    elif test.outcome is Outcome.SKIPPED:
        reason = one_line(test.skipped or test.message)
        kind = KNOWN_DEVIATION if "known deviation" in reason else "SKIPPED"
        _add_result(case, "skipped", kind, reason, "")
    SubElement(case, "system-out").text = _output(test)


def _add_result(case: Element, tag: str, kind: str, headline: str, text: str) -> None:
    """A result whose message and text begin with the verdict: not every system shows the type."""
    message = headline if tag == "skipped" else f"{kind}: {headline}"
    SubElement(case, tag, type=kind, message=shorten(message, MAX_NAME)).text = shorten(text, MAX_TEXT)


def _why(test: TestRecord) -> str:
    _, _, details = clean(shorten(test.message, MAX_TEXT)).partition("\n")
    stamp = " (SIMULATED)" if test.simulated else ""
    return "\n".join(filter(None, (f"{test.outcome.value}{stamp}: {headline_of(test)}", details)))


def _output(test: TestRecord) -> str:
    """Facts as `[[PROPERTY|name=value]]`, the criterion, and every measurement."""
    facts = [f"[[PROPERTY|{name}={value.replace(']]', '] ]')}]]" for name, value in facts_of(test)]
    table = measurement_table(views_of(test), _TABLE_WIDTH)
    near = [headline_of(test)] if test.outcome is Outcome.MARGINAL else []
    parts = ["\n".join(facts), clean(shorten(test.docstring, MAX_TEXT)), *near, "\n".join(table)]
    return shorten("\n\n".join(part for part in parts if part), MAX_TEXT)


def _add_missing(root: Element, record: RunRecord, missing: Iterable[str]) -> None:
    """A case that is an error for each thing that is missing, so that a session cut short is never all green."""
    reasons = list(missing)
    amount = str(len(reasons))
    suite = SubElement(
        root, "testsuite", name="the session itself", tests=amount, failures="0", errors=amount
    )
    _add_properties(suite, record)
    for number, reason in enumerate(reasons, 1):
        case = SubElement(suite, "testcase", classname="session", name=f"is complete [{number}]", time="0")
        _add_result(case, "error", "INCOMPLETE", reason, reason)


def _classname(test: TestRecord) -> str:
    """The file as a dotted name, below the session where there are several: systems group by the dots."""
    dotted = one_line(test.nodeid).partition("::")[0].removesuffix(".py").replace("/", ".")
    run = one_line(test.run).replace(".", "_")
    return shorten(f"{run}.{dotted}" if run else dotted, MAX_NAME)


def _case_name(test: TestRecord) -> str:
    whole = one_line(test.nodeid)
    return shorten(whole.partition("::")[2] or whole, MAX_NAME)


def _name(text: str) -> str:
    return shorten(one_line(text), MAX_NAME)


reporter = JunitReporter()
