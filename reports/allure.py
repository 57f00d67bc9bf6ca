"""A folder of results for Allure, from which its own program makes a site; docs/reports.md says how.

The plugin for pytest uses the same parts while tests run (`--alluredir`).
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.core.record import Outcome, RunRecord, ScenarioRecord, TestRecord
from reports.allure_text import CATEGORIES, configuration, measurement_csv, properties, series_csv
from reports.digest import INTENDED, headline_of, title_of, views_of, what_is_missing
from reports.md import escape_marks
from reports.page import meaning_of, stamp_of
from reports.text import clean, duration, one_line, plain_spaces, shorten
from reports.view import MeasurementView

MAX_NAME, MAX_TEXT = 500, 20_000
_MAX_LISTED, _MAX_ADDRESS = 20, 2000

_STATUSES = {
    Outcome.PASS: "passed",
    Outcome.MARGINAL: "passed",
    Outcome.FAIL: "failed",
    Outcome.INVALID: "failed",
    Outcome.LAB_FAULT: "broken",
    Outcome.ERROR: "broken",
    Outcome.SKIPPED: "skipped",
}
_STEP_STATUSES = {
    "PASS": "passed",
    "MARGINAL": "passed",
    INTENDED: "passed",
    "FAIL": "failed",
    "INVALID": "broken",
}
_OURS = re.compile(
    r".+-(result|container|globals)\.json|.+-attachment(\..+)?|"
    r"categories\.json|environment\.properties|executor\.json|allurerc\.json"
)
_ADDRESS = re.compile(r"https?://[^\s<>\"'`|\\^{}]+[^\s<>\"'`|\\^{}.,;:)]")


@dataclass(slots=True)
class Attachments:
    """Writes the attachments of one test into a folder of results; names depend on `key` and the order alone."""

    folder: Path
    key: str
    _count: int = field(default=0)

    def add(self, name: str, body: str, kind: str, suffix: str) -> dict[str, str]:
        """Write `body` and return the entry for a result."""
        self._count += 1
        source = f"{_uuid(f'{self.key} {self._count}')}-attachment.{suffix}"
        text = body if kind == "text/csv" else clean(body)
        (self.folder / source).write_text(text, encoding="utf-8", errors="backslashreplace")
        return {"name": shorten(one_line(name), MAX_NAME), "source": source, "type": kind}


class AllureReporter:
    """Fills a folder: one result a test, attachments, categories, environment, and configuration for Allure 3."""

    report_type = "Allure"

    def fill(self, record: RunRecord, folder: Path) -> None:
        """Write the files into an empty folder."""
        write_surroundings(record, folder)
        for test in record.tests:
            write_result(record, test, folder)
        write_missing(record, what_is_missing(record), folder)

    def owns(self, path: Path) -> bool:
        """Tell files of Allure's results by their names."""
        return path.is_file() and _OURS.fullmatch(path.name) is not None


def write_surroundings(record: RunRecord, folder: Path) -> None:
    """Write what is about the session and not about one test."""
    (folder / "categories.json").write_text(_json(list(CATEGORIES)), encoding="utf-8")
    (folder / "allurerc.json").write_text(_json(configuration()), encoding="utf-8")
    (folder / "environment.properties").write_text(properties(_environment(record)), encoding="ascii")
    executor = {"name": "roce", "type": "roce", "buildName": shorten(one_line(record.run_id), MAX_NAME)}
    (folder / "executor.json").write_text(_json(executor), encoding="utf-8")


def write_result(record: RunRecord, test: TestRecord, folder: Path) -> None:
    """Write the result of one test with its attachments."""
    key = f"{record.session_of(test).run_id} {test.run} {test.nodeid}"
    name = _uuid(key)
    result = {"uuid": name, **result_of(record, test, Attachments(folder, key))}
    (folder / f"{name}-result.json").write_text(_json(result), encoding="utf-8", errors="backslashreplace")


def write_missing(record: RunRecord, reasons: Iterable[str], folder: Path) -> None:
    """Write a broken result for each thing that a record lacks: a session cut short is never all green."""
    start = _start(record)
    for number, reason in enumerate(reasons, 1):
        name = _uuid(f"{record.run_id} missing {number}")
        result = {
            "uuid": name,
            "historyId": _digest(f"the session is complete {number}"),
            "fullName": f"session::is complete [{number}]",
            "name": "the session is complete",
            "status": "broken",
            "statusDetails": {"message": f"INCOMPLETE: {shorten(one_line(reason), MAX_TEXT)}"},
            "stage": "finished",
            "labels": [{"name": "parentSuite", "value": "the session itself"}],
            "start": start,
            "stop": start,
        }
        (folder / f"{name}-result.json").write_text(_json(result), encoding="utf-8")


