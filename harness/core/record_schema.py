"""JSON Schema of a record (docs/record-format.md), made from the classes that read and write it."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from harness.core.record import FORMAT, JudgedValue, RunRecord

_VALUE = {
    "description": "a number, or why there is none; null when nothing was given",
    "anyOf": [
        {"type": "number"},
        {"type": "null"},
        {
            "type": "object",
            "properties": {"missing": {"type": "string"}},
            "required": ["missing"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"not_finite": {"enum": ["nan", "inf", "-inf"]}},
            "required": ["not_finite"],
            "additionalProperties": False,
        },
    ],
}


def record_schema() -> dict[str, Any]:
    """Return the schema of a document; its definition `TestRecord` is that of a line of a journal, too."""
    schema = TypeAdapter(RunRecord).json_schema(mode="serialization")
    judged = TypeAdapter(JudgedValue).json_schema(mode="serialization")
    definitions: dict[str, Any] = (
        schema["$defs"] | judged.pop("$defs") | {"Value": _VALUE, "Measurement": judged}
    )
    # What pydantic cannot see: values and measurements are written by functions of their own.
    definitions["Measurement"]["properties"]["value"] = {"$ref": "#/$defs/Value"}
    definitions["Figure"]["properties"]["value"] = {"$ref": "#/$defs/Value"}
    definitions["TestRecord"]["properties"]["measurements"]["items"] = {"$ref": "#/$defs/Measurement"}
    definitions["RunRecord"]["properties"]["format"] = {"const": FORMAT}
    definitions["RunRecord"]["required"].append("format")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Record of a test session, format {FORMAT}",
        "$ref": "#/$defs/RunRecord",
        "$defs": definitions,
    }
