"""Stage `bandwidth`: neighbours write to one another for a while; who is far below the others is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from harness.core.errors import AgentFailed, HarnessError
from harness.core.flow import Flow
from harness.core.verbs import VerbsOptions
from harness.hosts.gather import attempt
from harness.hosts.preflight.examination import SMALL_SITE_HOSTS, Examination, bare
from harness.hosts.preflight.pairing import Pair, neighbours
from harness.hosts.preflight.probe import Length, Probe

MESSAGE_BYTES = 1 << 20
OUTSTANDING = 4
"""Messages in flight: 4 MiB hide the round trip of any rack, and drain in a second at 40 Mb/s."""

LOW = 0.5
"""Part of the median, and of line rate, below which a rate is told."""

PYTHON_BUSY = 0.9
"""An agent that spends this part of the time on its CPU may be what limits the rate."""

ROUND_S = 120.0

SLOWEST = (
    "look at this host's PCIe slot, cable, CPU frequency governor and NUMA node; then at its switch port"
)
BELOW_LINE = (
    "the same everywhere, so look at what hosts share: MTU, PCIe generation, switch limits; or Python (cpu)"
)
FAILED = "the mesh passed, so the path works for small messages: see `rdma statistic` there for what is lost"


@dataclass(frozen=True, slots=True)
class Rate:
    """One measurement: payload rate of a host port to its neighbour's, beside the wire rate of its link."""

    src: str
    dst: str
    gbps: float
    line_gbps: float
    cpu: float

    @property
    def hosts(self) -> Pair:
        """The hosts."""
        return self.src.partition(":")[0], self.dst.partition(":")[0]


def look(exam: Examination) -> None:
    """Measure the pairs of a ring of all hosts that stand, in rounds in which nobody is in two pairs."""
    hosts = [patient.host for patient in exam.standing]
    wanted = exam.options.bandwidth
    if not (len(hosts) <= SMALL_SITE_HOSTS if wanted is None else wanted):
        return
    rates: list[Rate] = []
    for number, pairs in enumerate(plan := neighbours(hosts), 1):
        named = {f"{a} to {b}": (a, b) for a, b in pairs if exam.stands(a) and exam.stands(b)}
        exam.say(f"bandwidth: round {number} of {len(plan)}, {len(named)} pairs")
        rates += _round(exam, named)
    exam.facts["bandwidth"] = [
        {"src": each.src, "dst": each.dst, "gbps": each.gbps, "line_gbps": each.line_gbps, "cpu": each.cpu}
        for each in rates
    ]
    if rates:
        _judge(exam, rates)


def _round(exam: Examination, named: Mapping[str, Pair]) -> list[Rate]:
    found, errors = attempt(
        named, lambda name: _measure(exam, named[name]), timeout_s=ROUND_S, what="measuring"
    )
    for name, error in errors.items():
        if not isinstance(error, HarnessError):
            raise error
        exam.fail(named[name], bare(str(error), name), advice=FAILED, where=name)
    return list(found.values())


def _measure(exam: Examination, pair: Pair) -> Rate:
    """Let the first ports of two hosts have it; rails are alike or the mesh told so."""
    src, dst = (exam.ports_of(host)[0].name for host in pair)
    flow = Flow(
        name=f"{src}>{dst}/bandwidth",
        src=src,
        dst=dst,
        message_bytes=MESSAGE_BYTES,
        messages=0,
        max_outstanding=OUTSTANDING,
        verbs=VerbsOptions(check_payload=False),
    )
    result = Probe(exam, pair, [flow], Length(exam.options.bandwidth_s, exactly=True)).run()[
        f"{flow.name}/src"
    ]
    return _rate(exam, src, dst, result)


def _rate(exam: Examination, src: str, dst: str, result: Mapping[str, Any]) -> Rate:
    if result.get("error"):
        raise AgentFailed(
            f"writing 1 MiB messages broke off with {result['error']} after {result['bytes_acked']} bytes"
        )
    start, end, acked = result["start_mono_ns"], result["end_mono_ns"], result["bytes_acked"]
    if not acked or start is None or end is None or end <= start:
        raise AgentFailed(f"no 1 MiB message was acknowledged within {exam.options.bandwidth_s:g} s")
    line = min(exam.topology.line_rate_bps(end) for end in (src, dst)) / 1e9
    cpu = float(result.get("cpu_s") or 0.0) * 1e9 / (end - start)
    return Rate(src, dst, acked * 8 / (end - start), line, cpu)


def in_words(gbps: float) -> str:
    """Return a rate as people write it: `92.1 Gb/s`, `77 Mb/s`."""
    return f"{gbps:.3g} Gb/s" if gbps >= 1 else f"{gbps * 1000:.3g} Mb/s"


def _judge(exam: Examination, rates: list[Rate]) -> None:
    """A host is as fast as the better of its two measurements: the other may be its neighbour's fault."""
    best: dict[str, float] = {}
    for rate in rates:
        for host in rate.hosts:
            best[host] = max(best.get(host, 0.0), rate.gbps)
    middle = median(rate.gbps for rate in rates)
    for host, gbps in best.items():
        line = min(rate.line_gbps for rate in rates if host in rate.hosts)
        if gbps < LOW * middle:
            value = f"{in_words(gbps)} of {in_words(line)}, the median is {in_words(middle)}"
            exam.fail(host, "far slower than its neighbours", value=value, advice=SLOWEST)
        exam.good(host, f"{in_words(gbps)} of {in_words(line)}")
    _compare_with_line(exam, rates)


def _compare_with_line(exam: Examination, rates: list[Rate]) -> None:
    low = [rate for rate in rates if rate.gbps < LOW * rate.line_gbps]
    if len(low) == len(rates):
        worst = min(rates, key=lambda rate: rate.gbps / rate.line_gbps)
        busy = max(rate.cpu for rate in rates)
        cpu = f"{busy:.0%} of a CPU{', which is what limits' if busy >= PYTHON_BUSY else ''}"
        reached = f"{in_words(worst.gbps)} of {in_words(worst.line_gbps)}"
        value = f"such as {worst.src} to {worst.dst}: {reached}, {cpu}"
        exam.warn(
            dict.fromkeys(host for rate in rates for host in rate.hosts),
            "everything is below half of line rate",
            value=value,
            advice=BELOW_LINE,
        )
