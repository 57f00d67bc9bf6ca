"""A finished test as the record keeps it."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.core.measure import Verdict
from harness.core.record import Outcome, TestRecord
from harness.pytest_plugin.journal import Journal, Trouble
from harness.pytest_plugin.markers import catches_of, control_of, plan_ids_of, topology_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

# A traceback of a runaway recursion must not make the report unreadable.
_MAX_MESSAGE = 20_000

_OUTCOMES = {
    Trouble.SKIPPED: Outcome.SKIPPED,
    Trouble.LAB_FAULT: Outcome.LAB_FAULT,
    Trouble.ERROR: Outcome.ERROR,
    Trouble.FAILED: Outcome.FAIL,
}


@dataclass(frozen=True, slots=True)
class Finished:
    """What travels from the process that ran a test to the one that keeps the record.

    `versions` are those of the tools that made the results, as the results say.
    """

    test: TestRecord
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """One line of JSON."""
        return json.dumps({"test": self.test.to_json(), "versions": dict(self.versions)}, allow_nan=False)

    @classmethod
    def from_text(cls, text: str) -> Finished:
        """Read what `to_text` returned."""
        data = json.loads(text)
        return cls(TestRecord.from_json(data["test"]), data["versions"])


def outcome_of(journal: Journal) -> Outcome:
    """How the test ended.

    FAIL and INVALID were decided by measurements, which later trouble (in tear-down) does not undo; a pass does not
    outlive it. A known deviation (xfail) counts as skipped.
    """
    verdict = None if journal.conclusion is None else journal.conclusion.verdict
    if journal.trouble is Trouble.SKIPPED:
        return Outcome.SKIPPED
    if verdict in (Verdict.FAIL, Verdict.INVALID):
        return Outcome[verdict.name]
    if journal.trouble is not None:
        return _OUTCOMES[journal.trouble]
    return Outcome.INVALID if verdict is None else Outcome[verdict.name]


def finished_test(item: pytest.Item, journal: Journal) -> Finished:
    """Join what the suite says about a test with what happened in it."""
    outcome = outcome_of(journal)
    control = control_of(item)
    test = TestRecord(
        nodeid=item.nodeid,
        outcome=outcome,
        plan_ids=plan_ids_of(item),
        docstring=inspect.getdoc(getattr(item, "obj", None)) or "",
        parameters=_parameters(item),
        measurements=tuple(journal.measurements),
        runs=tuple(journal.runs),
        durations_s={phase: round(seconds, 6) for phase, seconds in journal.durations_s.items()},
        negative_control=control is not None,
        control=control or "",
        catches=catches_of(item),
        lab_fault=journal.reason if outcome is Outcome.LAB_FAULT else None,
        skipped=journal.reason if outcome is Outcome.SKIPPED else None,
        message=_message(journal),
        simulated=journal.simulated,
        topology=topology_of(item),
        evidence=journal.evidence,
        started=journal.started,
    )
    return Finished(_encodable(test), journal.versions)


def _message(journal: Journal) -> str:
    """The headline, then what pytest would print below it."""
    lines = [journal.reason] if journal.trouble is not None else []
    if journal.conclusion is not None:
        lines.append(journal.conclusion.headline)
    if not lines:
        lines.append("interrupted before it came to a verdict")
    return "\n".join(line for line in (*lines, journal.details[:_MAX_MESSAGE]) if line)


def _parameters(item: pytest.Item) -> dict[str, str]:
    callspec = getattr(item, "callspec", None)
    return {} if callspec is None else {str(name): str(value) for name, value in callspec.params.items()}


def _encodable(test: TestRecord) -> TestRecord:
    """Replace what no file can hold: lone surrogates, which names of files and output of programs may contain."""
    plain = test.to_json()
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    safe = text.encode("utf-8", "backslashreplace").decode()
    return test if safe == text else TestRecord.from_json(_surrogate_free(plain))


def _surrogate_free(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_surrogate_free(key): _surrogate_free(item) for key, item in value.items()}
    return [_surrogate_free(item) for item in value] if isinstance(value, list | tuple) else value
