"""What only flows of real verbs have: payload checks, faults of a work request, recovery, reductions."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from harness.core.units import Bytes
from harness.core.validation import model


class Fault(StrEnum):
    """What is wrong, on purpose, with the work requests of a flow or with the other end.

    The completion status each must give is in the InfiniBand Architecture, 10.10.3 and 11.6.2.
    """

    BAD_RKEY = "bad_rkey"
    """The remote key is none."""
    BAD_ADDRESS = "bad_address"
    """The remote address is outside the memory region."""
    NO_REMOTE_WRITE = "no_remote_write"
    """The target's memory region does not allow writes."""
    NO_REMOTE_READ = "no_remote_read"
    """The target's memory region does not allow reads."""
    NO_REMOTE_ATOMIC = "no_remote_atomic"
    """The target's memory region does not allow atomics."""
    LONG_SEND = "long_send"
    """The message is longer than the receive it meets."""
    BAD_LKEY = "bad_lkey"
    """The local key is none."""
    NO_RECEIVER = "no_receiver"
    """The queue pair that is addressed does not exist."""


@model
class VerbsOptions:
    """How a flow is made of work requests; `kw_only` defaults are those of a flow without options.

    `check_payload` verifies every byte at the far end. `ping_pong` has each message answered by an equal one;
    latency is then half the round trip. `fault` spoils the work requests. `recover` brings the QPs of a flow
    that failed back (`reset` modifies them through RESET, `rebuild` makes new ones) and sends its messages
    again without the fault. `engine` `perftest` lets the programs of that name make the traffic: an outside
    witness. `srq` takes receives from a shared receive queue.
    """

    check_payload: bool = True
    ping_pong: bool = False
    fault: Fault | None = None
    recover: Literal["reset", "rebuild"] | None = None
    engine: Literal["pyverbs", "perftest"] = "pyverbs"
    srq: bool = False


@model
class Reduce:
    """The part of a flow in a reduction over `ranks` buffers of `buffer_bytes` each.

    The message is bytes [offset, offset + message) of the source rank's buffer of `group`; at its target it
    is added (`sum`) or stored (`copy`) at the same place. Element i of rank r starts as (r+1)(i mod 251 + 1).
    """

    group: str
    ranks: Annotated[int, Field(ge=2, strict=True)]
    src_rank: Annotated[int, Field(ge=0, strict=True)]
    dst_rank: Annotated[int, Field(ge=0, strict=True)]
    offset: Bytes
    op: Literal["sum", "copy"]
    dtype: Literal["int32", "float32"]
    buffer_bytes: Bytes
