"""Several sessions in one record, such as the same suites on two firmwares, and what differs between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from harness.core.evidence import Missing
from harness.core.record import RunRecord, TestRecord
from reports.text import one_line

MIN_CHANGE = 0.01
"""Part of a value below which a change is not listed. Ours: runs of one fabric spread by about 1 %."""


@dataclass(frozen=True, slots=True)
class Row:
    """One test over all sessions; None where a session did not run it."""

    nodeid: str
    tests: tuple[TestRecord | None, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One measurement over all sessions, and how far its values lie apart as a part of the largest."""

    nodeid: str
    name: str
    unit: str
    values: tuple[float | None, ...]
    part: float


def join(sessions: Sequence[tuple[str, RunRecord]]) -> RunRecord:
    """Return one record of the tests of all named sessions; the same test in several stands side by side.

    A session without a name goes by its run_id; a second one of the same name gets a number. One session alone is
    returned as it is.
    """
    if len(sessions) == 1 and not sessions[0][0]:
        return sessions[0][1]
    parts = _named(part for name, session in sessions for part in _parts(name, session))
    tests = [replace(test, run=part.run_id) for part in parts for test in part.tests]
    places = {nodeid: place for place, nodeid in enumerate(dict.fromkeys(test.nodeid for test in tests))}
    return RunRecord(
        run_id=" + ".join(part.run_id for part in parts),
        started=min((part.started for part in parts), key=_moment),
        finished=_last([part.finished for part in parts]),
        fabric=_each(part.fabric for part in parts),
        simulated=any(part.simulated for part in parts),
        topology=_each(part.topology for part in parts),
        seed=parts[0].seed,
        versions=_versions(parts),
        tests=tuple(sorted(tests, key=lambda test: places[test.nodeid])),
        problems=tuple(f"{part.run_id}: {problem}" for part in parts for problem in part.problems),
        defects=tuple(dict.fromkeys(defect for part in parts for defect in part.defects)),
        joined=tuple(replace(part, tests=()) for part in parts),
    )


def rows(record: RunRecord) -> list[Row]:
    """Return the tests of a joined record, each with its outcome in every session."""
    names = [run.run_id for run in record.joined]
    found: dict[str, dict[str, TestRecord]] = {}
    for test in record.tests:
        found.setdefault(test.nodeid, {})[test.run] = test
    return [Row(nodeid, tuple(by_run.get(name) for name in names)) for nodeid, by_run in found.items()]


def differing(record: RunRecord) -> list[Row]:
    """Return the tests that did not end the same way in all sessions."""
    return [row for row in rows(record) if len({test and test.outcome for test in row.tests}) > 1]


def changes(record: RunRecord) -> list[Change]:
    """Return the measurements whose values differ by `MIN_CHANGE` or more, the largest difference first."""
    found = [change for row in rows(record) for change in _changes(row) if change.part >= MIN_CHANGE]
    return sorted(found, key=lambda change: -change.part)


def _changes(row: Row) -> Iterator[Change]:
    measured = [
        {} if test is None else {each.name: each for each in reversed(test.measurements)}
        for test in row.tests
    ]
    units = {name: each.unit for by_name in measured for name, each in by_name.items()}
    for name, unit in units.items():
        values = tuple(_number(by_name[name].value) if name in by_name else None for by_name in measured)
        there = [value for value in values if value is not None]
        largest = max((abs(value) for value in there), default=0.0)
        if len(there) > 1 and largest > 0:
            yield Change(row.nodeid, name, unit, values, (max(there) - min(there)) / largest)


def _number(value: float | Missing | None) -> float | None:
    if (
        value is None or isinstance(value, Missing) or value - value != 0
    ):  # NaN and infinities have no difference
        return None
    return float(value)


def _parts(name: str, session: RunRecord) -> Iterator[RunRecord]:
    """A session under its name; those of a record that joins several already."""
    if not session.joined:
        yield replace(session, run_id=name or session.run_id)
    for part in session.joined:
        tests = tuple(test for test in session.tests if test.run == part.run_id)
        yield replace(part, run_id=f"{name} {part.run_id}".strip(), tests=tests)


def _named(parts: Iterable[RunRecord]) -> list[RunRecord]:
    taken: dict[str, RunRecord] = {}
    for part in parts:
        name, number = part.run_id, 2
        while name in taken:
            name, number = f"{part.run_id} ({number})", number + 1
        taken[name] = replace(part, run_id=name)
    return list(taken.values())


def _versions(parts: Sequence[RunRecord]) -> dict[str, str]:
    """What every session used, once where it is the same; then a line about each session."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(name for part in parts for name in part.versions):
        texts = [part.versions.get(name, "–") for part in parts]
        same = len(set(texts)) == 1
        found |= (
            {name: texts[0]}
            if same
            else {f"{name} ({part.run_id})": text for part, text in zip(parts, texts, strict=True)}
        )
    return found | {f"run {part.run_id}": _about(part) for part in parts}


def _about(part: RunRecord) -> str:
    words = [part.fabric, part.topology, f"seed {part.seed}", f"started {part.started}"]
    words += [f"defects {', '.join(part.defects)}"] if part.defects else []
    words += [] if part.finished else ["cut short"]
    return one_line(", ".join(word for word in words if word))


def _each(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(text for text in texts if text))


def _last(moments: Sequence[str | None]) -> str | None:
    """The latest end; None when one of the sessions has none."""
    ends = [moment for moment in moments if moment is not None]
    return max(ends, key=_moment) if len(ends) == len(moments) else None


def _moment(text: str) -> tuple[float, str]:
    try:
        return (datetime.fromisoformat(text).timestamp(), text)
    except ValueError:
        return (0.0, text)
