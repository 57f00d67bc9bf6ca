"""What native generators recorded of each QP, brought here from the hosts that hold it."""

from __future__ import annotations

import base64
import binascii
import logging
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import AgentFailed
from harness.hosts.client import AgentClient

log = logging.getLogger(__name__)

MOST_BYTES = 64 << 20
"""Of the series of one run; longer ones are thinned to every n-th sample, which loses time and no bytes."""

CHUNK_BYTES = 4 << 20
"""Of one answer, before it is packed; the agent gives at most 16 MiB."""

CHUNK_S = 60.0
"""For one answer."""

LEAST_SAMPLE_NS = 100_000
"""The shortest interval at which roce-load samples: 0.1 ms."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class QpSeries:
    """Payload bytes completed by each QP of a flow until each instant of its source's clock: rows × QPs.

    One sample in `every` of those taken each `interval_ns` is here.
    """

    mono_ns: Ints
    done: Ints
    interval_ns: int
    every: int = 1

    @property
    def spacing_ns(self) -> int:
        """Time between two samples."""
        return self.interval_ns * self.every


@dataclass(frozen=True, slots=True)
class Announced:
    """What a source says of its series."""

    host: str
    file: str
    time_file: str
    interval_ns: int
    rows: int
    qps: int

    @property
    def bytes(self) -> int:
        """Size of the table."""
        return self.rows * self.qps * 8


def sample_ns(sample_every_ps: int) -> int | None:
    """Return how often a native generator samples: what was asked for, at most each 0.1 ms; None: not at all."""
    return max(LEAST_SAMPLE_NS, sample_every_ps // 1000) if sample_every_ps else None


def announced(host: str, flow: str, said: object) -> Announced | None:
    """Return what a source's result says of its series, None when it has none.

    Raises AgentFailed when it makes no sense.
    """
    if said is None:
        return None
    try:
        interval_ns, rows, qps = _counts(said)
        found = Announced(host, _field(said, "file"), _field(said, "time_file"), interval_ns, rows, qps)
    except (KeyError, TypeError, ValueError):
        raise AgentFailed(
            f"{host}: what it says of the series of {flow} is nothing known: {said!r}"
        ) from None
    return found


def _field(said: Any, key: str) -> str:
    value = said[key]
    if not isinstance(value, str) or not value:
        raise ValueError(key)
    return value


def _counts(said: Any) -> Iterator[int]:
    for key, least in (("interval_ns", 1), ("rows", 0), ("qps", 1)):
        value = said[key]
        if type(value) is not int or value < least:
            raise ValueError(key)
        yield value


def thinning(wanted: Mapping[str, Announced]) -> int:
    """Return n, when every n-th sample of these series fits into the limit."""
    size = sum(each.bytes for each in wanted.values())
    every = max(1, ceil(size / MOST_BYTES))
    if every > 1:
        log.warning("series of %d MB: every %d. sample is kept", size // 10**6, every)
    return every


def fetch(client: AgentClient, wanted: Announced, every: int) -> QpSeries:
    """Return a series, every n-th sample of it and the last.

    Raises:
        AgentFailed: the agent refuses, or sends something else than it announced.
        AgentLost: it is gone.
    """
    rows = [*range(0, wanted.rows, every)]
    spans = [(first, min(len(rows) - first, _chunk(wanted))) for first in range(0, len(rows), _chunk(wanted))]
    parts = [_part(client, wanted, rows[first], count, every) for first, count in spans]
    if rows and rows[-1] != wanted.rows - 1:
        parts.append(_part(client, wanted, wanted.rows - 1, 1, 1))
    times = np.concatenate([part[0] for part in parts]) if parts else np.zeros(0, np.int64)
    done = np.concatenate([part[1] for part in parts]) if parts else np.zeros((0, wanted.qps), np.int64)
    return QpSeries(times, done, wanted.interval_ns, every)


def _chunk(wanted: Announced) -> int:
    return max(1, CHUNK_BYTES // (wanted.qps * 8))


def _part(client: AgentClient, wanted: Announced, first: int, count: int, every: int) -> tuple[Ints, Ints]:
    answer = client.request(
        "series", timeout_s=CHUNK_S, file=wanted.file, time_file=wanted.time_file, first=first, rows=count, every=every
    )  # fmt: skip
    times, done = (_numbers(wanted.host, answer.get(key)) for key in ("time", "bytes"))
    if len(times) != count or len(done) != count * wanted.qps:
        raise AgentFailed(
            f"{wanted.host}: {len(times)} instants and {len(done)} samples of {wanted.file}, "
            f"asked were {count} rows of {wanted.qps}"
        )
    return times, done.reshape(count, wanted.qps)


def _numbers(host: str, text: object) -> Ints:
    try:
        data = zlib.decompress(base64.b64decode(str(text), validate=True))
        return np.frombuffer(data, dtype="<i8").astype(np.int64)
    except (binascii.Error, zlib.error, ValueError):
        raise AgentFailed(f"{host}: a part of a series that cannot be read") from None
