from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from harness.core.evidence import Missing
from harness.core.measure import at_least, measure
from harness.core.record_files import RecordWriter
from harness.core.record_schema import record_schema
from harness.tests.reports import hostile, sample
from reports.joined import join

SCHEMA = record_schema()
PAGE = Path(__file__).resolve().parents[3] / "docs/record-format.md"


def mistakes(document: object, definition: str = "RunRecord") -> list[str]:
    schema = {"$ref": f"#/$defs/{definition}", "$defs": SCHEMA["$defs"]}
    return [error.message for error in Draft202012Validator(schema).iter_errors(document)]


def plain(record) -> Any:
    return json.loads(json.dumps(record.to_json(), allow_nan=False))


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["title"] == "Record of a test session, format 1"


@pytest.mark.parametrize(
    "record",
    [
        sample.record(),
        sample.record(tests=(), finished=None, problems=("cut",)),
        join([("a", sample.record()), ("b", sample.record())]),
        hostile.record("text"),
    ],
    ids=["sample", "empty", "joined", "hostile"],
)
def test_records_meet_it(record) -> None:
    assert mistakes(plain(record)) == []


def test_values_of_every_kind_meet_it() -> None:
    values = (1, 1.5, None, Missing("gone"), math.nan, math.inf, -math.inf)
    measured = tuple(measure("x", value, at_least(1)) for value in values)
    test = replace(sample.record().tests[1], measurements=measured)
    assert mistakes(plain(sample.record(tests=(test,)))) == []


def test_lines_of_a_journal_are_tests(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "record.jsonl", sample.record(tests=())) as writer:
        for test in sample.record().tests:
            writer.add(test)
    _, *lines = (tmp_path / "record.jsonl").read_text().splitlines()
    assert len(lines) == len(sample.record().tests)
    assert [mistakes(json.loads(line), "TestRecord") for line in lines] == [[]] * len(lines)


def changed(**fields: object) -> Any:
    return {**plain(sample.record()), **fields}


@pytest.mark.parametrize(
    "document",
    [
        changed(format=2),
        changed(seed="one"),
        changed(tests=[{"nodeid": "x", "outcome": "GREEN"}]),
        changed(tests=[{"outcome": "PASS"}]),
        changed(
            tests=[{**plain(sample.record())["tests"][0], "measurements": [{"name": "x", "value": "high"}]}]
        ),
        {key: value for key, value in changed().items() if key != "simulated"},
        [],
    ],
)
def test_it_refuses_what_is_none(document: object) -> None:
    assert mistakes(document)


def test_every_key_is_described() -> None:
    text = PAGE.read_text(encoding="utf-8")
    keys = {
        key
        for name in ("RunRecord", "TestRecord", "Measurement", "ScenarioRecord", "SeriesRecord", "Limit")
        for key in SCHEMA["$defs"][name]["properties"]
    }
    assert sorted(key for key in keys if f"`{key}`" not in text) == []
