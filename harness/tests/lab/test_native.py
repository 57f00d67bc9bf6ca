"""The native generator on guests with Soft-RoCE: alone, with pyverbs at the other end, lost, and not to be had."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from harness import MS, Capability, KiB, Load, Nic, Qos, Scenario
from harness.bindings.vmlab import Lab, RunningLab
from harness.core.errors import AgentFailed
from harness.core.evidence import is_missing
from harness.core.topology import Topology
from harness.hosts import native, rig
from harness.hosts.fabric import HostFabric
from harness.hosts.native import Kit, Native
from harness.patterns.pair import Pair

pytestmark = pytest.mark.lab

SECOND = 10**12
QOS = Qos(nic=Nic(mtu=4096))
GENTLE = {"max_outstanding": 2, "qps": 2, "messages": 16}
"""Little enough in flight for the switch to drop nothing."""


@pytest.fixture(scope="module")
def lab(bootable: None) -> Iterator[RunningLab]:
    assert native.our_kit().program is not None, "no roce-load: `make setup` builds it, everywhere"
    with Lab.up(Topology.load("softroce-2"), name=f"native-{os.getpid()}") as lab:
        yield lab


@pytest.fixture(scope="module")
def rack(lab: RunningLab) -> Iterator[HostFabric]:
    with make(lab) as rack:
        yield rack


def make(lab: RunningLab) -> HostFabric:
    return HostFabric("native", lab.plan.topology, lab.site, 1)


def leftovers(rack: HostFabric) -> str:
    """Generators and series that are still on the guests."""
    script = "pgrep -l roce-load; ls -d ~/.cache/roce-harness/roce-series-* 2>/dev/null; :"
    remotes = rack._rig.crew.remotes
    return "".join(remotes[host].run(["sh", "-c", script]).stdout for host in ("h1", "h2"))


def test_queue_pairs_over_time(rack: HostFabric) -> None:
    traffic = Pair(4 * KiB, qps=16, messages=64, max_outstanding=1, rate="1Mbps")
    result = rack.run(Scenario(traffic, qos=QOS, duration=60 * SECOND, until="done", sample_every=10 * MS))
    assert result.invalid_reasons == ()
    assert {agent["engine"] for agent in result.raw["hosts"]["agents"].values()} == {"native"}
    series = result.series["qp_goodput_bps"]
    assert len(series.columns) == 16
    carried = np.diff(series.time_ps, prepend=0) @ series.values / 8e12
    assert carried == pytest.approx(np.full(16, 64 * 4 * KiB), rel=0.05)
    assert leftovers(rack) == ""


@pytest.mark.parametrize("verb", ["write", "send", "read", "write_imm"])
@pytest.mark.parametrize("native_host", ["h1", "h2"])
def test_the_other_end_may_be_pyverbs(rack: HostFabric, monkeypatch, verb: str, native_host: str) -> None:
    other = {"h1": "h2", "h2": "h1"}[native_host]
    remote, _ = rack._rig.equipped[other]
    monkeypatch.setitem(rack._rig.equipped, other, (remote, Native(None, "for the test")))
    traffic = Pair(16 * KiB, verb=verb, **GENTLE)
    result = rack.run(Scenario(traffic, qos=QOS, duration=60 * SECOND, until="done", sample_every=0))
    agents = result.raw["hosts"]["agents"]
    assert (agents[native_host]["engine"], agents[other]["engine"]) == ("native", "pyverbs")
    assert agents[other]["engine_why"] == "for the test"
    assert result.invalid_reasons == ()
    flow = result.flow("pair-0")
    assert (flow.payload_verified_bytes, flow.payload_mismatched_bytes) == (2 * 16 * 16 * KiB, 0)


def test_integrity_is_checked(rack: HostFabric) -> None:
    assert Capability.LOAD_OPTIONS in rack.capabilities
    traffic = Pair(4 * KiB, verb="send", load=Load(integrity=True, batch=4), **GENTLE)
    result = rack.run(Scenario(traffic, qos=QOS, duration=60 * SECOND, until="done", sample_every=0))
    assert result.invalid_reasons == ()
    flow = result.flow("pair-0")
    assert (flow.messages_checked, flow.messages_lost, flow.messages_corrupted) == (32, 0, 0)
    assert not is_missing(flow.idle_gaps)


def test_a_generator_that_is_killed_is_told_and_the_next_run_is_good(rack: HostFabric) -> None:
    long = Scenario(
        Pair(64 * KiB, messages=100_000, max_outstanding=2), qos=QOS, duration=60 * SECOND, until="done",
        sample_every=10 * MS,
    )  # fmt: skip
    killed = threading.Event()

    def kill(part: float, elapsed_ps: int) -> None:
        if not killed.is_set():
            killed.set()
            rack._rig.crew.remotes["h1"].run(["pkill", "-KILL", "^roce-load-"])

    words = "h1: traffic broke off: the native generator was killed by SIGKILL"
    with pytest.raises(AgentFailed, match=words):
        rack.run(long, progress=kill)
    assert leftovers(rack) == ""
    short = Scenario(Pair(16 * KiB, **GENTLE), qos=QOS, duration=60 * SECOND, until="done", sample_every=0)
    assert rack.run(short).invalid_reasons == ()


def test_a_host_that_cannot_have_it_uses_pyverbs_and_says_why(lab: RunningLab, monkeypatch) -> None:
    ours = native.our_kit()
    monkeypatch.setattr(rig, "our_kit", lambda: Kit(None, ours.sources, ours.version))
    with make(lab) as rack:
        assert Capability.LOAD_OPTIONS not in rack.capabilities
        traffic = Pair(16 * KiB, **GENTLE)
        result = rack.run(Scenario(traffic, qos=QOS, duration=60 * SECOND, until="done", sample_every=0))
    agent = result.raw["hosts"]["agents"]["h1"]
    assert agent["engine"] == "pyverbs"
    assert "building it there: no C compiler there; install gcc" in agent["engine_why"]
    assert result.flow("pair-0").payload_verified_bytes == 2 * 16 * 16 * KiB
