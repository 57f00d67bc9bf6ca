"""The fabric of a run as a record keeps it: its shape, what each link carried, and who talked to whom."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkUse:
    """One link and its use in both directions: first what leaves `a`, then what leaves `b` (ports, `node:port`).

    `load` is the part of the line rate that was sent over the whole run, `paused` the part of the run for which the
    most paused priority of that port was kept from sending, `dropped` the frames dropped by that port. None: not known.
    """

    a: str
    b: str
    rate_bps: int
    delay_ps: int = 0
    load: tuple[float | None, float | None] = (None, None)
    paused: tuple[float | None, float | None] = (None, None)
    dropped: tuple[int | None, int | None] = (None, None)


@dataclass(frozen=True, slots=True)
class FlowEnds:
    """Source and target port of one flow, and how it ended."""

    name: str
    src: str
    dst: str
    status: str = ""


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """Shape and use of the fabric in one run.

    `left_out` says in words what was not kept because there is too much of it ("" when everything is there).
    """

    hosts: tuple[str, ...]
    switches: tuple[str, ...]
    links: tuple[LinkUse, ...] = ()
    flows: tuple[FlowEnds, ...] = ()
    left_out: str = ""
