from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import ConfigError
from harness.core.evidence import Missing
from harness.core.measure import Verdict, approx, at_least, equals, measure
from harness.core.record import (
    Figure,
    Outcome,
    RunRecord,
    ScenarioRecord,
    SeriesRecord,
    TestRecord,
    decode_value,
    encode_value,
)
from harness.core.record_files import RecordWriter, load, save

TEST = TestRecord(
    nodeid="suites/pfc/test_x.py::test_y[2]",
    outcome=Outcome.FAIL,
    plan_ids=("PFC-07",),
    docstring="Nothing is lost.",
    parameters={"senders": "2"},
    measurements=(
        measure("drops", 3, equals(0), "packets", evidence="sw1"),
        measure("goodput", Missing("no counters"), at_least(95), "Gb/s"),
        measure("latency", None, approx(3, abs=1)),
    ),
    runs=(
        ScenarioRecord(
            1,
            "incast",
            "traffic: []",
            "star-9",
            True,
            0.5,
            "done",
            (Figure("goodput", 93.5, "Gb/s"), Figure("x", Missing("y"))),
            ("unfinished: a",),
            ("1 ms: link down",),
            (SeriesRecord("queue_bytes", "B", ("sw1:e1/3",), (0, 10), ((1.0, 2.5),), 20, "q.npy"),),
            "runs/1",
        ),
    ),
    durations_s={"setup": 0.1, "call": 2.0},
    negative_control=True,
    control="no headroom",
    message="drops: 3 is not = 0",
    simulated=True,
    topology="star-9",
)
RUN = RunRecord(
    "r1", "2026-01-01T00:00:00+00:00", "sim", True, "star-9", 7, {"harness": "0.1.0"}, ("pytest",)
)


def journal(path, tests=(TEST, TEST), *, finish=True):
    with RecordWriter(path, RUN) as writer:
        for test in tests:
            writer.add(test)
        return writer.finish("2026-01-01T00:01:00+00:00") if finish else None


def test_a_test_is_the_same_after_json():
    assert TestRecord.from_json(json.loads(json.dumps(TEST.to_json(), allow_nan=False))) == TEST


@given(st.none() | st.text().map(Missing) | st.integers() | st.floats())
def test_every_value_survives_json(value):
    again = decode_value(json.loads(json.dumps(encode_value(value), allow_nan=False)))
    assert type(again) is type(value)
    assert again == value or (isinstance(value, float) and math.isnan(value) and math.isnan(again))


def test_a_value_that_is_no_data_stays_so():
    again = TestRecord.from_json(TEST.to_json())
    assert [each.verdict for each in again.measurements] == [Verdict.FAIL, Verdict.INVALID, Verdict.INVALID]
    assert isinstance(again.measurements[1].value, Missing)


def test_a_journal_and_a_document_give_the_same_record(tmp_path):
    record = journal(tmp_path / "run.jsonl")
    save(record, tmp_path / "run.json")
    assert load(tmp_path / "run.jsonl") == load(tmp_path / "run.json") == record
    assert record.complete
    assert record.counts()[Outcome.FAIL] == 2


def test_each_test_is_on_disk_when_it_was_added(tmp_path):
    writer = RecordWriter(tmp_path / "run.jsonl", RUN)
    writer.add(TEST)
    record = load(tmp_path / "run.jsonl")
    writer.close()
    assert record.tests == (TEST,)
    assert not record.complete
    assert "the session did not come to its end" in record.problems[0]


@pytest.mark.parametrize("cut", [1, 2, 50, 700])
def test_a_journal_cut_in_a_line_keeps_what_is_whole(tmp_path, cut):
    path = tmp_path / "run.jsonl"
    journal(path, finish=False)
    path.write_bytes(path.read_bytes()[:-cut])
    record = load(path)
    assert record.tests == ((TEST, TEST) if cut == 1 else (TEST,))
    assert not record.complete
    assert any("cut" in problem for problem in record.problems) == (cut > 1)


def test_a_journal_can_be_cut_anywhere_behind_its_first_line(tmp_path):
    path = tmp_path / "run.jsonl"
    journal(path)
    whole = path.read_bytes()
    for end in range(whole.index(b"\n") + 1, len(whole) - 1, 37):
        path.write_bytes(whole[:end])
        assert not load(path).complete


def test_a_damaged_line_is_told_and_the_rest_kept(tmp_path):
    path = tmp_path / "run.jsonl"
    journal(path)
    lines = path.read_text().split("\n")
    lines[1] = lines[1][:40]
    path.write_text("\n".join(lines))
    record = load(path)
    assert record.tests == (TEST,)
    assert record.problems == (
        "line 2 is not JSON: what it held is lost",
        "2 tests finished, 1 are in the file",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a record"),
        ("[1, 2]", "not a record of this format"),
        ('{"format": 2}', "not a record of this format.*value 2.*it must be 1"),
        ('{"format": 1}', "run_id: this key is missing"),
        ('{"format": 1, "run_id": NaN}', "not a record"),
        ('{"record": "run", "format": 9}\n', "not a record of this format"),
        ('{"record": "run", "for', "not a record"),
    ],
)
def test_what_is_no_record_is_one_clear_error(tmp_path, text, message):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_places_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    for act in (lambda p: RecordWriter(p, RUN), lambda p: save(RUN, p)):
        with pytest.raises(ConfigError, match="cannot write the record"):
            act(tmp_path / "file" / "run.json")
    with pytest.raises(ConfigError, match="cannot read the record"):
        load(tmp_path / "none.json")


def test_outcomes_have_verdicts_or_none():
    assert Outcome.MARGINAL.verdict is Verdict.MARGINAL
    assert Outcome.LAB_FAULT.verdict is None
    assert [outcome for outcome in Outcome if outcome.is_good] == [
        Outcome.PASS,
        Outcome.MARGINAL,
        Outcome.SKIPPED,
    ]
