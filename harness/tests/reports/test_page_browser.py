"""The page in a browser: what scripts do, what people see, whether everybody can use it."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from harness.core.measure import at_least, measure
from harness.core.network import FlowEnds, LinkUse, NetworkRecord
from harness.core.record import Outcome, RunRecord
from harness.core.record import TestRecord as Record
from harness.tests.reports import sample
from reports.html import HtmlReporter
from reports.page import ROWS_AT_FIRST
from reports.reporter import write_report

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    # asyncio of playwright leaves its loop to the interpreter
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "\"'><svg onload=document.title='owned'>",
    "\u202egnp.exe\u2066\u0000\x1b[2J",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;<b>bold</b>",
)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Opened:
    """A page, and everything that went wrong on it."""

    def __init__(self, page, path):
        self.page, self.path, self.complaints, self.requests = page, path, [], []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def go(self, anchor: str = ""):
        self.page.goto("about:blank")
        self.page.goto(self.path.as_uri() + anchor, wait_until="load")
        return self.page

    def drawn(self, place: str):
        """Bring the charts of a test into view and wait for them."""
        live = self.page.locator(f"{place} .live").first
        live.scroll_into_view_if_needed()
        self.page.wait_for_selector(f"{place} .live[data-state=ready]", timeout=20_000)
        return live


@pytest.fixture
def show(browser, tmp_path):
    contexts = []

    def open_page(record: RunRecord, **context) -> Opened:
        path = write_report(HtmlReporter(), record, tmp_path / "report.html")
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context}))
        return Opened(contexts[-1].new_page(), path)

    yield open_page
    for context in contexts:
        context.close()


def network() -> NetworkRecord:
    links = [
        LinkUse(f"h{i}:p0", f"sw1:e{i}", 10**11, 10**6, (0.3, 0.01), (0.6 if i < 9 else 0.0, 0.0), (0, 0))
        for i in range(1, 10)
    ]
    flows = [FlowEnds(f"incast-{i}", f"h{i + 1}:p0", "h9:p0", "done") for i in range(8)]
    return NetworkRecord(tuple(f"h{i}" for i in range(1, 10)), ("sw1",), tuple(links), tuple(flows))


def with_network() -> RunRecord:
    tests = tuple(
        replace(test, runs=tuple(replace(run, network=network()) for run in test.runs))
        for test in sample.record().tests
    )
    return sample.record(tests=tests)


def many(number: int = 120) -> RunRecord:
    tests = tuple(
        Record(
            f"a.py::test_number[{i}]",
            Outcome.PASS if i % 10 else Outcome.FAIL,
            ("PFC-01",),
            measurements=(
                measure("goodput", 96 + i / 1000 if i % 10 else 90.0, at_least(95), "Gb/s"),
                measure(f"pauses {i}", i + 2, at_least(1)),
            ),
        )
        for i in range(number)
    )
    return sample.record(tests=tests)


def visible_rows(page) -> int:
    return page.locator("#rows > tr:visible").count()


def test_the_page_opens_offline_without_a_complaint_and_asks_for_nothing(show) -> None:
    opened = show(with_network(), offline=True)
    opened.go("#t8")
    opened.drawn("#t8")
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith(("file:", "about:", "blob:", "data:"))] == []


def test_charts_are_drawn_in_the_colours_of_their_lines(show) -> None:
    from io import BytesIO

    from PIL import Image

    opened = show(with_network())
    opened.go()
    live = opened.drawn("#t1")
    pixels = np.asarray(Image.open(BytesIO(live.screenshot())).convert("RGB")).reshape(-1, 3).astype(int)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)):
        near = (np.abs(pixels - colour).sum(axis=1) < 40).sum()
        assert near > 100, f"{near} pixels of {colour}"


def test_each_line_event_and_threshold_is_drawn(show) -> None:
    opened = show(sample.record())
    opened.go("#t8")
    live = opened.drawn("#t8")
    assert live.locator(".scatterlayer .trace").count() == 8 + 1 + 3
    text = live.text_content()
    for part in ("Goodput by flow", "Kmin 0.4", "Kmax 1.6", "incast-7", "sw1:e9/3", "ms"):
        assert part in text, part
    assert live.locator(".shapelayer path").count() >= 2 + 2


def test_zoom_changes_the_one_time_axis_of_all_charts_and_comes_back(show) -> None:
    opened = show(sample.record())
    page = opened.go("#t8")
    live = opened.drawn("#t8")
    whole = axis_range(live)
    live.get_by_role("button", name="Zoom in").press("Enter")  # with the keyboard
    inner = axis_range(live)
    assert inner[0] > whole[0]
    assert inner[1] < whole[1]
    assert live.locator(".xaxislayer-above").count() >= 1
    page.wait_for_function(
        "() => document.querySelector('#t8 .chart-tools output').textContent.includes('ms')"
    )
    live.get_by_role("button", name="Whole run").click()
    assert axis_range(live) == whole
    drag = live.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(drag["x"] + drag["width"] * 0.25, drag["y"] + 40)
    page.mouse.down()
    page.mouse.move(drag["x"] + drag["width"] * 0.5, drag["y"] + 45, steps=8)
    page.mouse.up()
    page.wait_for_function("() => document.querySelector('#t8 .chart-tools output').textContent !== ''")
    assert axis_range(live)[1] - axis_range(live)[0] == pytest.approx((whole[1] - whole[0]) / 4, rel=0.1)


def axis_range(live) -> list[float]:
    return [float(v) for v in live.locator(".plotted").evaluate("plot => plot.layout.xaxis.range")]


def test_hovering_tells_the_values_of_all_charts(show) -> None:
    opened = show(sample.record())
    page = opened.go("#t8")
    live = opened.drawn("#t8")
    box = live.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    page.wait_for_selector("#t8 .hoverlayer .legendtext")
    text = live.locator(".hoverlayer").text_content()
    assert "incast-0" in text
    assert "sw1:e9/3" in text
    assert "Gb/s" in text


def test_the_table_filters_by_text_verdict_and_kind(show) -> None:
    page = show(many()).go()
    assert visible_rows(page) == ROWS_AT_FIRST
    page.get_by_role("button", name="Show all 240 measurements").click()
    assert visible_rows(page) == 240
    page.get_by_label("Search").fill("number [7]")
    assert visible_rows(page) == 2
    assert page.locator("article.test:visible").count() == 1
    assert page.locator("form.filter output").text_content() == "2 of 240 measurements, 1 of 120 tests"
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("checkbox", name="FAIL", exact=True).check()
    assert visible_rows(page) == 12
    assert page.locator("article.test:visible").count() == 12
    page.get_by_label("Kind").select_option("control")
    assert visible_rows(page) == 0


def test_the_table_sorts_and_starts_with_the_worst(show) -> None:
    page = show(many()).go()
    margins = "[...document.querySelectorAll('#rows > tr')].map((row) => Number(row.dataset.margin))"
    assert page.locator("#rows > tr .badge").first.text_content() == "FAIL"
    page.get_by_role("button", name="Margin").click()
    rising = page.evaluate(margins)
    assert rising == sorted(rising)
    page.get_by_role("button", name="Margin").click()
    falling = page.evaluate(margins)
    assert falling == sorted(falling, reverse=True)
    assert page.locator("th[aria-sort]").count() == 1


def test_a_link_to_a_row_or_a_test_leads_there_even_when_it_is_folded_or_filtered(show) -> None:
    opened = show(many())
    page = opened.go("#t100-m1")
    assert page.locator("#t100-m1").is_visible()
    assert page.locator("#t100-m1").evaluate("row => row.getBoundingClientRect().top < innerHeight")
    page.get_by_label("Search").fill("number [3]")
    page.evaluate("location.hash = '#t50'")
    page.wait_for_selector("#t50 details[open]")
    assert page.locator("#t50").is_visible()


def test_dark_and_light_follow_the_reader_also_in_charts(show) -> None:
    opened = show(sample.record(), color_scheme="dark")
    page = opened.go("#t8")
    live = opened.drawn("#t8")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 23, 29)"
    colour = "plot => plot.data[0].line.color"
    dark = live.locator(".plotted").evaluate(colour)
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"was => ({colour})(document.querySelector('#t8 .plotted')) !== was", arg=dark)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_on_a_phone_nothing_is_wider_than_the_screen(show) -> None:
    opened = show(with_network(), viewport={"width": 390, "height": 844})
    page = opened.go("#t8")
    live = opened.drawn("#t8")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert live.locator(".names").first.is_visible()


def test_printed_it_shows_drawings_and_all_tests(show, tmp_path) -> None:
    opened = show(with_network())
    page = opened.go("#t8")
    opened.drawn("#t8")
    page.emulate_media(media="print")
    assert page.locator("#t8 .charts svg").first.is_visible()
    assert not page.locator("#t8 .live").first.is_visible()
    assert not page.locator("form.filter").is_visible()
    pdf = tmp_path / "report.pdf"
    page.pdf(path=pdf, format="A4")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert pdf.stat().st_size > 50_000


def test_without_scripts_everything_can_be_read(show) -> None:
    opened = show(with_network(), java_script_enabled=False)
    page = opened.go()
    assert page.locator("#rows > tr").first.is_visible()
    assert page.locator("#t1 .charts svg").first.is_visible()
    assert page.locator("#t1 svg.topo").is_visible()
    assert not page.locator("form.filter").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_serious_fault(show, scheme, width) -> None:
    from axe_playwright_python.sync_playwright import Axe

    opened = show(
        with_network(), color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True
    )
    page = opened.go("#t8")
    opened.drawn("#t8")
    response = Axe().run(page).response
    assert len(response["passes"]) > 20  # it looked
    found = response["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    assert [(fault["id"], fault["nodes"][0]["html"][:200]) for fault in serious] == []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_does_no_harm(show, text) -> None:
    opened = show(hostile(text))
    page = opened.go("#t1")
    opened.drawn("#t1")
    live = page.locator("#t1 .live").first
    box = live.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.wait_for_timeout(200)
    assert "owned" not in page.title()
    assert page.locator("img, iframe, object, embed, b b, svg[onload]").count() == 0
    assert opened.complaints == []
    body = page.locator("body").inner_text()
    assert not set("\u202e\u2066\x00\x1b") & set(body)
    assert "49" not in body.split()


def test_a_name_of_a_megabyte_is_cut(show) -> None:
    record = hostile("x" * 1_000_000)
    opened = show(record)
    page = opened.go("#t1")
    assert opened.path.stat().st_size < 4_000_000
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert "characters)" in page.locator("#t1 h3").text_content()


def hostile(text: str) -> RunRecord:
    """A record that says `text` wherever something else than this program chooses words."""
    first = sample.record().tests[0]
    run = first.runs[0]
    series = tuple(
        replace(table, columns=tuple(f"{text}{i}" for i in range(len(table.columns)))) for table in run.series
    )
    run = replace(
        run, title=text, scenario=text, events=(text,), invalid_reasons=(text,), series=series,
        figures=(replace(run.figures[0], name=text, unit=text),), topology=text,
        network=NetworkRecord(
            (text, "h2"), (f"{text}s",),
            (LinkUse(f"{text}:p", f"{text}s:e", 10), LinkUse("h2:p0", f"{text}s:f", 10)),
            (FlowEnds(text, f"{text}:p", "h2:p0"),), text,
        ),
    )  # fmt: skip
    bad = measure(text, 1.0, at_least(2, source=text), text, evidence=f"{text} run 1", source=text)
    test = replace(
        first, nodeid=f"a.py::test_{text}", plan_ids=(text,), docstring=text, parameters={text: text}, runs=(run,),
        measurements=(bad,), control=text, negative_control=True, message=f"{text}\n{text}", topology=text,
        catches=((text, text),),
    )  # fmt: skip
    skipped = Record(f"a.py::{text}", Outcome.SKIPPED, (text,), skipped=text)
    return sample.record(
        tests=(test, skipped), versions={text: text}, command=(text,), problems=(text,), defects=(text,), run_id=text,
        fabric=text, topology=text,
    )  # fmt: skip
