"""Time series of a run, loaded when they are looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import ConfigError, suggestion
from harness.core.evidence import Missing, NoDataError

Array = NDArray[Any]

NO_TIME = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Samples by column over time: `values[i, j]` is column j at `time_ps[i]`.

    A series that was not recorded has `missing` set, no samples, and gives Missing for every figure.
    """

    name: str
    unit: str
    time_ps: Array
    columns: tuple[str, ...]
    values: Array
    missing: Missing | None = None
    file: Path | None = None

    @classmethod
    def absent(cls, name: str, reason: str) -> Series:
        """Return a series without data."""
        return cls(name, "", NO_TIME, (), np.zeros((0, 0)), Missing(reason))

    def column(self, name: str) -> Array:
        """Return one column's samples.

        Raises ConfigError when there is no such column, NoDataError when the series was not recorded.
        """
        if self.missing is not None:
            raise NoDataError(f"no data: {self.missing.reason}")
        if name not in self.columns:
            hint = suggestion(name, self.columns, "columns are")
            raise ConfigError(f"series {self.name!r} has no column {name!r}", hint=hint)
        return np.asarray(self.values[:, self.columns.index(name)])

    def between(self, start_ps: int = 0, end_ps: int | None = None) -> Series:
        """Return the samples from `start_ps` on and before `end_ps`."""
        end = np.iinfo(np.int64).max if end_ps is None else end_ps
        chosen = (self.time_ps >= start_ps) & (self.time_ps < end)
        if self.missing is None and not chosen.any():
            return Series.absent(self.name, f"no samples of {self.name} from {start_ps} to {end_ps} ps")
        return Series(
            self.name,
            self.unit,
            self.time_ps[chosen],
            self.columns,
            self.values[chosen],
            self.missing,
            self.file,
        )

    def max(self, column: str | None = None) -> float | Missing:
        """Return the highest sample, of one column or of all."""
        return self._figure(np.max, column)

    def min(self, column: str | None = None) -> float | Missing:
        """Return the lowest sample, of one column or of all."""
        return self._figure(np.min, column)

    def mean(self, column: str | None = None) -> float | Missing:
        """Return the mean of the samples, of one column or of all."""
        return self._figure(np.mean, column)

    def percentile(self, percent: float, column: str | None = None) -> float | Missing:
        """Return a percentile (0 to 100) of the samples, of one column or of all."""
        return self._figure(lambda samples: np.percentile(samples, percent), column)

    def last(self, column: str) -> float | Missing:
        """Return the last sample of a column: the end value of a cumulative one."""
        return self._figure(lambda samples: samples[-1], column)

    def _figure(self, reduce: Any, column: str | None) -> float | Missing:
        if self.missing is not None:
            return self.missing
        if column is not None and column not in self.columns:
            return Missing(f"series {self.name} has no column {column!r}")
        samples = self.values if column is None else self.column(column)
        if samples.size == 0:
            return Missing(f"series {self.name} has no samples")
        figure = float(reduce(samples))
        return (
            figure if np.isfinite(figure) else Missing(f"series {self.name} holds values that are not finite")
        )


@dataclass(frozen=True, slots=True)
class SeriesSet(Mapping[str, Series]):
    """The series of a run by name; one that was not recorded is a Series without data."""

    folder: Path | None
    tables: Mapping[str, Mapping[str, Any]]
    time_file: str = ""
    reason: str = "no series were recorded"
    _loaded: dict[str, Series] = field(default_factory=dict)

    @classmethod
    def of_result(cls, series: Mapping[str, Any] | None, folder: Path | None) -> SeriesSet:
        """Read the `series` object of a result; its files are in `folder`."""
        if series is None:
            return cls(None, {}, reason="the run recorded no series (sample_every 0 or no folder)")
        if folder is None:
            return cls(None, {}, reason="the folder with the series is not known")
        return cls(folder, dict(series.get("tables", {})), str(series.get("time_file", "")))

    def __getitem__(self, name: str) -> Series:
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def _load(self, name: str) -> Series:
        table = self.tables.get(name)
        if table is None or self.folder is None:
            known = f"; there are {', '.join(self.tables)}" if self.tables else ""
            return Series.absent(
                name, f"{self.reason}{known}" if not self.tables else f"no series {name!r}{known}"
            )
        time_ps = _array(self.folder / self.time_file)
        values = _array(self.folder / str(table.get("file", "")))
        columns = tuple(table.get("columns", ()))
        if isinstance(time_ps, Missing) or isinstance(values, Missing):
            return Series.absent(
                name, next(each.reason for each in (time_ps, values) if isinstance(each, Missing))
            )
        if values.shape != (len(time_ps), len(columns)):
            return Series.absent(
                name, f"series {name} has shape {values.shape}, not {len(time_ps)} x {len(columns)}"
            )
        return Series(
            name, str(table.get("unit", "")), time_ps, columns, values, None, self.folder / table["file"]
        )


def _array(path: Path) -> Array | Missing:
    """Map a .npy file; whatever is wrong with it is Missing data."""
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        return Missing(f"cannot read {path.name}: {error}")
    return array
