"""One self-contained HTML page: no external request, readable offline for years, and without its scripts too.

Two scripts are in it, and the page's policy runs no other: its own (static/page.js), and the chart package. That one
lies in the page compressed, as text, and is started when the first chart comes into view; what is printed and what a
reader without scripts sees are drawings made here.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import TextIO

import plotly
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.core.record import RunRecord
from reports.page import page_view
from reports.view import PageView


class HtmlReporter:
    """Prints a `PageView` with the templates of this package; everything from a record is escaped."""

    report_type = "HTML"
    suffix = ".html"

    def write(self, record: RunRecord, out: TextIO) -> None:
        """Stream the page into `out`."""
        environment = Environment(
            loader=PackageLoader("reports"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        page = page_view(record)
        script, (library, library_hash) = _static("page.js"), _library() if _has_charts(page) else ("", "")
        hashes = " ".join(f"'sha256-{each}'" for each in (_hash(script), library_hash) if each)
        # Files of this package and of the chart package, the only texts that are not escaped.
        out.writelines(
            environment.get_template("page.html.j2").generate(
                page=page,
                css=Markup(_static("page.css")),  # noqa: S704 - as said
                script=Markup(script),  # noqa: S704 - a file of this package
                library=Markup(library),  # noqa: S704 - a file of the chart package
                script_hashes=Markup(hashes),  # noqa: S704 - digests of the two
            )
        )


def _has_charts(page: PageView) -> bool:
    return any(run.live for test in page.tests for run in test.runs)


def _static(name: str) -> str:
    return files("reports").joinpath(f"static/{name}").read_text("utf-8")


@lru_cache(maxsize=1)
def _library() -> tuple[str, str]:
    """The chart package as base64 of gzip, and the hash of its text: a third of its size, and no time of a parser."""
    text = files(plotly).joinpath("package_data/plotly.min.js").read_text("utf-8")
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return packed, _hash(text)


def _hash(text: str) -> str:
    """As a Content-Security-Policy names a script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


reporter = HtmlReporter()
