"""A record whose every text means harm: to pages, terminals, tables, XML, shells, spreadsheets and eyes."""

from __future__ import annotations

from dataclasses import replace

from harness.core.evidence import Missing
from harness.core.measure import at_least, equals, measure
from harness.core.record import Figure, Outcome, RunRecord, TestRecord
from harness.tests.reports import sample

MARKER = "zq9"
"""Occurs in every hostile text, to see that it was shown at all."""

HARM = (
    f"{MARKER}<script>alert(1)</script><img src=x onerror=alert(2)>\"'`]]>--> | # "
    "\x1b[31m\x07\x00\x9b\u202e\u2066\ufeff\ud800{{ 7*7 }}{% x %}&amp;&#x3c; "
    "![i](http://evil.example/p.png) [t](javascript:alert(3)) @someone\r\n::set-output a\n=1+1"
)
MEGABYTE = f"{MARKER}<b>|" * 120_000


def one_test(text: str, outcome: Outcome, number: int) -> TestRecord:
    run = replace(
        sample.run(),
        title=text, scenario=text, topology=text, ended=text, events=(text,), invalid_reasons=(text,),
        figures=(Figure(text, 1.0, text), Figure(text, Missing(text))),
        series=(sample.table(text, text, [text], [0, 1e6], [[1.0, 2.0]]),),
    )  # fmt: skip
    measurements = (
        measure(text, 1, equals(2), text, evidence=text, source=text),
        measure(text, Missing(text), at_least(1), text, evidence=text),
    )
    return TestRecord(
        f"{text}/{number}.py::{text}[{text}]", outcome, (text,), text, {text: text}, measurements, (run,),
        {"setup": 0.1, "call": 0.2, "teardown": 0.1}, control=text, catches=((text, text),),
        lab_fault=text if outcome is Outcome.LAB_FAULT else None,
        skipped=text if outcome is Outcome.SKIPPED else None,
        message=f"{text}\n{text}", simulated=True, topology=text,
    )  # fmt: skip


def record(text: str, outcomes: tuple[Outcome, ...] = tuple(Outcome)) -> RunRecord:
    tests = tuple(one_test(text, outcome, number) for number, outcome in enumerate(outcomes))
    control = replace(tests[0], nodeid=f"control.py::{text}", negative_control=True)
    return sample.record(
        run_id=text, fabric=text, topology=text, versions={text: text}, command=(text,), problems=(text,),
        defects=(text,), tests=(*tests, control),
    )  # fmt: skip
