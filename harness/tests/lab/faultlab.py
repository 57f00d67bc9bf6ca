"""A lab that is broken on purpose, and what can be seen of it from outside of the harness."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness import Qos, Scenario
from harness.bindings.vmlab import RunningLab
from harness.core.engine import Engine
from harness.core.errors import HarnessError, TransportError
from harness.core.qos import Nic
from harness.core.result import RunResult
from harness.core.site import Site, SiteHost
from harness.hosts.crew import dialer
from harness.hosts.fabric import HostFabric
from harness.patterns.pair import Pair
from harness.transport.remote import Remote, RemoteProcess
from harness.transport.ssh import connect

SECOND = 10**12
NOTICE_S = 15.0
"""How soon a fault must be told once it can be known (the plan of this family)."""

LONG = Scenario(
    Pair(65536, messages=100_000, max_outstanding=2, both_ways=True),
    qos=Qos(nic=Nic(mtu=4096)),
    duration=60 * SECOND,
    until="done",
    sample_every=0,
)
"""Runs for longer than any fault takes to be told."""

SHORT = dataclasses.replace(LONG, traffic=Pair(65536, messages=4, max_outstanding=2, both_ways=True))

AGENTS = "ps -eo pid,args | grep '[a]gent.pyz' || :"
USER_QPS = "rdma resource show qp 2>/dev/null | grep ' pid ' || :"
RULES = "tc qdisc show | grep ' 4791: ' || :; nft list tables | grep roce_harness || :"
DOWN = "ip -br link show type bridge_slave | grep -v '[<,]UP[,>]' || :"
"""Ports that somebody set down; one whose peer has no power has no carrier, which is another matter."""


@dataclasses.dataclass
class Told:
    """An error that a fault gave, and how long after the fault it came."""

    error: HarnessError
    after_s: float


class FaultLab:
    """The running lab, one fabric on it that lives through the faults, and connections of our own."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.topology = lab.plan.topology
        self.first: RunResult | None = None
        self._fabric: HostFabric | None = None
        self._remotes: dict[str, Remote] = {}
        self._kept = Path(tempfile.mkdtemp(prefix="roce-faults-"))

    @property
    def site(self) -> Site:
        """The lab's site, its start skew as a busy machine allows."""
        return dataclasses.replace(self.lab.site, max_start_skew=SECOND)

    def site_with(self, host: str, **changes: object) -> Site:
        """Return the site with one host changed."""
        hosts: dict[str, SiteHost] = dict(self.site.hosts)
        hosts[host] = dataclasses.replace(hosts[host], **changes)
        return dataclasses.replace(self.site, hosts=hosts)

    @property
    def fabric(self) -> HostFabric:
        """The fabric that every fault in mid-run happens to: the same for all, so it must heal."""
        if self._fabric is None:
            self._fabric = HostFabric("faults", self.topology, self.site, 1)
        return self._fabric

    def close(self) -> None:
        self.close_fabric()
        for remote in self._remotes.values():
            remote.close()
        shutil.rmtree(self._kept, ignore_errors=True)

    def close_fabric(self) -> None:
        if self._fabric is not None:
            self._fabric.close()
            self._fabric = None

    # --- injecting -------------------------------------------------------------------------------------

    def on(self, node: str, script: str) -> str:
        """Run a shell script on a node over a connection of our own."""
        remote = self._remotes.get(node)
        if remote is None or not remote.alive:
            remote = self._remotes[node] = connect(self.site.access(node), node)
        return remote.run(["sh", "-c", script], timeout_s=30).stdout.strip()

    def forget(self, node: str) -> None:
        """Drop our own connection to a node, which is about to break."""
        remote = self._remotes.pop(node, None)
        if remote is not None:
            remote.close()

    def fault_at_start(self, site: Site, engine: Engine = Engine.AUTO) -> Told:
        """Return what a fabric of this site says; what an agent finds can be known when that of h2 says hello."""
        knowable = [time.monotonic()]
        dial = dialer(site)

        def dial_and_watch(nodes: Sequence[str]) -> tuple[Mapping[str, Remote], Mapping[str, HarnessError]]:
            opened, errors = dial(nodes)
            if "h2" in opened:
                knowable.append(time.monotonic())
                _watch(opened["h2"], knowable)
            return opened, errors

        try:
            HostFabric("faulty", self.topology, site, 1, dial=dial_and_watch, engine=engine).close()
        except HarnessError as error:
            return Told(error, time.monotonic() - knowable[-1])
        raise AssertionError("the fabric came up")

    def fault_before_run(self, break_it: Callable[[], object], scenario: Scenario = LONG) -> Told:
        """Break something on the idle fabric and return what its next run says."""
        assert self.fabric is not None
        break_it()
        began = time.monotonic()
        try:
            self.fabric.run(scenario)
        except HarnessError as error:
            return Told(error, time.monotonic() - began)
        raise AssertionError("the run went well")

    def fault_in_mid_run(self, break_it: Callable[[], object]) -> Told:
        """Break something while data flows and return what the run says."""
        broken: list[float] = []

        def progress(fraction: float, _: int) -> None:
            if fraction > 0 and not broken:
                break_it()
                broken.append(time.monotonic())

        try:
            self.fabric.run(LONG, progress=progress)
        except HarnessError as error:
            if not broken:
                raise AssertionError(f"no data flowed before this: {error}") from error
            return Told(error, time.monotonic() - broken[0])
        raise AssertionError("the run went well")

    def good_run(self) -> RunResult:
        """Run to the end on the fabric as it is; the first result is kept, where no fabric removes it."""
        if self.first is None:
            self.first = self.fabric.run(SHORT, output=self._kept / "first")
            return self.first
        return self.fabric.run(SHORT)

    # --- looking ---------------------------------------------------------------------------------------

    def agents(self, host: str) -> list[str]:
        """Return the agents that run on a host, by their process number."""
        return [line.split()[0] for line in self.on(host, AGENTS).splitlines()]

    def left(self, *, but: Sequence[str] = (), agents: int = 1) -> list[str]:
        """Return what is left on all nodes but some: QPs, more agents than the fabric's own, rules, links down."""
        found = []
        for host in self.site.hosts:
            if host not in but:
                found += [f"{host}: QP {line}" for line in self.on(host, USER_QPS).splitlines()]
                running = self.agents(host)
                found += [f"{host}: {len(running)} agents"] if len(running) > agents else []
        found += [f"sw1: {line}" for line in self.on("sw1", f"{RULES}; {DOWN}").splitlines()]
        return found

    def wait_until_clean(
        self, timeout_s: float, *, but: Sequence[str] = (), agents: int = 1
    ) -> tuple[list[str], float]:
        """Look until nothing is left, or for so long; return what is, and how long that took."""
        began = time.monotonic()
        while True:
            left = self.left(but=but, agents=agents)
            took = time.monotonic() - began
            if not left or took > timeout_s:
                return left, took

    def reachable(self, node: str) -> bool:
        """Tell whether a node takes our connections."""
        self.forget(node)
        try:
            self.on(node, ":")
        except TransportError:
            return False
        return True


def _watch(remote: Remote, knowable: list[float]) -> None:
    """Note when the first line of a command of this host arrives."""
    start = remote.start

    def start_and_watch(argv: Sequence[str]) -> RemoteProcess:
        process = start(argv)
        readline = process.readline

        def first_line(timeout_s: float) -> bytes:
            line = readline(timeout_s)
            process.readline = readline
            knowable.append(time.monotonic())
            return line

        process.readline = first_line
        return process

    remote.start = start_and_watch
