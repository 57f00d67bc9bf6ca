"""What every format prints of one canned record, kept as files: a change of a report is seen before it is sent.

    python -m harness.tests.reports.gold

writes the files again; look at `git diff` before you commit them.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

from harness.core.measure import at_least, measure
from harness.core.record import Outcome, RunRecord, SeriesRecord
from harness.tests.reports import sample
from reports import reporter
from reports.joined import join

FOLDER = Path(__file__).with_name("gold")
_EVERY = 50
# What is not ours to judge, and changes with each release of what draws charts: script, style, paths of lines.
_LARGE = re.compile(
    r'(<(script|style)\b[^>]*>).*?(</\2>)|(\sd=")[^"]{200,}(")|(content=")[^"]*sha256-[^"]*(")', re.DOTALL
)


def gold_record() -> RunRecord:
    """The sample with a sample of its series in fifty."""
    tests = [
        replace(test, runs=tuple(replace(run, series=tuple(map(_thin, run.series))) for run in test.runs))
        for test in sample.record().tests
    ]
    return sample.record(tests=tuple(tests))


def two_records() -> RunRecord:
    """The same on two firmwares, of which the second heals and breaks a test each."""
    record = gold_record()
    first, second, *_ = record.tests
    better = measure(
        "goodput", 97.5, at_least(95), "Gb/s", evidence="run 1", source="max-min share at line rate"
    )
    fewer = measure("pause frames sent", 0, at_least(1), "frames", evidence="run 1")
    swapped = (
        replace(first, outcome=Outcome.PASS, message="", measurements=(better,)),
        replace(
            second,
            outcome=Outcome.FAIL,
            measurements=(fewer,),
            message="outside the limit: pause frames sent 0 frames (limit ≥ 1 frames)",
        ),
    )
    old = replace(record, versions={**record.versions, "NIC firmware": "28.39"})
    new = replace(record, tests=swapped, seed=2, versions={**record.versions, "NIC firmware": "28.42"})
    return join([("fw-28.39", old), ("fw-28.42", new)])


def names() -> list[str]:
    """Names of the gold files and folders."""
    return [_name(kind, which) for which in ("one", "two") for kind in reporter.names()]


def write(name: str, folder: Path) -> Path:
    """Write one report into a folder, as it is compared."""
    which, kind = name.split(".")[:2]
    record = gold_record() if which == "one" else two_records()
    path = reporter.write_report(reporter.load(kind), record, folder / name)
    if kind == "html":
        path.write_text(_LARGE.sub(r"\1\3\4\5\6\7", path.read_text(encoding="utf-8")), encoding="utf-8")
    return path


def files_of(path: Path) -> dict[str, str]:
    """Names and texts of a report that is a file or a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def _name(kind: str, which: str) -> str:
    suffix = getattr(reporter.load(kind), "suffix", "")
    return f"{which}{suffix}" if suffix == f".{kind}" else f"{which}.{kind}{suffix}"


def _thin(series: SeriesRecord) -> SeriesRecord:
    values = tuple(column[::_EVERY] for column in series.values)
    return replace(series, time_ps=series.time_ps[::_EVERY], values=values)


def main() -> None:
    """Write all gold files again."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name in names():
        write(name, FOLDER)


if __name__ == "__main__":
    main()
