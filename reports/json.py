"""The record itself as one JSON document (docs/record-format.md), for tools."""

from __future__ import annotations

import json
from typing import TextIO

from harness.core.record import RunRecord


class JsonReporter:
    """Prints the whole record, indented; numbers that are not finite are written as docs/record-format.md says."""

    report_type = "JSON"
    suffix = ".json"

    def write(self, record: RunRecord, out: TextIO) -> None:
        """Print the document into `out`."""
        json.dump(record.to_json(), out, ensure_ascii=False, allow_nan=False, indent=1)
        out.write("\n")


reporter = JsonReporter()
