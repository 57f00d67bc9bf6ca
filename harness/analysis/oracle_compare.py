"""Compare a run with a reference run, event for event.

Both sides are CSV files with a header, plain or gzip: `flows.csv`, `cc_events.csv`, `pfc_events.csv` of a
run folder against `<name>_fct.csv`, `<name>_ccevents.csv[.gz]`, `<name>_pfc.csv` of a reference folder.
Further columns on either side are ignored. Events are aligned per flow (or per port) in time order, so that
the order of simultaneous events of different flows does not matter, and one lost event does not shift those
of others.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

from harness.core.errors import ConfigError

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """What is compared: the file of a run, the reference's suffixes, key columns, and compared columns."""

    name: str
    run_file: str
    suffixes: tuple[str, ...]
    key: tuple[str, ...]
    values: tuple[str, ...]
    fractions: frozenset[str] = frozenset()  # columns compared as numbers with nine decimals


CC = Kind(
    "cc", "cc_events.csv", ("_ccevents.csv", "_ccevents.csv.gz"), ("src", "dst", "sport"),
    ("t_ps", "event", "target_bps_after", "rate_bps_after", "alpha"), frozenset({"alpha"}),
)  # fmt: skip
PFC = Kind(
    "pfc", "pfc_events.csv", ("_pfc.csv", "_pfc.csv.gz"), ("node", "ifindex"),
    ("t_ns", "node_type", "type_1pause_0resume"),
)  # fmt: skip
FLOWS = Kind(
    "flows", "flows.csv", ("_fct.csv", "_fct.csv.gz"), ("flow",),
    ("src", "dst", "sport", "size_bytes", "start_ns", "fct_ns"),
)  # fmt: skip
KINDS = (FLOWS, CC, PFC)


@dataclass(frozen=True, slots=True)
class Difference:
    """One event that differs: its flow or port, its place there (from 0), both values (None: no event)."""

    key: Row
    index: int
    ours: Row | None
    reference: Row | None

    def __str__(self) -> str:
        where = f"{'/'.join(self.key)} event {self.index}"
        return f"{where}: ours {_shown(self.ours)}, reference {_shown(self.reference)}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A line of the table: events of the reference, ours, and how many differ (missing ones count too)."""

    run: str
    kind: str
    reference: int
    ours: int
    differing: int
    first: Difference | None

    @property
    def equal(self) -> bool:
        """True when every event is the same; an empty reference proves nothing and is never equal."""
        return self.reference > 0 and self.differing == 0


def compare(kind: Kind, ours: Path, reference: Path, *, run: str = "") -> Comparison:
    """Compare two files of one kind. Raises ConfigError for an unreadable file or a missing column."""
    mine, theirs = _grouped(kind, ours), _grouped(kind, reference)
    differences = list(_differences(mine, theirs))
    return Comparison(
        run=run or ours.parent.name,
        kind=kind.name,
        reference=sum(map(len, theirs.values())),
        ours=sum(map(len, mine.values())),
        differing=len(differences),
        first=min(differences, key=_time, default=None),
    )


def compare_run(folder: Path, references: Path, name: str) -> list[Comparison]:
    """Compare a run's folder with all files of reference `name` that exist in the folder `references`.

    Raises ConfigError when there is none, or when the run did not write a file that the reference has.
    """
    found = [(kind, path) for kind in KINDS if (path := _reference(kind, references, name)) is not None]
    if not found:
        raise ConfigError("no reference files of this name", file=references, value=name)
    return [compare(kind, folder / kind.run_file, path, run=name) for kind, path in found]


def format_table(rows: Iterable[Comparison]) -> str:
    """Text table of comparisons: run, kind, events of the reference, ours, differing, first difference."""
    header = ("run", "kind", "reference", "ours", "differing", "first difference")
    cells = [header] + [
        (row.run, row.kind, str(row.reference), str(row.ours), str(row.differing), str(row.first or "-"))
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m harness.analysis.oracle_compare RUN REFERENCES NAME`; 1 when anything differs."""
    parser = argparse.ArgumentParser(description="Compare a run's traces with reference files.")
    parser.add_argument("folder", type=Path, help="folder with flows.csv, cc_events.csv, pfc_events.csv")
    parser.add_argument(
        "references", type=Path, help="folder with NAME_fct.csv, NAME_ccevents.csv.gz, NAME_pfc.csv"
    )
    parser.add_argument("name", help="name of the reference run")
    given = parser.parse_args(arguments)
    try:
        rows = compare_run(given.folder, given.references, given.name)
    except ConfigError as error:
        parser.error(str(error))
    sys.stdout.write(format_table(rows))
    return 0 if all(row.equal for row in rows) else 1


def _reference(kind: Kind, folder: Path, name: str) -> Path | None:
    candidates = (folder / f"{name}{suffix}" for suffix in kind.suffixes)
    return next((path for path in candidates if path.is_file()), None)


def _grouped(kind: Kind, path: Path) -> dict[Row, list[Row]]:
    """Values by flow or port. A flow without a completion time has no line in a reference, so it has none here."""
    groups: dict[Row, list[Row]] = {}
    for key, values in _rows(kind, path):
        if kind is not FLOWS or values[-1]:
            groups.setdefault(key, []).append(values)
    if kind is not FLOWS:
        for events in groups.values():
            # A stable sort: simultaneous events of one flow keep their order.
            events.sort(key=lambda row: int(row[0]))
    return groups


def _rows(kind: Kind, path: Path) -> Iterator[tuple[Row, Row]]:
    try:
        with _open(path) as file:
            reader = csv.reader(file)
            header = next(reader, [])
            key, values = _columns(kind.key, header, path), _columns(kind.values, header, path)
            for row in reader:
                yield (
                    tuple(row[column] for column in key),
                    tuple(_value(kind, header[column], row[column]) for column in values),
                )
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the events: {error}", file=path) from error
    except (IndexError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"a line is not like the header: {error}", file=path) from error


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _columns(names: Sequence[str], header: Sequence[str], path: Path) -> list[int]:
    missing = [name for name in names if name not in header]
    if missing:
        raise ConfigError(
            f"no column {missing[0]}", file=path, line=1, hint=f"columns: {', '.join(header) or 'none'}"
        )
    return [header.index(name) for name in names]


def _value(kind: Kind, column: str, text: str) -> str:
    return f"{float(text):.9f}" if column in kind.fractions else text


def _differences(ours: dict[Row, list[Row]], reference: dict[Row, list[Row]]) -> Iterator[Difference]:
    for key in sorted(ours.keys() | reference.keys()):
        pairs = zip_longest(ours.get(key, ()), reference.get(key, ()))
        yield from (Difference(key, index, *pair) for index, pair in enumerate(pairs) if pair[0] != pair[1])


def _time(difference: Difference) -> tuple[int, Row]:
    times = [int(row[0]) for row in (difference.ours, difference.reference) if row and row[0].isdigit()]
    return min(times, default=0), difference.key


def _shown(row: Row | None) -> str:
    return "nothing" if row is None else " ".join(row)


if __name__ == "__main__":
    sys.exit(main())
