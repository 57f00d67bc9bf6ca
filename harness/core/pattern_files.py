"""Traffic patterns in files: `{pattern: incast, senders: 8, …}`.

Patterns are found by name in `harness.patterns` when a file asks for one; nothing here knows which there
are. Anything with a `flows` method can stand in a scenario built in Python.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationInfo

from harness.core.errors import ConfigError
from harness.core.flow import Flows, Pattern
from harness.core.validation import refuse_unknown_keys

PATTERN_PACKAGE = "harness.patterns"
"""Offers `load(name)`: the class of a pattern, or ConfigError with the names that exist."""


def pattern_from(value: object, info: ValidationInfo) -> Pattern:
    """Build a pattern of a file's mapping; a pattern passes through."""
    if not isinstance(value, dict):
        if callable(getattr(value, "flows", None)):
            return cast("Pattern", value)
        raise ConfigError("expected a pattern such as {pattern: incast, senders: 8, size: 20MB}", value=value)
    name = value.get("pattern")
    if not isinstance(name, str):
        raise ConfigError("which pattern? The key 'pattern' names it", key="pattern", value=name)
    if name == Flows.pattern_name:
        return Flows.from_fields(value, info.context)
    kind = _pattern_class(name)
    fields = {key: item for key, item in value.items() if key != "pattern"}
    refuse_unknown_keys(fields, _field_names(kind))
    built: Pattern = TypeAdapter(kind).validate_python(fields, context=info.context)
    return built


def pattern_to_fields(pattern: Pattern) -> dict[str, Any]:
    """Return the mapping that `pattern_from` reads; keys at their default are left out."""
    if isinstance(pattern, Flows):
        return {"pattern": Flows.pattern_name, **pattern.to_fields()}
    adapter: TypeAdapter[Any] = TypeAdapter(type(pattern))
    fields = adapter.dump_python(pattern, mode="json", exclude_defaults=True)
    return {"pattern": pattern_name(pattern), **fields}


def pattern_name(pattern: Pattern) -> str:
    """Return the name of a pattern in files: its `pattern_name`, else that of its module."""
    kind = type(pattern)
    return str(getattr(kind, "pattern_name", kind.__module__.rpartition(".")[2]))


def _pattern_class(name: str) -> type[Any]:
    try:
        kind: type[Any] = importlib.import_module(PATTERN_PACKAGE).load(name)
    except ConfigError as error:
        raise error.located(file=None, line=None, key="pattern") from None
    return kind


def _field_names(kind: type[Any]) -> list[str]:
    if issubclass(kind, BaseModel):
        return list(kind.model_fields)
    return [field.name for field in dataclasses.fields(kind) if field.init]
