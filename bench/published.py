"""Published speeds of other simulators on the same topologies and sizes, with where each number comes from.

All were measured on one core of a 2-vCPU Intel Xeon (Cascade Lake) at 2.50 GHz, Debian 12, gcc 12.2, on a
quiet machine. A *link-hop* is one packet (data, ACK, CNP or pause) serialised onto one link.

ns-3
    github.com/alibaba-edu/High-Precision-Congestion-Control at 9f4be2a (ns-3.18): DCQCN, PFC, shared
    buffer. A modern ns-3 with the same models (github.com/astra-sim/astra-network-ns3 at 8fd3604) is a
    little slower on the same runs (0.38 M link-hops/s on the 64-host permutation).
htsim
    github.com/Broadcom/csg-htsim at 841d9e7, its RoCE model: PFC and go-back-N, **no DCQCN**. The faster
    of its stock and ``-O3 -march=native -DNDEBUG`` builds is taken.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """One run of another simulator: link-hops and events per second of wall time, peak memory in kB."""

    simulator: str
    case: str
    hops_per_s: float
    events_per_s: float
    rss_kb: int


MACHINE = "one core of an Intel Xeon (Cascade Lake) at 2.50 GHz"

RUNS = (
    Published("ns-3", "incast-8", 554_593, 1_378_794, 16_752),
    Published("ns-3", "incast-16", 500_195, 1_346_462, 20_064),
    Published("ns-3", "perm-64", 402_166, 851_698, 94_132),
    Published("ns-3", "perm-128", 327_601, 695_266, 171_864),
    Published("ns-3", "perm-256", 225_890, 479_740, 329_884),
    Published("ns-3", "a2a-64", 294_433, 626_241, 110_560),
    Published("ns-3", "a2a-128", 285_942, 574_209, 165_224),
    Published("htsim", "incast-16", 3_018_868, 8_335_557, 4_960),  # 10 MB a flow where ns-3 had 20 MB
    Published("htsim", "perm-64", 1_299_098, 3_725_366, 16_644),
    Published("htsim", "perm-128", 977_451, 2_810_104, 28_808),
    Published("htsim", "perm-256", 770_315, 2_215_069, 39_428),
    Published("htsim", "a2a-64", 539_600, 1_549_099, 218_148),
)


def find(simulator: str, case: str) -> Published | None:
    """The published run of ``case`` by ``simulator``; None where nobody measured it."""
    return next((run for run in RUNS if (run.simulator, run.case) == (simulator, case)), None)
