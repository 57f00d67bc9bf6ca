"""How the native generator (roce-load) makes the work requests of a flow: batches, signalling, bursts, threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from harness.core.errors import ConfigError
from harness.core.units import ByteCount, Picoseconds
from harness.core.validation import model

if TYPE_CHECKING:
    from harness.core.flow import Flow

INTEGRITY_BYTES = 16
"""What `integrity` writes at the end of each message: sequence number and CRC32C (`LOAD_TRAILER` of roce-load)."""

Size = Annotated[ByteCount, Field(ge=1, le=2**31)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@model
class CqModeration:
    """A completion queue tells of `count` completions at once, or of fewer after `period_us`."""

    count: Annotated[int, Field(ge=1, le=65535, strict=True)]
    period_us: Annotated[int, Field(ge=0, le=65535, strict=True)] = 0


@model
class Burst:
    """Send for `on_ps`, be silent for `off_ps`, in turns."""

    on_ps: Annotated[Picoseconds, Field(ge=1000)]
    off_ps: Annotated[Picoseconds, Field(ge=0)]


@model
class Load:
    """Options of a flow that only the native generator has; the defaults are those of a flow without any.

    `batch` work requests are posted in one call; of `signal_every` one is signalled (None: chosen). Messages of at most
    `inline_bytes` travel in the work request. Each message is gathered from `sges` pieces. `post` chooses between
    `ibv_wr_*` and `ibv_post_send`, `poll` how completions are waited for. `integrity` gives every message a number and
    a checksum, so that loss, duplication and corruption are told apart. `sizes` are pairs of bytes and weight to draw
    message sizes from; the largest is the flow's own. Each QP starts up to `start_jitter_ps` late. `pacing` `device`
    leaves the rate to the NIC. `threads` says whether a thread serves a port or each flow has its own. With
    `device_time` completions carry the NIC's clock. `relaxed_ordering` lets the NIC's writes to memory overtake each
    other on PCIe (IBV_ACCESS_RELAXED_ORDERING) where the NIC and the kernel can; not those of a ping-pong, whose ends
    look at memory.
    """

    batch: Annotated[int, Field(ge=1, le=1024, strict=True)] = 1
    signal_every: Annotated[int, Field(ge=1, le=65536, strict=True)] | None = None
    inline_bytes: Annotated[ByteCount, Field(ge=0, le=1024)] = 0
    sges: Annotated[int, Field(ge=1, le=16, strict=True)] = 1
    post: Literal["auto", "wr", "legacy"] = "auto"
    cq_moderation: CqModeration | None = None
    poll: Literal["auto", "busy", "event"] = "auto"
    integrity: Annotated[bool, Field(strict=True)] = False
    sizes: Annotated[tuple[tuple[Size, Weight], ...], Field(min_length=1, max_length=32)] | None = None
    burst: Burst | None = None
    start_jitter_ps: Annotated[Picoseconds, Field(ge=0, le=2**63 - 1)] = 0
    pacing: Literal["software", "device"] = "software"
    threads: Literal["port", "flow"] = "port"
    device_time: Annotated[bool, Field(strict=True)] = False
    relaxed_ordering: Annotated[bool, Field(strict=True)] = True


def check_load(flow: Flow, *, atomic: bool, fetches: bool) -> None:
    """Raise ConfigError for options of a flow that contradict its verb or size."""
    load = flow.load
    if load is None:
        return
    echoed = flow.verbs is not None and flow.verbs.ping_pong
    if load.integrity and (
        atomic or fetches or echoed or load.sizes or flow.message_bytes <= INTEGRITY_BYTES
    ):
        raise _wrong(
            flow,
            "integrity",
            f"it needs messages of one size above {INTEGRITY_BYTES} bytes, no reads, atomics or ping_pong",
        )
    if load.sizes is not None:
        if atomic or echoed:
            raise _wrong(flow, "sizes", "atomics and ping_pong have messages of one size")
        largest = max(size for size, _ in load.sizes)
        if largest != flow.message_bytes:
            raise _wrong(flow, "sizes", f"the largest is {largest}, the flow's own size {flow.message_bytes}")
    if load.sges > 1 and (atomic or echoed or load.sges > flow.message_bytes):
        raise _wrong(flow, "sges", "each piece has a byte at least; atomics and ping_pong have one piece")
    if load.inline_bytes and fetches:
        raise _wrong(flow, "inline_bytes", "data of reads and atomics come from the target")


def _wrong(flow: Flow, key: str, why: str) -> ConfigError:
    return ConfigError(f"flow {flow.name!r}: {why}", key=f"load.{key}", value=getattr(flow.load, key))
