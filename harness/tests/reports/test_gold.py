from __future__ import annotations

from pathlib import Path

import pytest

from harness.tests.reports import gold


@pytest.mark.parametrize("name", gold.names())
def test_a_report_is_what_it_was(name: str, tmp_path: Path) -> None:
    expected = gold.FOLDER / name
    assert expected.exists(), "write it with: python -m harness.tests.reports.gold"
    assert gold.files_of(gold.write(name, tmp_path)) == gold.files_of(expected)


def test_no_gold_file_is_left_of_a_format_that_is_gone() -> None:
    assert sorted(path.name for path in gold.FOLDER.iterdir()) == sorted(gold.names())
