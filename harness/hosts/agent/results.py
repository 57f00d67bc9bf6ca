"""The result objects of ends: every key of the protocol, null where an end does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .end import End
    from .payload import Check

_SOURCE = (
    "start_mono_ns", "messages_posted", "messages_completed", "bytes_sent", "posted", "completed", "latencies",
    "rate_reached", "bytes_delivered", "payload_verified_bytes", "payload_mismatched_bytes", "first_mismatch",
    "told_ns", "recovery_ns", "qps", "perftest",
)  # fmt: skip
_TARGET = (
    "bytes_delivered", "recv_completions", "payload_verified_bytes", "payload_mismatched_bytes", "first_mismatch",
    "immediates_wrong", "perftest",
)  # fmt: skip


def of_source(end: End) -> dict[str, Any]:
    """Return a source's result as far as every source knows it."""
    return {
        "role": "src",
        **dict.fromkeys(_SOURCE),
        **_of_any(end),
        "bytes_acked": end.bytes_acked,
        "samples": end.samples,
        "cpu_s": end.cpu_ns / 1e9,
        "rate_bps": end.spec.flow.rate_bps,
    }


def of_target(end: End) -> dict[str, Any]:
    """Return a target's result as far as every target knows it."""
    return {"role": "dst", **dict.fromkeys(_TARGET), **_of_any(end)}


def _of_any(end: End) -> dict[str, Any]:
    return {
        "status": end.status,
        "error": end.error,
        "vendor_err": end.vendor_err,
        "end_mono_ns": end.end_ns,
        "recovery_local_ns": end.recovery_local_ns,
    }


def of_payload(check: Check, *, known: bool) -> dict[str, Any]:
    """Return what a payload check found; null when nothing was checked."""
    return {
        "payload_verified_bytes": check.verified_bytes if known else None,
        "payload_mismatched_bytes": check.mismatched_bytes if known else None,
        "first_mismatch": check.first_mismatch if known else None,
    }
