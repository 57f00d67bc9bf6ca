"""The same work on many machines at once, each wait bounded."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from harness.core.errors import CommandTimeout, HarnessError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[T]):
    name: str
    value: T | None
    error: Exception | None


def each(names: Iterable[str], work: Callable[[str], T], *, timeout_s: float, what: str) -> dict[str, T]:
    """Do `work(name)` for all names at once and return what each gave, in the order of the names.

    Raises the first error as soon as it is there, CommandTimeout naming a machine and `what` when one has not
    ended within `timeout_s`. Work that was not waited for goes on in threads that no exit waits for.
    """
    wanted = list(names)
    found: dict[str, T] = {}
    for outcome in _outcomes(wanted, work, timeout_s, what):
        if outcome.error is not None:
            raise outcome.error
        found[outcome.name] = outcome.value  # type: ignore[assignment]  # None is a T when there is no error
    return {name: found[name] for name in wanted}


def attempt(
    names: Iterable[str], work: Callable[[str], T], *, timeout_s: float, what: str
) -> tuple[dict[str, T], dict[str, Exception]]:
    """As `each`, but wait for all of them, and return the errors instead of raising one."""
    wanted = list(names)
    found: dict[str, T] = {}
    errors: dict[str, Exception] = {}
    for outcome in _outcomes(wanted, work, timeout_s, what):
        if outcome.error is not None:
            errors[outcome.name] = outcome.error
        else:
            found[outcome.name] = outcome.value  # type: ignore[assignment]  # as above
    return {name: found[name] for name in wanted if name in found}, errors


def complete(names: Iterable[str], work: Callable[[str], T], *, timeout_s: float, what: str) -> dict[str, T]:
    """As `each`, but raise the first error when all have ended: nothing goes on behind the back of a clean-up."""
    found, errors = attempt(names, work, timeout_s=timeout_s, what=what)
    for error in errors.values():
        raise error
    return found


def together(work: Mapping[str, Callable[[], T]], *, timeout_s: float, what: str) -> dict[str, T]:
    """Do different things at once, by name; otherwise as `complete`."""
    return complete(work, lambda name: work[name](), timeout_s=timeout_s, what=what)


def _outcomes(
    names: list[str], work: Callable[[str], T], timeout_s: float, what: str
) -> Iterator[_Outcome[T]]:
    """Yield outcomes as they come; those that never come are time-outs."""
    done: queue.SimpleQueue[_Outcome[T]] = queue.SimpleQueue()
    for name in names:
        threading.Thread(target=_do, args=(name, work, done), name=f"{what} {name}", daemon=True).start()
    missing = set(names)
    end = time.monotonic() + timeout_s
    while missing:
        try:
            outcome = done.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        missing.discard(outcome.name)
        yield outcome
    for name in sorted(missing):
        late = CommandTimeout(f"{what} was not done within {timeout_s:g} s", host=name)
        yield _Outcome(name, None, late)


def _do(name: str, work: Callable[[str], T], done: queue.SimpleQueue[_Outcome[T]]) -> None:
    try:
        done.put(_Outcome(name, work(name), None))
    except HarnessError as error:
        done.put(_Outcome(name, None, error))
    except Exception as error:  # noqa: BLE001 - it is raised where the outcome is looked at
        error.add_note(f"on {name}")
        done.put(_Outcome(name, None, error))
