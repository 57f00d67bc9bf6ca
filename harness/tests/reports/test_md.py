from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest

from harness.core.record import RunRecord
from harness.tests.reports import hostile, sample
from reports import reporter
from reports.joined import join
from reports.md import MAX_CHARACTERS, MAX_ROWS, cell, escape


def text(record: RunRecord) -> str:
    out = io.StringIO()
    reporter.load("md").write(record, out)
    return out.getvalue()


def section(whole: str, title: str) -> str:
    return whole.partition(f"### {title}\n")[2].partition("###")[0]


def test_it_says_first_what_it_is_and_how_it_ended() -> None:
    lines = text(sample.record()).splitlines()
    assert lines[0] == "## RoCE fabric validation"
    assert lines[2] == "> **SIMULATED: no frame of this run crossed real hardware**"
    assert lines[4] == "> Not passed: 1 FAIL, 1 INVALID, 1 ERROR, 1 LAB FAULT of 7 tests."
    assert "| 2 | 1 | 1 | 1 | 1 | 1 | 1 |" in lines


def test_each_verdict_has_its_table_with_value_and_limit() -> None:
    whole = text(sample.record())
    assert (
        "❌ FAIL | incast stays full \\[8\\] | goodput 88.12 Gb/s | ≥ 95 Gb/s (-7.2 %) | "
        "limit from max-min share at line rate |"
    ) in section(whole, "Needs a person")
    assert "🔧 LAB FAULT | fault |   |   | SimError: cable |" in section(whole, "Needs a person")
    assert "🟣 INVALID | gone | CNPs handled: no data: no such counter here" in section(
        whole, "Without evidence"
    )
    assert "🟡 MARGINAL | near | goodput 96 Gb/s | ≥ 95 Gb/s (+1.1 %)" in section(whole, "Near a limit")
    assert "- 1 test: lacks CAPTURE" in section(whole, "Skipped")


def test_a_negative_control_is_told_apart_and_covers_no_case() -> None:
    whole = text(sample.record())
    assert "1 negative control: 1 saw the fault that was made." in whole
    control = replace(sample.record().tests[4], plan_ids=("PFC-99",))
    alone = text(sample.record(tests=(control,)))
    assert "PFC-99" not in alone
    blind = replace(control, outcome=sample.record().tests[0].outcome)
    assert "FAIL (negative control)" in text(sample.record(tests=(blind,)))


def test_the_plan_shows_the_worst_that_ran_and_what_was_skipped() -> None:
    whole = text(sample.record())
    assert "<summary>Test plan: 4 of 4 cases shown</summary>" in whole
    assert "- ❌ FAIL: INC-01, PFC-07" in whole
    bad, good, *_, skipped = sample.record().tests
    some = (good, replace(skipped, plan_ids=("PFC-07", "LNK-01")), replace(bad, plan_ids=()))
    whole = text(sample.record(tests=some))
    assert "Test plan: 1 of 2 cases shown" in whole
    assert "- ✅ PASS: PFC-07" in whole
    assert "SKIPPED: LNK-01" in whole


def test_defects_and_missing_parts_stand_out() -> None:
    whole = text(sample.record(defects=("marking_off",), problems=("the last line is cut",), finished=None))
    assert "> **Defective on purpose:** marking\\_off" in whole
    assert "- the last line is cut" in section(whole, "What is missing")


def test_long_lists_are_capped_and_counted() -> None:
    bad = sample.record().tests[0]
    whole = text(sample.record(tests=(bad,) * 300))
    assert section(whole, "Needs a person").count("❌") == MAX_ROWS
    assert f"… and {300 - MAX_ROWS} more." in whole


def test_two_sessions_are_shown_side_by_side() -> None:
    bad, good, *_ = sample.record().tests
    healed = replace(bad, outcome=good.outcome, measurements=(replace(bad.measurements[1], value=97.0),))
    record = join([("old", sample.record(tests=(bad, good))), ("new", sample.record(tests=(healed,)))])
    whole = text(record)
    verdicts = section(whole, "Verdicts that differ")
    assert "| test | old | new |" in verdicts
    assert "| incast stays full \\[8\\] | ❌ FAIL | ✅ PASS |" in verdicts
    assert "| good | ✅ PASS | did not run |" in verdicts
    assert "| incast stays full \\[8\\] | goodput | 88.12 Gb/s | 97 Gb/s | 9.2 % |" in section(
        whole, "Values that differ"
    )


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("a|b", "a\\|b"),
        ("<b>&amp;", "\\<b\\>\\&amp;"),
        ("![x](y) `c` *d* _e_ ~f~", "\\!\\[x\\](y) \\`c\\` \\*d\\* \\_e\\_ \\~f\\~"),
        ("two\nlines", "two lines"),
        ("ask @someone", "ask @<!-- -->someone"),
        ("http://x.example", "http<!-- -->://x.example"),
        ("back\\slash", "back\\\\slash"),
        ("\x1b[31m\u202e", "\\\\x1b\\[31m\\\\u202e"),
    ],
)
def test_text_is_shown_as_it_is(given: str, printed: str) -> None:
    assert escape(given) == printed


def test_an_empty_cell_is_still_a_cell() -> None:
    assert cell("") == " "


@pytest.mark.parametrize("hurt", [hostile.HARM, hostile.MEGABYTE], ids=["harm", "megabyte"])
def test_hostile_text_stays_text(hurt: str) -> None:
    whole = text(hostile.record(hurt))
    assert hostile.MARKER in whole
    assert len(whole) < MAX_CHARACTERS + 100
    shown = re.sub(r"</?(details|summary)>|<br>|<!-- -->", "", whole)
    assert not re.search(r"(?<!\\)[<`]", shown)
    assert not re.search(r"(?<!\\)!\[|(?<!\\)\]\(", shown)
    assert "@someone" not in whole
    tables = re.findall(r"(?:^\|.*\n)+", whole, re.MULTILINE)
    for table in tables:
        columns = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(columns) == 1, table[:200]
    for forbidden in ("\x1b", "\x00", "\u202e", "::set-output a\n"):
        assert forbidden not in whole
