"""``python -m bench report``: how large the page of a big session is, how quickly a browser shows and filters it.

The session: 500 tests, 200 of them with a run of 30 lines over time (rates, queues, pauses, marks), 2000 samples each.
The targets: a file of at most 25 MB, first paint in under 2 s, a filtered table in under 100 ms.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Error, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from bench.measure import BenchError
from harness.core import record_files
from harness.core.measure import at_least, at_most, measure
from harness.core.network import FlowEnds, LinkUse, NetworkRecord
from harness.core.record import Figure, Outcome, RunRecord, ScenarioRecord, SeriesRecord, TestRecord
from reports.html import HtmlReporter
from reports.reporter import write_report

CHROMIUM = "/usr/bin/chromium"
TESTS, RUNS, SAMPLES = 500, 200, 2000
MAX_BYTES, MAX_PAINT_MS, MAX_FILTER_MS = 25_000_000, 2000.0, 100.0

_SCENARIO = "traffic: [{pattern: incast, senders: 8}]\nevents: [{at: 2ms, link_down: 'h2:p0'}]"
_SERIES = (
    ("goodput_bps", "bit/s", 8, 1e11),
    ("cc_rate_bps", "bit/s", 8, 1e11),
    ("queue_bytes", "bytes", 4, 2e6),
    ("pause_fraction", "1", 8, 1.0),
    ("mark_rate", "1/s", 1, 1e6),
    ("cnp_rate", "1/s", 1, 1e4),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured: bytes of the file; seconds to write it; milliseconds in the browser."""

    size: int
    written_s: float
    paint_ms: float
    loaded_ms: float
    filter_ms: float
    chart_ms: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 0 when all are within their targets, 1 when not, 2 when nothing could be measured."""
    options = _options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 150)
    try:
        record = record_files.load(options.record) if options.record else big_record()
        with tempfile.TemporaryDirectory(prefix="report-") as folder:
            figures = measure_page(record, Path(folder) / "report.html", options.chromium, options.runs)
    except (BenchError, Error) as error:
        print(f"bench: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    rows = _rows(figures)
    console.print(_table(record, rows))
    return 0 if all(value <= limit for _, value, limit, _ in rows if limit is not None) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench report", description=__doc__)
    parser.add_argument("--record", type=Path, help="the record of a real session instead")
    parser.add_argument(
        "--runs", type=int, default=5, help="times that each figure is measured (5); the median is shown"
    )
    parser.add_argument("--chromium", default=CHROMIUM, metavar="PROGRAM", help=f"the browser ({CHROMIUM})")
    return parser.parse_args(arguments)


def big_record() -> RunRecord:
    """A session of 500 tests, deterministic."""
    rng = np.random.default_rng(1)
    tests = tuple(_test(number, rng) for number in range(TESTS))
    moment = "2026-01-02T03:04:05+00:00"
    return RunRecord(
        "big", moment, "sim", simulated=True, topology="leaf-spine-16", finished=moment, tests=tests
    )


def _test(number: int, rng: np.random.Generator) -> TestRecord:
    outcome = Outcome.FAIL if number % 25 == 0 else Outcome.PASS
    goodput = 90.0 if outcome is Outcome.FAIL else 97.0
    source = (
        "payload part of the line rate, 5 % for start and end (a sentence as long as those of the suites)"
    )
    measurements = (
        measure("goodput", goodput, at_least(95), "Gb/s", evidence="run 1", source=source),
        measure("deepest queue", 1.1 + rng.random(), at_most(3), "MB", evidence="run 1", source=source),
        measure("pause frames sent", 100 + number, at_least(1), evidence="run 1", source=source),
        measure("time to fairness", 10 * rng.random(), at_most(50), "ms", evidence="run 1", source=source),
    )
    return TestRecord(
        f"suites/family_{number % 20}/test_claims.py::test_the_claim_of_number_{number}[{number % 7}]",
        outcome,
        plan_ids=(f"PFC-{number % 40:02}",),
        docstring="Overload one receiver; with PFC on its priority no frame is dropped and the link stays full.",
        measurements=measurements,
        runs=(_run(rng),) if number < RUNS else (),
        durations_s={"setup": 0.1, "call": 0.5},
        simulated=True,
        topology="leaf-spine-16",
    )


def _run(rng: np.random.Generator) -> ScenarioRecord:
    figures = (Figure("goodput", 97.0, "Gb/s"), Figure("Kmin", 400_000, "B"), Figure("Kmax", 1_600_000, "B"))
    return ScenarioRecord(
        1, "incast", _SCENARIO, "leaf-spine-16",
        simulated=True, wall_s=0.4, ended="done", figures=figures, events=("2ms: link down h2:p0",),
        series=tuple(_series(rng, *each) for each in _SERIES), network=_network(rng),
    )  # fmt: skip


def _series(rng: np.random.Generator, name: str, unit: str, columns: int, scale: float) -> SeriesRecord:
    """Noise, which neither a compressor nor a straight line can make small."""
    values = np.round(rng.random((columns, SAMPLES)) * scale, 6)
    times = tuple(range(0, SAMPLES * 5_000_000, 5_000_000))
    names = tuple(f"{name[:4]}-{index}" for index in range(columns))
    return SeriesRecord(name, unit, names, times, tuple(map(tuple, values.tolist())), SAMPLES)


def _network(rng: np.random.Generator) -> NetworkRecord:
    hosts = tuple(f"h{i}" for i in range(1, 17))
    leaves, spines = tuple(f"leaf{i}" for i in range(1, 5)), tuple(f"spine{i}" for i in range(1, 5))
    ends = [(f"{host}:p0", f"{leaves[i // 4]}:e{i % 4 + 1}") for i, host in enumerate(hosts)]
    ends += [
        (f"{leaf}:e{5 + s}", f"{spine}:e{n + 1}")
        for n, leaf in enumerate(leaves)
        for s, spine in enumerate(spines)
    ]
    links = [LinkUse(a, b, 10**11, 10**6, (rng.random(), 0.01), (rng.random(), 0.0), (0, 0)) for a, b in ends]
    flows = [FlowEnds(f"incast-{i}", f"h{i}:p0", "h16:p0", "done") for i in range(1, 9)]
    return NetworkRecord(hosts, (*leaves, *spines), tuple(links), tuple(flows))


def measure_page(record: RunRecord, path: Path, chromium: str, runs: int) -> Figures:
    """Write the page, open it several times, and take the medians."""
    started = time.perf_counter()
    write_report(HtmlReporter(), record, path)
    written = time.perf_counter() - started
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        measured = [_in_browser(browser, path) for _ in range(runs)]
        browser.close()
    paint, loaded, filtering, chart = (statistics.median(values) for values in zip(*measured, strict=True))
    return Figures(path.stat().st_size, written, paint, loaded, filtering, chart)


def _in_browser(browser: Browser, path: Path) -> tuple[float, float, float, float]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(path.as_uri(), wait_until="load")
    paint = float(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    loaded = float(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    filtering = max(_filter_ms(page, text) for text in ("queue", "deepest queue 1", "", "number_4"))
    chart = _chart_ms(page)
    page.close()
    return paint, loaded, filtering, chart


def _filter_ms(page: Page, text: str) -> float:
    """From a keystroke until the browser has laid out and painted what it leaves."""
    return float(
        page.evaluate(
            """(text) => new Promise((done) => {
              const field = document.querySelector("form.filter [name=text]");
              field.value = text;
              const started = performance.now();
              field.dispatchEvent(new Event("input", { bubbles: true }));
              requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
            })""",
            text,
        )
    )


def _chart_ms(page: Page) -> float:
    """From opening the first test with charts until they are drawn, the start of the chart package included."""
    if not page.locator(".live").count():
        return 0.0
    took = page.evaluate(
        """() => new Promise((done) => {
          document.querySelector("form.filter button").click();
          setTimeout(() => {
            const place = [...document.querySelectorAll(".live")].find((each) => !each.dataset.state);
            const started = performance.now();
            place.closest("details").open = true;
            place.scrollIntoView();
            const look = () => {
              const passed = performance.now() - started;
              if (place.dataset.state || passed > 30000) done(passed);
              else setTimeout(look, 5);
            };
            look();
          }, 100);
        })"""
    )
    return float(took)


def _rows(figures: Figures) -> list[tuple[str, float, float | None, str]]:
    return [
        ("size of the file", figures.size / 1e6, MAX_BYTES / 1e6, "MB"),
        ("time to write it", figures.written_s, None, "s"),
        ("first paint", figures.paint_ms, MAX_PAINT_MS, "ms"),
        ("page loaded", figures.loaded_ms, None, "ms"),
        ("filter, the slowest of four", figures.filter_ms, MAX_FILTER_MS, "ms"),
        ("first charts drawn", figures.chart_ms, None, "ms"),
    ]


def _table(record: RunRecord, rows: Sequence[tuple[str, float, float | None, str]]) -> Table:
    lines = sum(len(table.columns) for test in record.tests for run in test.runs for table in run.series)
    title = f"\nPage of {len(record.tests)} tests, {lines} lines over time"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    for heading in ("", "measured", "at most"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, value, limit, unit in rows:
        table.add_row(name, f"{value:.4g} {unit}", "" if limit is None else f"{limit:g} {unit}")
    return table
