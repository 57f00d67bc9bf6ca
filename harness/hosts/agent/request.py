"""Reading requests: every value is checked, and what is wrong is said with its key and value."""

from __future__ import annotations

from typing import Any

from .errors import BadRequest

MISSING: Any = object()
"""Default of a key that must be there."""


class Fields:
    """One JSON object of a request at a path such as `ends[0].flow`; reads its keys with checks.

    Every method raises BadRequest when the key is missing without a default, or its value will not do.
    """

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise BadRequest(path or "request", value, "an object")
        self.values: dict[str, Any] = value
        self.path = path

    def key(self, name: str) -> str:
        """Return the full path of a key."""
        return f"{self.path}.{name}" if self.path else name

    def only(self, *known: str) -> None:
        """Refuse keys that are not known."""
        for name in self.values:
            if name not in known:
                raise BadRequest(
                    self.key(name), self.values[name], f"no such key; there are {', '.join(known)}"
                )

    def raw(self, name: str, default: Any = MISSING) -> Any:
        """Return a value as it is."""
        value = self.values.get(name, default)
        if value is MISSING:
            raise BadRequest(self.key(name), None, "a value: the key is missing")
        return value

    def integer(self, name: str, low: int, high: int, default: Any = MISSING) -> int:
        """Return a whole number from low to high."""
        value = self.raw(name, default)
        if type(value) is not int or not low <= value <= high:
            raise BadRequest(self.key(name), value, f"a whole number from {low} to {high}")
        return value

    def integer_or_none(self, name: str, low: int, high: int) -> int | None:
        """Return a whole number, or None when the key is absent or null."""
        return None if self.values.get(name) is None else self.integer(name, low, high)

    def text(self, name: str, default: Any = MISSING) -> str:
        """Return a text that is not empty."""
        value = self.raw(name, default)
        if not isinstance(value, str) or not value:
            raise BadRequest(self.key(name), value, "a text")
        return value

    def boolean(self, name: str, default: Any = MISSING) -> bool:
        """Return true or false."""
        value = self.raw(name, default)
        if not isinstance(value, bool):
            raise BadRequest(self.key(name), value, "true or false")
        return value

    def choice(self, name: str, choices: tuple[Any, ...], default: Any = MISSING) -> Any:
        """Return one of the choices."""
        value = self.raw(name, default)
        if value not in choices or isinstance(value, bool):
            raise BadRequest(self.key(name), value, "one of " + ", ".join(map(str, choices)))
        return value

    def object(self, name: str, default: Any = MISSING) -> Fields:
        """Return an object below this one."""
        return Fields(self.raw(name, default), self.key(name))

    def objects(self, name: str) -> list[Fields]:
        """Return a list of objects below this one."""
        return [Fields(item, f"{self.key(name)}[{index}]") for index, item in enumerate(self.list(name))]

    def list(self, name: str, default: Any = MISSING) -> Any:
        """Return a list as it is."""
        value = self.raw(name, default)
        if not isinstance(value, list):
            raise BadRequest(self.key(name), value, "a list")
        return value

    def texts(self, name: str, default: Any = MISSING) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self.list(name, default)
        if not all(isinstance(item, str) for item in value):
            raise BadRequest(self.key(name), value, "a list of texts")
        return tuple(value)

    def integers(self, name: str, length: int) -> tuple[int, ...]:
        """Return a list of so many whole numbers, none negative."""
        value = self.list(name)
        if len(value) != length or any(type(item) is not int or item < 0 for item in value):
            raise BadRequest(self.key(name), value, f"a list of {length} whole numbers")
        return tuple(value)
