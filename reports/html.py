"""One self-contained HTML page: no script, no external request, readable offline for years."""

from __future__ import annotations

from importlib.resources import files
from typing import TextIO

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.core.record import RunRecord
from reports.page import page_view


class HtmlReporter:
    """Prints a `PageView` with the templates of this package; everything from a record is escaped."""

    report_type = "HTML"
    suffix = ".html"

    def write(self, record: RunRecord, out: TextIO) -> None:
        """Stream the page into `out`."""
        environment = Environment(loader=PackageLoader("reports"), autoescape=True, undefined=StrictUndefined)
        # The style sheet is a file of this package, the only text that is not escaped.
        css = Markup(files("reports").joinpath("static/page.css").read_text("utf-8"))  # noqa: S704 - as said
        template = environment.get_template("page.html.j2")
        out.writelines(template.generate(page=page_view(record), css=css))


reporter = HtmlReporter()
