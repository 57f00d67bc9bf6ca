"""What a test session leaves behind: the one thing that reports read.

docs/record-format.md describes the files.

While a session runs, each finished test is one line of JSON appended to a journal, so that what finished is
readable after Ctrl-C or a crash; at the end the whole record is written as one JSON document
(harness.core.record_files).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from harness.core.errors import ConfigError
from harness.core.evidence import Missing
from harness.core.measure import Limit, Measurement, Verdict
from harness.core.network import NetworkRecord
from harness.core.validation import config_error

FORMAT = 1
"""Version of both file formats; a reader refuses others."""


class Outcome(StrEnum):
    """How a test ended: a verdict, or why there is none."""

    PASS = "PASS"  # noqa: S105 - a verdict and no password
    MARGINAL = "MARGINAL"
    FAIL = "FAIL"
    INVALID = "INVALID"
    SKIPPED = "SKIPPED"
    LAB_FAULT = "LAB FAULT"
    ERROR = "ERROR"

    @property
    def verdict(self) -> Verdict | None:
        """The verdict, None when the test came to none."""
        return Verdict[self.name] if self.name in Verdict.__members__ else None

    @property
    def is_good(self) -> bool:
        """Whether nobody needs to look: PASS, MARGINAL and SKIPPED."""
        return self in (Outcome.PASS, Outcome.MARGINAL, Outcome.SKIPPED)


def encode_value(value: float | Missing | None) -> object:
    """Return a value as JSON can hold it.

    That is `{"missing": reason}`, `{"not_finite": "nan"}`, a number or null.
    """
    if isinstance(value, Missing):
        return {"missing": value.reason}
    if isinstance(value, float) and not math.isfinite(value):
        return {"not_finite": str(value)}
    return value


def decode_value(value: object) -> float | int | Missing | None:
    """Return what `encode_value` was given."""
    if isinstance(value, dict) and set(value) == {"missing"}:
        return Missing(str(value["missing"]))
    if (
        isinstance(value, dict)
        and set(value) == {"not_finite"}
        and value["not_finite"] in ("nan", "inf", "-inf")
    ):
        return float(value["not_finite"])
    if value is None or isinstance(value, Missing):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError("not a measured value", value=value)
    return value


Value = Annotated[
    float | int | Missing | None,
    PlainValidator(decode_value),
    PlainSerializer(encode_value, when_used="json"),
]
"""A number, Missing or None."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A headline number of a run, such as goodput."""

    name: str
    value: Value
    unit: str = ""


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A time series reduced to what a chart needs: `values[i]` are the samples of `columns[i]` at `time_ps`.

    `reduced_from` is the number of samples that were recorded; `file` where they are, relative to the record.
    """

    name: str
    unit: str
    columns: tuple[str, ...]
    time_ps: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]
    reduced_from: int = 0
    file: str | None = None


@dataclass(frozen=True, slots=True)
class ScenarioRecord:
    """One scenario that a test executed, and what came back.

    `scenario` is the text a scenario file would hold; `events` are lines for people; `ended` as in the
    result; `network` is what a drawing of the fabric needs, None when the run gave no result. `notes` are sentences
    on how it was made.
    """

    number: int
    title: str
    scenario: str
    topology: str
    simulated: bool
    wall_s: float
    ended: str = ""
    figures: tuple[Figure, ...] = ()
    invalid_reasons: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    series: tuple[SeriesRecord, ...] = ()
    folder: str | None = None
    network: NetworkRecord | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JudgedValue:
    """A Measurement in a file."""

    name: str
    value: Value
    unit: str
    limit: Limit
    verdict: Verdict
    evidence: str = ""
    source: str | None = None
    reason: str | None = None


def _measurement_from(value: object) -> Measurement:
    if isinstance(value, Measurement):
        return value
    judged = _JUDGED.validate_python(value)
    return Measurement(**{each.name: getattr(judged, each.name) for each in fields(judged)})


def _measurement_to(value: Measurement) -> dict[str, Any]:
    judged = JudgedValue(**{each.name: getattr(value, each.name) for each in fields(value)})
    plain: dict[str, Any] = _JUDGED.dump_python(judged, mode="json")
    return plain


_JUDGED: TypeAdapter[JudgedValue] = TypeAdapter(JudgedValue)

Judged = Annotated[
    Measurement, PlainValidator(_measurement_from), PlainSerializer(_measurement_to, when_used="json")
]
"""A Measurement; in a file the keys of JudgedValue."""


@dataclass(frozen=True, slots=True)
class TestRecord:
    """One test: what it claims, what was measured, how it ended.

    Attributes:
        docstring: the pass criterion, as the suite says it.
        durations_s: wall-clock seconds by phase (setup, call, teardown).
        negative_control: the test proves that a check can fail; `control` says what is broken for it.
        catches: pairs of a defect of simulated devices and the measurement that FAILs for it.
        lab_fault: what was wrong with lab, file or tool; None when nothing was.
        skipped: why the test did not run; None when it ran.
        message: what people should read first, "" when there is nothing to say.
        evidence: what was tried to show that the test passes on evidence only (`--prove-evidence`).
        run: which of the runs in `RunRecord.joined` it is from; "" in the record of one session.
        started: when its set-up began, ISO 8601 with a time zone; "" when its process left no word.
    """

    __test__ = False  # pytest collects classes called Test…

    nodeid: str
    outcome: Outcome
    plan_ids: tuple[str, ...] = ()
    docstring: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    measurements: tuple[Judged, ...] = ()
    runs: tuple[ScenarioRecord, ...] = ()
    durations_s: Mapping[str, float] = field(default_factory=dict)
    negative_control: bool = False
    control: str = ""
    catches: tuple[tuple[str, str], ...] = ()
    lab_fault: str | None = None
    skipped: str | None = None
    message: str = ""
    simulated: bool = False
    topology: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""
    started: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        plain: dict[str, Any] = _TEST.dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, data: object) -> TestRecord:
        """Build a record of what `to_json` returned; raise ConfigError when it is something else."""
        try:
            return _TEST.validate_python(data)
        except ValidationError as error:
            raise config_error(error, root="test") from None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One session: where it ran, with what, and its tests in the order they finished.

    `started` and `finished` are ISO 8601 with a time zone; `finished` is None when the session was cut short.
    `problems` says what is missing from a record that was read from a damaged file. `defects` are those that the
    devices of the fabric had on purpose. `evidence` sums up what `--prove-evidence` tried.

    A record may join several sessions: `joined` are those, without their tests, each under the name that its tests
    carry as `run`.
    """

    run_id: str
    started: str
    fabric: str
    simulated: bool
    topology: str = ""
    seed: int = 1
    versions: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    finished: str | None = None
    tests: tuple[TestRecord, ...] = ()
    problems: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    joined: tuple[RunRecord, ...] = ()
    format: int = FORMAT

    @property
    def complete(self) -> bool:
        """Whether the session came to its end and nothing of the record is lost."""
        return self.finished is not None and not self.problems

    def session_of(self, test: TestRecord) -> RunRecord:
        """Return the session that ran a test of this record."""
        return next((run for run in self.joined if run.run_id == test.run), self)

    def counts(self) -> dict[Outcome, int]:
        """Return how many tests ended with each outcome, in the order of Outcome."""
        return {outcome: sum(test.outcome is outcome for test in self.tests) for outcome in Outcome}

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        plain: dict[str, Any] = _RUN.dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, data: object) -> RunRecord:
        """Build a record of what `to_json` returned; raise ConfigError when it is something else."""
        found = data.get("format") if isinstance(data, dict) else None
        if found != FORMAT:
            raise ConfigError(
                "not a record of this format", key="format", value=found, hint=f"it must be {FORMAT}"
            )
        try:
            return _RUN.validate_python(data)
        except ValidationError as error:
            raise config_error(error, root="record") from None


_TEST: TypeAdapter[TestRecord] = TypeAdapter(TestRecord)
_RUN: TypeAdapter[RunRecord] = TypeAdapter(RunRecord)