def result_of(record: RunRecord, test: TestRecord, attachments: Attachments) -> dict[str, Any]:
    """Return a test as Allure's result holds it, but for its uuid."""
    identity = test.nodeid.partition("[")[0]
    return {
        "historyId": _digest(f"{test.nodeid} {test.run}"),
        "testCaseId": _digest(identity),
        "fullName": shorten(one_line(test.nodeid), MAX_NAME),
        "name": title_of(test),
        "titlePath": _places(identity),
        "status": _STATUSES[test.outcome],
        "statusDetails": details_of(test),
        "stage": "finished",
        "description": _description(record, test),
        "labels": [
            {"name": name, "value": shorten(one_line(value), MAX_NAME)} for name, value in labels_of(test)
        ],
        "links": [{"type": "link", "name": address, "url": address} for address in _addresses(test)],
        "parameters": [_parameter(name, value) for name, value in parameters_of(test)],
        "steps": steps_of(record, test, attachments),
        "attachments": list(_attached(test, attachments)),
        **_times(record, test),
    }


def _places(identity: str) -> list[str]:
    """Folders, file and class of a test, up to as many as anybody unfolds."""
    parts = one_line(shorten(identity, MAX_TEXT)).replace("::", "/").split("/")[:-1]
    return [shorten(part, MAX_NAME) for part in parts if part][:_MAX_LISTED]


def details_of(test: TestRecord) -> dict[str, Any]:
    """The message, which begins with the verdict so that categories can tell, and what lies behind it."""
    stamp = " (SIMULATED)" if test.simulated else ""
    headline = headline_of(test)
    told = f"{test.outcome.value}{stamp}: {headline}" if headline else f"{test.outcome.value}{stamp}"
    details: dict[str, Any] = {"message": shorten(told, MAX_TEXT)}
    _, _, trace = clean(shorten(test.message, MAX_TEXT)).partition("\n")
    return (
        details
        | ({"trace": trace} if trace else {})
        | ({"known": True} if "known deviation" in headline else {})
    )


def labels_of(test: TestRecord) -> Iterator[tuple[str, str]]:
    """Suite by folder, file and class, as Allure's plugin names them; plan IDs by family; what counts as tags."""
    file, _, inside = test.nodeid.partition("[")[0].partition("::")
    folder, _, module = file.removesuffix(".py").rpartition("/")
    if folder:
        yield "parentSuite", folder.replace("/", ".")
    yield "suite", module
    if "::" in inside:
        yield "subSuite", inside.rpartition("::")[0]
    yield "package", file.removesuffix(".py").replace("/", ".")
    for plan_id in test.plan_ids:
        yield "plan", plan_id
        yield "tag", plan_id
        yield "feature", plan_id
    for family in dict.fromkeys(plan_id.partition("-")[0] for plan_id in test.plan_ids):
        yield "epic", family
    yield "verdict", test.outcome.value
    if test.simulated:
        yield "tag", "SIMULATED"
    if test.negative_control:
        yield "tag", "negative control"
    if test.outcome is Outcome.MARGINAL:
        yield "tag", "MARGINAL"
    yield "framework", "pytest"
    yield "language", "python"


def parameters_of(test: TestRecord) -> Iterator[tuple[str, str]]:
    """Parameters of the test; the session is one where there are several, so that Allure keeps both apart."""
    yield from test.parameters.items()
    if test.run:
        yield "run", test.run


def steps_of(record: RunRecord, test: TestRecord, attachments: Attachments) -> list[dict[str, Any]]:
    """Phases with their durations, each run with scenario and series, each measurement against its limit."""
    start = _start_of(record, test)
    steps = [_phase(test, "setup", "set up", start)] if "setup" in test.durations_s else []
    at = start + round(1000 * test.durations_s.get("setup", 0))
    for run in test.runs:
        end = at + round(1000 * run.wall_s)
        steps.append({**_run(run, attachments), "start": at, "stop": end})
        at = end
    steps += [{**_measurement(view), "start": at, "stop": at} for view in views_of(test)]
    steps += [_phase(test, "teardown", "tear down", at)] if "teardown" in test.durations_s else []
    return steps


def _phase(test: TestRecord, phase: str, name: str, start: int) -> dict[str, Any]:
    seconds = test.durations_s[phase]
    told = f"{name}, {plain_spaces(duration(seconds))}"
    return {"name": told, "status": "passed", "start": start, "stop": start + round(1000 * seconds)}


