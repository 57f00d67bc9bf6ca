"""A controller to be killed: runs a scenario with marking, drops and delays on a site, and says when it runs.

python controller.py SITE.yaml TOPOLOGY
"""

from __future__ import annotations

import sys

from harness import Ecn, Qos, Scenario
from harness.core.events import Impair
from harness.core.site import Site
from harness.core.topology import Topology
from harness.hosts.fabric import HostFabric
from harness.patterns.pair import Pair

MS = 10**9
SECOND = 1000 * MS


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    site, topology = Site.load(sys.argv[1]), Topology.load(sys.argv[2])
    scenario = Scenario(
        Pair(65536, messages=100_000, max_outstanding=2),
        qos=Qos(ecn=Ecn(kmin=30_000, kmax=90_000)),
        events=[
            Impair(at=0, flow="pair-0", action="drop", fraction=0.01),
            Impair(at=0, flow="pair-0", action="delay", fraction=0.01, delay=5 * MS),
        ],
        duration=60 * SECOND,
        until="done",
        sample_every=0,
    )

    def progress(fraction: float, _: int) -> None:
        if fraction > 0:
            say("running")

    fabric = HostFabric("to be killed", topology, site, 1)
    say("up")
    fabric.run(scenario, progress=progress)


main()
