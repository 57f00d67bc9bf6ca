"""Models people write, and one clear error for each thing that is wrong in them.

`@model` makes a frozen pydantic dataclass: positional arguments work, unknown keys are refused with the
closest match, and building one in Python raises ConfigError. Validators raise ConfigError too;
`config_error` adds where it was.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

import pydantic.dataclasses
from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ArgsKwargs

from harness.core.errors import ConfigError, shown, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic_core import ErrorDetails

T = TypeVar("T")
Path = tuple[str | int, ...]

_PATH_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")

CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True, strict=False)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, Field))
def model(cls: type[T]) -> type[T]:
    """Make a validated frozen dataclass of the class; wrong arguments raise ConfigError.

    Instances compare by value and are hashable when their fields are. `file_keys` of the class names keys
    that its own before-validator takes out of a file's mapping.
    """
    names: list[str] = []

    def check(_: type[T], data: object) -> object:
        given = data.kwargs or {} if isinstance(data, ArgsKwargs) else data
        if isinstance(given, dict):
            refuse_unknown_keys(given, [*names, *getattr(cls, "file_keys", ())])
        return data

    # pydantic looks validators up on the class; type checkers cannot follow what is added to it here
    cls._refuse_unknown = model_validator(mode="before")(classmethod(check))  # type: ignore[attr-defined,arg-type]
    built = pydantic.dataclasses.dataclass(frozen=True, config=CONFIG)(cls)
    names += [field.name for field in dataclasses.fields(built) if field.init]
    positional = [field.name for field in dataclasses.fields(built) if field.init and not field.kw_only]
    built.__init__ = _speaking(built.__init__, cls.__name__, positional)  # type: ignore[method-assign]
    return built  # type: ignore[return-value]


def _speaking(init: Callable[..., None], name: str, positional: list[str]) -> Callable[..., None]:
    """Wrap a constructor so that a wrong argument is a ConfigError that names the class."""

    @functools.wraps(init)
    def init_or_explain(self: object, *args: object, **kwargs: object) -> None:
        named = dict(zip(positional, args, strict=False))
        if len(args) <= len(positional) and not named.keys() & kwargs.keys():
            args, kwargs = (), {**named, **kwargs}  # so that errors name the argument and not its position
        try:
            init(self, *args, **kwargs)
        except ValidationError as error:
            raise config_error(error, root=name) from None

    return init_or_explain


def refuse_unknown_keys(given: Mapping[Any, object], known: Iterable[str]) -> None:
    """Raise ConfigError for the first key that is not known."""
    names = list(known)
    for key in given:
        if key not in names:
            raise ConfigError(
                f"unknown key {str(key)!r}", key=str(key), hint=suggestion(key, names, "keys are")
            )


def config_error(
    error: ValidationError,
    *,
    file: str | None = None,
    lines: Mapping[Path, int] | None = None,
    root: str = "",
) -> ConfigError:
    """Turn pydantic's errors into one ConfigError: the first by line, and how many more there are."""
    found = [_translated(detail, file, lines or {}, root) for detail in error.errors(include_url=False)]
    found.sort(key=lambda item: item.line or 0)
    first = found[0]
    if len(found) > 1:
        more = f"{len(found) - 1} more problem{'s' if len(found) > 2 else ''} after this one"
        first.hint = f"{first.hint}; {more}" if first.hint else more
    return first


def _translated(detail: ErrorDetails, file: str | None, lines: Mapping[Path, int], root: str) -> ConfigError:
    path = tuple(detail["loc"])
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        path += () if cause.key is None else path_of(cause.key)
        return cause.located(file=file, line=_line(path, lines), key=path_text(path, root))
    message, hint, with_value = _plain_words(detail)
    return ConfigError(
        message,
        file=file,
        line=_line(path, lines),
        key=path_text(path, root),
        **({"value": detail["input"]} if with_value else {}),
        hint=hint,
    )


_WORDS: dict[str, tuple[str, str | None, bool]] = {
    **dict.fromkeys(("missing", "missing_argument"), ("this key is missing", None, False)),
    **dict.fromkeys(
        ("dataclass_type", "model_type", "dict_type", "mapping_type", "model_attributes_type"),
        ("expected a mapping (key: value), got {kind}", None, True),
    ),
    **dict.fromkeys(
        ("list_type", "tuple_type", "set_type", "frozen_set_type"),
        ("expected a list, got {kind}", None, True),
    ),
    **dict.fromkeys(("literal_error", "enum"), ("not one of the choices", "choices are {expected}", True)),
    **dict.fromkeys(("extra_forbidden", "unexpected_keyword_argument"), ("unknown key", None, False)),
    "unexpected_positional_argument": ("too many positional arguments", None, False),
}
"""pydantic's type of an error → message, hint, and whether the value is shown."""


def _plain_words(detail: ErrorDetails) -> tuple[str, str | None, bool]:
    """Return message, hint and whether to show the value, for one of pydantic's error types."""
    if detail["type"] in _WORDS:
        message, hint, with_value = _WORDS[detail["type"]]
        parts = {"kind": _kind_of(detail["input"]), "expected": detail.get("ctx", {}).get("expected")}
        return message.format(**parts), hint and hint.format(**parts), with_value
    text = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return text[:1].lower() + text[1:], None, True


def _kind_of(value: object) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        str: "text",
        bool: "true/false",
        int: "a number",
        float: "a number",
    }
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def _line(path: Path, lines: Mapping[Path, int]) -> int | None:
    """Return the line of the deepest part of the path that is in the file."""
    for length in range(len(path), -1, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def path_text(path: Path, root: str = "") -> str | None:
    """Write a path as people do: `traffic[0].size`."""
    text = root
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or None


def path_of(text: str) -> Path:
    """Read a path back from `traffic[0].size`."""
    return tuple(int(index) if index else name for index, name in _PATH_PART.findall(text))


def check_name(name: object, what: str) -> str:
    """Return the name of a node, a port or a flow.

    Raise ConfigError when it holds what a reference cannot.
    """
    if not isinstance(name, str) or not name or len(name) > 200:
        raise ConfigError(f"{what} needs a name of 1 to 200 characters", value=name)
    if any(char.isspace() or char in ":/,\"'" or not char.isprintable() for char in name):
        raise ConfigError(f"{what} name holds a blank, a quote, ':', '/' or ','", value=shown(name))
    return name
