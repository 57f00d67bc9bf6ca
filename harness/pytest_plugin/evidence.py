"""`--prove-evidence`: a test that passed is judged again on results in which one reading was tampered with.

Nothing runs a second time: the body of the test gets the results that it had, but one counter, figure of a flow or
series that it read is removed, null, negative, or stands still. Whatever was done, the test must come out INVALID: one
that passes without its evidence, or calls a product bad for it, is itself a FAIL.

A reading that stood still in truth cannot be told from a frozen one. It is shown to be noticed where it moved, in
another test of the session; those that moved nowhere are listed at the end. Where nothing else can tell, for a reason
that harness/core/laws.py gives (`NO_WITNESS`), a reading that stands still is counted and no FAIL.
"""

from __future__ import annotations

from collections import Counter as Tally
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from harness.core.errors import one_line
from harness.core.laws import NO_WITNESS
from harness.core.measure import Verdict
from harness.core.result import RunResult
from harness.core.validity import law_reasons
from harness.pytest_plugin.conclusion import Conclusion, conclude
from harness.pytest_plugin.evidence_counts import summary_lines
from harness.pytest_plugin.evidence_reads import Read, WatchedResult, watch
from harness.pytest_plugin.evidence_tamper import Mode, Tampering, can_freeze, moved, tampered, tamperings
from harness.pytest_plugin.fixtures import Expect
from harness.pytest_plugin.journal import Journal
from harness.pytest_plugin.markers import control_of
from harness.pytest_plugin.recording import RECORDING
from harness.pytest_plugin.verdict import JOURNAL, lacks_evidence

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from harness.core.scenario import Scenario
    from harness.pytest_plugin.observed import ObservedFabric

SHOWN = 5
"""Most tamperings that a message lists."""


@dataclass(slots=True)
class Proof:
    """What was tried on one test: replays by mode, readings that were seen to be noticed when frozen, and the rest."""

    measurements: int = 0
    readings: int = 0
    replays: Tally[str] = field(default_factory=Tally)
    noticed: set[str] = field(default_factory=set)
    still: set[str] = field(default_factory=set)
    blind: list[str] = field(default_factory=list)
    unwitnessed: Tally[str] = field(default_factory=Tally)

    def to_json(self) -> dict[str, Any]:
        """Return what the record keeps of it."""
        return {
            "measurements": self.measurements,
            "readings": self.readings,
            "replays": dict(self.replays),
            "noticed": sorted(self.noticed),
            "still": sorted(self.still),
            "blind": list(self.blind),
            "unwitnessed": dict(self.unwitnessed),
        }


class WatchingFabric:
    """The fabric of a test whose results note what is read of them."""

    def __init__(self, fabric: ObservedFabric) -> None:
        self._fabric = fabric
        self.results: list[WatchedResult] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fabric, name)

    def run(self, scenario: Scenario) -> WatchedResult:
        """Run the scenario and keep the result."""
        self.results.append(watch(self._fabric.run(scenario)))
        return self.results[-1]


class ReplayedFabric:
    """Gives results that are there already, in their order; runs nothing."""

    def __init__(self, fabric: WatchingFabric, results: Sequence[RunResult]) -> None:
        self._fabric = fabric
        self._results = iter(results)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fabric, name)

    def run(self, _: Scenario) -> RunResult:
        """Return the next result."""
        return next(self._results)


