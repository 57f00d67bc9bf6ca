"""The absence of data, as a value that can never be mistaken for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Number = TypeVar("Number", int, float)


class NoDataError(TypeError):
    """Something was to be decided by a value that is Missing."""


class Missing:
    """No data, and why.

    Arithmetic with it gives it back; truth, ordering, conversion to a number and comparison with anything
    but another Missing raise TypeError, so that no check passes on it by accident. In text it reads `no
    data`. The builtins `min` and `max` order their arguments and so raise: use `lowest` and `highest`.
    """

    __slots__ = ("reason",)
    __array_ufunc__ = None  # numpy then leaves the operation to the methods below

    reason: str

    def __init__(self, reason: str) -> None:
        object.__setattr__(self, "reason", reason)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Missing is immutable: cannot set {name!r}")

    def __repr__(self) -> str:
        return f"Missing({self.reason!r})"

    def __str__(self) -> str:
        return "no data"

    def __format__(self, spec: str) -> str:
        return "no data"  # whatever number format the caller had in mind

    def __reduce__(self) -> tuple[type[Missing], tuple[str]]:
        return Missing, (self.reason,)

    def __hash__(self) -> int:
        return hash((Missing, self.reason))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Missing):
            return self.reason == other.reason
        return self._refuse()

    def _refuse(self, *_: object) -> NoReturn:
        raise NoDataError(f"no data: {self.reason}")

    def _propagate(self, *_: object) -> Missing:
        return self

    __bool__ = __float__ = __int__ = __index__ = __complex__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _propagate
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _propagate
    __pow__ = __rpow__ = __neg__ = __pos__ = __abs__ = __round__ = _propagate
    __ceil__ = __floor__ = __trunc__ = _propagate


def is_missing(value: object) -> bool:
    """Tell whether the value is Missing, or holds one in `missing` (a series that was not recorded)."""
    return isinstance(value, Missing) or isinstance(getattr(value, "missing", None), Missing)


def total(values: Iterable[Number | Missing]) -> Number | Missing:
    """Return the sum, or the first Missing among the values; Missing when there are none."""
    return _reduced(values, sum)


def lowest(values: Iterable[Number | Missing]) -> Number | Missing:
    """Return the smallest, or the first Missing among the values; Missing when there are none."""
    return _reduced(values, min)


def highest(values: Iterable[Number | Missing]) -> Number | Missing:
    """Return the largest, or the first Missing among the values; Missing when there are none."""
    return _reduced(values, max)


def _reduced(
    values: Iterable[Number | Missing], reduce: Callable[[list[Number]], Number]
) -> Number | Missing:
    known: list[Number] = []
    for value in values:
        if isinstance(value, Missing):
            return value
        known.append(value)
    return reduce(known) if known else Missing("there are no values")