def _run(run: ScenarioRecord, attachments: Attachments) -> dict[str, Any]:
    stamp = " (SIMULATED)" if run.simulated else ""
    parts = [attachments.add("scenario", run.scenario, "application/yaml", "yaml")] if run.scenario else []
    parts += [
        attachments.add(f"{series.name}{stamp}", series_csv(series), "text/csv", "csv")
        for series in run.series
        if len(series.values) == len(series.columns)
    ]
    facts = [("topology", run.topology), ("ended", run.ended)]
    facts += [(figure.name, _figure(figure.value, figure.unit)) for figure in run.figures]
    facts += [("event", event) for event in run.events]
    step: dict[str, Any] = {
        "name": shorten(one_line(f"run {run.number}: {run.title}{stamp}"), MAX_NAME),
        "status": "broken" if run.invalid_reasons else "passed",
        "parameters": [_parameter(name, value) for name, value in facts if value],
        "attachments": parts,
    }
    if run.invalid_reasons:
        step["statusDetails"] = {"message": shorten(one_line("; ".join(run.invalid_reasons)), MAX_TEXT)}
    return step


def _figure(value: object, unit: str) -> str:
    shown = f"{value:,.6g}" if isinstance(value, int | float) else "no data"
    return f"{shown} {unit}".strip() if shown != "no data" else shown


def _measurement(view: MeasurementView) -> dict[str, Any]:
    margin = f", {view.margin}" if view.margin else ""
    facts = (
        ("value", view.value), ("limit", view.limit), ("margin", view.margin), ("limit from", view.source),
        ("value from", view.evidence),
    )  # fmt: skip
    step: dict[str, Any] = {
        "name": shorten(
            plain_spaces(f"{view.verdict}: {view.name} {view.value} ({view.limit}{margin})"), MAX_NAME
        ),
        "status": _STEP_STATUSES[view.verdict],
        "parameters": [_parameter(name, value) for name, value in facts if value],
    }
    return step | ({"statusDetails": {"message": shorten(view.reason, MAX_TEXT)}} if view.reason else {})


def _attached(test: TestRecord, attachments: Attachments) -> Iterator[dict[str, str]]:
    stamp = " (SIMULATED)" if test.simulated else ""
    views = views_of(test)
    if views:
        yield attachments.add(f"measurements{stamp}", measurement_csv(views), "text/csv", "csv")
    doubts = [f"run {run.number}: {reason}" for run in test.runs for reason in run.invalid_reasons]
    if doubts:
        yield attachments.add("not valid as evidence", "\n".join(doubts), "text/plain", "txt")


def _description(record: RunRecord, test: TestRecord) -> str:
    """The criterion, paragraph by paragraph, and what else a reader must know; Allure reads it as Markdown."""
    parts = [escape_marks(each) for each in shorten(test.docstring, MAX_TEXT).split("\n\n") if each.strip()]
    if test.negative_control:
        broken = escape_marks(shorten(test.control, MAX_NAME))
        parts.append(f"**Negative control:** {broken}; at least one measurement must fail.")
    if defects := record.session_of(test).defects:
        parts.append(f"**Defective on purpose:** {escape_marks(shorten(', '.join(defects), MAX_NAME))}")
    return "\n\n".join(parts)


def _addresses(test: TestRecord) -> list[str]:
    """Pages that limits are from."""
    sources = " ".join(shorten(each.source or "", MAX_TEXT) for each in test.measurements)
    found = (address for address in _ADDRESS.findall(one_line(sources)) if len(address) <= _MAX_ADDRESS)
    return list(dict.fromkeys(found))[:_MAX_LISTED]


def _parameter(name: str, value: str) -> dict[str, str]:
    return {
        "name": shorten(one_line(name), MAX_NAME),
        "value": shorten(plain_spaces(one_line(value)), MAX_NAME),
    }


def _environment(record: RunRecord) -> dict[str, str]:
    stamp = stamp_of(record)
    facts = {
        "stamp": meaning_of(stamp) if stamp else "",
        "run": record.run_id,
        "fabric": record.fabric,
        "topology": record.topology,
        "seed": str(record.seed),
        "started": record.started,
        "finished": record.finished or "cut short",
        "command": " ".join(record.command),
        "defects": ", ".join(record.defects),
    }
    return facts | {f"version of {name}": text for name, text in record.versions.items()}


def _times(record: RunRecord, test: TestRecord) -> dict[str, int]:
    start = _start_of(record, test)
    return {"start": start, "stop": start + round(1000 * sum(test.durations_s.values()))}


def _start_of(record: RunRecord, test: TestRecord) -> int:
    """When a test began; an old record does not say, and then it is shown from the start of its session."""
    return _milliseconds(test.started) or _start(record.session_of(test))


def _start(record: RunRecord) -> int:
    return _milliseconds(record.started)


def _milliseconds(moment: str) -> int:
    """Time since 1970; 0 for what is no time."""
    try:
        return round(1000 * datetime.fromisoformat(moment).timestamp())
    except (ValueError, OverflowError):
        return 0


def _uuid(text: str) -> str:
    """A name for a file that is the same whenever the same is written."""
    return str(uuid.UUID(hex=_digest(text)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


reporter = AllureReporter()
