from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.core import record_files
from harness.core.record import RunRecord
from harness.core.record_files import RecordWriter
from harness.tests.cli.conftest import Roce
from harness.tests.reports import sample
from reports import reporter


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """The folder of a session, as pytest leaves it."""
    return leave(tmp_path / "monday", sample.record())


def leave(folder: Path, record: RunRecord) -> Path:
    with RecordWriter(folder / "record.jsonl", record) as writer:
        for test in record.tests:
            writer.add(test)
        writer.finish(record.finished or "2026-01-02T04:00:00+00:00")
    record_files.save(record, folder / "record.json")
    return folder


@pytest.mark.parametrize("kind", reporter.names())
@pytest.mark.parametrize("form", ["", "record.json", "record.jsonl"])
def test_every_format_comes_from_every_form_of_a_record(
    roce: Roce, session: Path, kind: str, form: str, tmp_path: Path
) -> None:
    said = roce("report", session / form, "--format", kind, "-o", tmp_path / "deep/out")
    assert (said.code, said.out) == (0, f"wrote {tmp_path / 'deep/out'}\n")
    assert (tmp_path / "deep/out").exists()


@pytest.mark.parametrize("kind", ["md", "junit", "json", "bounds", "terminal"])
def test_without_a_name_it_goes_to_standard_output(roce: Roce, session: Path, kind: str) -> None:
    said = roce("report", session, "--format", kind)
    assert (said.code, said.err) == (0, "")
    assert "incast" in said.out
    assert "\x1b" not in said.out


def test_without_anything_it_is_for_the_terminal(roce: Roce, session: Path) -> None:
    assert roce("report", session).out == roce("report", session, "--format", "terminal").out


def test_a_folder_needs_a_name(roce: Roce, session: Path) -> None:
    said = roce("report", session, "--format", "allure")
    assert said.code == 2
    assert "the Allure report is a folder: name it with -o" in said.err


@pytest.mark.parametrize(
    ("name", "begin"), [("a.md", "## RoCE"), ("a.json", "{"), ("a.txt", "SIMULATED"), ("a.html", "<!DOCTYPE")]
)
def test_the_end_of_the_name_says_the_format(
    roce: Roce, session: Path, tmp_path: Path, name: str, begin: str
) -> None:
    assert roce("report", session, "-o", tmp_path / name).code == 0
    assert (tmp_path / name).read_text().startswith(begin)


def test_sessions_are_joined_under_their_names(roce: Roce, session: Path, tmp_path: Path) -> None:
    tuesday = leave(tmp_path / "tuesday", sample.record(seed=2))
    said = roce("report", f"fw 1={session}", f"fw 2={tuesday}", "--format", "json")
    record = RunRecord.from_json(json.loads(said.out))
    assert [(run.run_id, run.seed) for run in record.joined] == [("fw 1", 1), ("fw 2", 2)]
    assert {test.run for test in record.tests} == {"fw 1", "fw 2"}


def test_a_name_with_an_equal_sign_is_a_place_where_there_is_one(roce: Roce, tmp_path: Path) -> None:
    folder = leave(tmp_path / "a=b", sample.record())
    said = roce("report", folder, "--format", "json")
    assert RunRecord.from_json(json.loads(said.out)) == sample.record()


def test_the_newer_form_is_taken(roce: Roce, session: Path) -> None:
    """A session that was killed leaves a journal beside the document of the session before it."""
    with RecordWriter(session / "record.jsonl", sample.record(run_id="killed")) as writer:
        writer.add(sample.record().tests[0])
    os.utime(session / "record.json", (1, 1))
    said = roce("report", session, "--format", "md")
    assert "killed" in said.out
    assert "the session did not come to its end" in said.out


def test_the_record_is_never_overwritten(roce: Roce, session: Path) -> None:
    for output in (session / "record.json", session / "record.jsonl"):
        before = output.read_bytes()
        said = roce("report", session, "--format", "json", "-o", output)
        assert said.code == 2
        assert "would replace the record that it is made from" in said.err
        assert output.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "cannot read the record: No such file or directory"),
        ([], "Missing argument '[NAME=]RECORD...'"),
        (
            ["{session}", "--format", "pdf"],
            "unknown report format (value 'pdf'); there are allure, bounds, html",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    roce: Roce, session: Path, arguments: list[str], told: str
) -> None:
    said = roce("report", *(argument.format(session=session) for argument in arguments))
    assert said.code == 2
    assert told in said.err
    assert said.err.count("\n") == 1


def test_the_schema_of_a_record_is_printed(roce: Roce) -> None:
    schema = json.loads(roce("schema", "record").out)
    assert schema["$ref"] == "#/$defs/RunRecord"
    assert schema["$defs"]["RunRecord"]["properties"]["format"] == {"const": 1}
