"""Documents made from a run record: terminal, HTML, JSON, Markdown.

Everything here reads `harness.core.record` only, so that a report can be made again later, on another machine, from
the record alone. One module is one format; `reports.reporter.load(name)` finds it by name.
"""
