"""Stage `clock`: how well hosts can start together, and whether their wall clocks agree."""

from __future__ import annotations

import time

from harness.hosts.clock import HostTime, Reading, read_clock
from harness.hosts.preflight.examination import Examination, Patient

ANSWER_S = 15.0
READ_S = 60.0
FAR_NS = 1_000_000_000
"""Wall clocks that are further apart make logs of several hosts unreadable."""

SLOW = (
    "a start at one instant cannot be held; use a nearer controller, or raise max_start_skew in the site file"
)
SET = "let chrony or NTP set the clocks; runs are timed by monotonic clocks and do not suffer, logs do"
NO_CLOCK = "the agent does not answer in time: is the host overloaded?"


def look(exam: Examination) -> None:
    """Compare each host's clocks with this machine's by round trips."""
    wall_ns = time.time_ns() - time.monotonic_ns()
    readings = exam.on_all(
        _read, timeout_s=READ_S, what="reading the clock", advise=lambda error: (str(error), NO_CLOCK)
    )
    for host, reading in readings.items():
        exam.patients[host].clock = reading
        _judge(exam, host, reading, reading.wall_ns + reading.offset_ns - wall_ns)


def _read(patient: Patient) -> Reading:
    client = patient.client
    assert client is not None  # noqa: S101 - it stands

    def ask() -> HostTime:
        said = client.request("clock", timeout_s=ANSWER_S)
        return HostTime(int(said["mono_ns"]), int(said["real_ns"]))

    return read_clock(ask)


def _judge(exam: Examination, host: str, reading: Reading, apart_ns: int) -> None:
    """`apart_ns` is the host's wall clock minus this machine's."""
    facts = {"offset_ns": reading.offset_ns, "rtt_ns": reading.rtt_ns, "wall_apart_ns": apart_ns}
    exam.facts.setdefault("clock", {})[host] = facts
    uncertain_ns, bound_ns = reading.rtt_ns / 2, exam.site.max_start_skew / 1000
    if uncertain_ns > bound_ns:
        value = f"±{uncertain_ns / 1e6:.1f} ms, max_start_skew {bound_ns / 1e6:g} ms"
        exam.warn(host, "its clock is not known well enough", value=value, advice=SLOW)
    if abs(apart_ns) > FAR_NS:
        what = "its wall clock differs from this machine's"
        exam.warn(host, what, value=f"by {apart_ns / 1e9:+.1f} s", advice=SET)
    exam.good(host, f"±{uncertain_ns / 1e6:.2f} ms")