class Replay:
    """The body of a test, which can be judged on other results."""

    def __init__(self, item: pytest.Function, fabric: WatchingFabric) -> None:
        self._body = item.obj
        self._arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}  # noqa: SLF001 - as pytest does
        self._control = control_of(item)
        self._fabric = fabric
        self.true = [_plain(result) for result in fabric.results]

    def outcome(self, what: Tampering) -> str:
        """Judge the body with one reading tampered with: the name of a verdict, or what it raised."""
        changed = tampered(self.true[what.run], what)
        results = [*self.true[: what.run], changed, *self.true[what.run + 1 :]]
        journal = Journal()
        arguments = {"fabric": ReplayedFabric(self._fabric, results), "expect": Expect(journal)}
        try:
            self._body(
                **{**self._arguments, **{key: arguments[key] for key in arguments if key in self._arguments}}
            )
        except Exception as error:  # noqa: BLE001 - a suite may do anything with what is not there
            doubts = ("the reading is doubted",) if _is_doubted(changed, what) else ()
            if lacks_evidence(error, doubts):
                return Verdict.INVALID.name
            return f"{type(error).__name__}: {one_line(str(error))[:120]}"
        verdict = conclude(journal.measurements, self._control).verdict
        if verdict is not Verdict.INVALID and _is_doubted(changed, what):
            verdict = Verdict.INVALID
        return verdict.name


def _plain(result: WatchedResult) -> RunResult:
    """Return the result as it was before it was watched; its series are not loaded again."""
    return RunResult(result.job, result.raw, result.folder, result.scenario, result.expansion)


def _is_doubted(changed: RunResult, what: Tampering) -> bool:
    """Ask first the laws that read what was changed: mostly they know, and the rest takes longer."""
    touching = frozenset({what.read.key})
    if any(law_reasons(changed.job, changed.raw, changed.series, touching)):
        return True
    return bool(changed.invalid_reasons)


def prove(item: pytest.Function, fabric: WatchingFabric, measurements: int) -> Proof:
    """Tamper with everything that the test read, one reading at a time."""
    replay = Replay(item, fabric)
    proof = Proof(measurements)
    for run, result in enumerate(fabric.results):
        for read in result.log.reads:
            _try_all(replay, proof, run, read)
    return proof


def _try_all(replay: Replay, proof: Proof, run: int, read: Read) -> None:
    proof.readings += 1
    if can_freeze(read) and not moved(read, replay.true[run]):
        proof.still.add(read.key)
    for what in tamperings(run, read, replay.true[run]):
        outcome = replay.outcome(what)
        proof.replays[what.mode.value] += 1
        if outcome != Verdict.INVALID.name and what.mode is Mode.FROZEN and read.key in NO_WITNESS:
            proof.unwitnessed[read.key] += 1
        elif outcome != Verdict.INVALID.name:
            proof.blind.append(f"{_said(outcome)} although {what.words} (run {run + 1})")
        elif what.mode is Mode.FROZEN:
            proof.noticed.add(read.key)


def _said(outcome: str) -> str:
    words = {"PASS": "passes", "MARGINAL": "passes (marginal)", "FAIL": "fails"}
    return words.get(outcome, f"raises {outcome}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option to the group of the lab."""
    parser.getgroup("fabric validation").addoption(
        "--prove-evidence",
        action="store_true",
        help="judge each test that passed again without its evidence: it must come out INVALID (nothing is run again)",
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Watch what a test reads; once it passed, take it away."""
    arguments = getattr(item, "funcargs", {})
    if (
        not item.config.getoption("--prove-evidence")
        or "fabric" not in arguments
        or JOURNAL not in item.stash
    ):
        return (yield)
    fabric = arguments["fabric"] = WatchingFabric(arguments["fabric"])
    result = yield  # raises when the test did not pass
    journal = item.stash[JOURNAL]
    proof = prove(cast("pytest.Function", item), fabric, len(journal.measurements))
    journal.evidence = proof.to_json()
    if proof.blind:
        rest = f" and {len(proof.blind) - SHOWN} more" if len(proof.blind) > SHOWN else ""
        headline = f"{'; '.join(proof.blind[:SHOWN])}{rest}"
        journal.conclusion = Conclusion(Verdict.FAIL, headline)
        pytest.fail(f"FAIL: {headline}", pytrace=False)
    return result


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the counts."""
    recording = config.stash.get(RECORDING, None)
    record = None if recording is None else recording.record
    if record is not None and record.evidence:
        for line in summary_lines(record.evidence):
            terminalreporter.write_line(line)
