"""Fabrics of real agents on this machine whose native generators are played: from the scenario to the result."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from harness import nics
from harness.core import job
from harness.core.capability import Capability
from harness.core.engine import Engine
from harness.core.errors import AgentFailed, AgentLost, ConfigError
from harness.core.evidence import is_missing
from harness.core.flow import Flow, Flows
from harness.core.load import Load
from harness.core.programs import find_program
from harness.core.result import RunResult
from harness.core.scenario import Scenario
from harness.core.site import RdmaPort, Site, SiteHost
from harness.core.topology import Topology
from harness.core.units import KB, MS
from harness.core.verbs import VerbsOptions
from harness.hosts import gear, native, rig
from harness.hosts.elf import Elf, read_elf
from harness.hosts.fabric import HostFabric
from harness.hosts.native import Kit
from harness.patterns.pair import Pair
from harness.transport.local import LocalRemote

GENERATOR = Path(__file__).parents[1] / "agent" / "fake_generator.py"

AGENT = """
import sys
from pathlib import Path
from harness.hosts.agent import session
session.Session.__init__.__defaults__ = (Path(sys.argv[1]),)
from harness.hosts.agent.server import main
sys.exit(main())
"""
"""The agent, with another folder for /sys."""

PAIR = Pair(src="h1", dst="h2", size=10 * KB, messages=4, qps=3)


class Host(LocalRemote):
    """This machine, whose agent sees devices that are not there."""

    def __init__(self, name, sysfs):
        super().__init__(name)
        self.sysfs = sysfs
        self.agents = []

    def start(self, argv):
        if not argv[-1].startswith("-") and "agent.pyz" in argv[-1]:
            process = super().start([sys.executable, "-c", AGENT, str(self.sysfs)])
            self.agents.append(process)
            return process
        return super().start(argv)


def make_sysfs(root, device="rxe0", netdev="p0"):
    """A /sys with an RDMA device on a network device."""
    port = root / f"class/infiniband/{device}/ports/1"
    files = {
        "state": "4: ACTIVE", "phys_state": "5: LinkUp", "link_layer": "Ethernet",
        "gids/0": "0000:0000:0000:0000:0000:ffff:0aff:0000", "gid_attrs/types/0": "RoCE v2",
        "gid_attrs/ndevs/0": netdev,
    }  # fmt: skip
    net = {"mtu": "4200", "speed": "-1", "carrier_changes": "2"}
    net |= {
        f"statistics/{way}_{what}": "0" for way in ("rx", "tx") for what in ("bytes", "packets", "dropped")
    }
    places = {port: files, root / f"class/net/{netdev}": net, port.parents[1]: {"parent": netdev}}
    for folder, content in places.items():
        for name, text in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"{text}\n")
    return root


class Lab:
    """Makes fabrics of two hosts with what plays their generators."""

    def __init__(self, folder, monkeypatch):
        self.folder, self._monkeypatch = folder, monkeypatch
        self.remotes = {}
        self.fabrics = []

    def fabric(
        self, *, program=None, engine=Engine.AUTO, topology="softroce-2", devices=("rxe0",), **behaviour
    ):
        """Return a fabric of hosts that have all these devices: port p0 is the first of them, p1 the second."""
        self._monkeypatch.setattr(rig, "our_kit", lambda: Kit(program or self.play(**behaviour), None))
        for number, device in enumerate(devices):
            sysfs = make_sysfs(self.folder / "sys", device, f"p{number}")
        shape = Topology.load(topology)
        ports = {f"p{number}": RdmaPort(device=device) for number, device in enumerate(devices)}
        hosts = {name: SiteHost(address="192.0.2.1", ports=ports) for name in shape.hosts}
        site = Site(topology=shape.name, hosts=hosts, max_start_skew="500ms")

        def dial(nodes):
            opened = {node: Host(node, sysfs) for node in nodes}
            self.remotes.update(opened)
            return opened, {}

        fabric = HostFabric("lab", shape, site, 1, dial=dial, engine=engine)
        self.fabrics.append(fabric)
        return fabric

    @staticmethod
    def play(**behaviour):
        said = f"BEHAVIOUR='{json.dumps(behaviour)}'"
        return f'#!/bin/sh\n{said} exec {sys.executable} {GENERATOR} "$@"\n'.encode()

    def left(self):
        """Series that stayed behind."""
        return list((self.folder / ".cache/roce-harness").glob("roce-series-*"))


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(gear, "load_nic", nics.load)
    monkeypatch.setattr(native, "read_elf", lambda data: Elf((os.uname().machine,), None, ()))
    lab = Lab(tmp_path, monkeypatch)
    yield lab
    for fabric in lab.fabrics:
        fabric.close()


def test_a_run_by_native_generators(lab, tmp_path):
    fabric = lab.fabric()
    assert Capability.LOAD_OPTIONS in fabric.capabilities
    result = fabric.run(Scenario(PAIR, sample_every=MS), output=tmp_path / "out")
    assert result.ended == "done"
    agents = result.raw["hosts"]["agents"]
    for host in ("h1", "h2"):
        assert (agents[host]["engine"], agents[host]["engine_why"]) == ("native", None)
        assert agents[host]["generator"] == {
            "version": "7", "how": "built here",
        }  # fmt: skip
        assert agents[host]["host_limited"] is False
    assert lab.left() == []

    again = RunResult.load(tmp_path / "out")
    by_qp = again.series["qp_goodput_bps"]
    assert by_qp.columns == ("pair-0[0]", "pair-0[1]", "pair-0[2]")
    assert np.diff(by_qp.time_ps).tolist() == [MS] * (len(by_qp.time_ps) - 1)
    assert by_qp.values.sum(axis=1) == pytest.approx(again.series["goodput_bps"].values[:, 0])
    carried = again.series["goodput_bps"].values.sum() * 1e-3 / 8
    assert carried == pytest.approx(3 * 4 * 10 * KB, rel=0.3)  # the last interval is not whole


def test_figures_of_native_generators_are_those_of_the_flow(lab):
    flow = lab.fabric().run(Scenario(PAIR, sample_every=0)).flow("pair-0")
    assert (flow.messages_checked, flow.messages_lost, flow.messages_duplicated) == (4, 1, 0)
    assert is_missing(flow.messages_reordered)
    assert (flow.idle_gaps, flow.idle_longest_ps, flow.idle_total_ps) == (2, 7000, 9000)
    assert (flow.interval_rate_min_bps, flow.interval_rate_max_bps) == (2, 4)


def test_a_mix_of_sizes_has_no_message_size(lab):
    mixed = Pair(src="h1", dst="h2", size=4096, messages=4, load=Load(sizes=((64, 1), (4096, 1))))
    result = lab.fabric().run(Scenario(mixed, sample_every=0))
    assert is_missing(result.flow("pair-0").message_bytes)
    assert result.job["flows"][0]["load"]["sizes"] == [[64, 1.0], [4096, 1.0]]


def test_without_samples_nothing_is_written(lab):
    result = lab.fabric().run(Scenario(PAIR, sample_every=0))
    assert result.raw["series"] is None
    assert result.ended == "done"


def test_pyverbs_is_said_to_be_missing_when_nothing_else_is_wanted(lab):
    with pytest.raises(
        AgentFailed, match="no pyverbs in its python3 .*nor is there a native generator: not asked for"
    ):
        lab.fabric(engine=Engine.PYVERBS)


def test_flows_that_need_pyverbs_go_to_the_agent_and_the_refusal_is_its_own(lab):
    """Hosts of these tests have no pyverbs: what comes back is what the agent says, not the generator."""
    witness = Pair(src="h1", dst="h2", size=10 * KB, messages=8, verbs=VerbsOptions(engine="perftest"))
    fabric = lab.fabric()
    fabric.capabilities |= {Capability.WITNESS}
    with pytest.raises(AgentFailed, match="pyverbs|no such device|rxe0"):
        fabric.run(Scenario(witness, sample_every=0))


def test_options_of_the_generator_are_refused_beside_flows_that_it_lacks(lab):
    tuned = Pair(src="h1", dst="h2", size=10 * KB, load=Load(batch=4))
    witness = Pair(
        src="h1", dst="h2", size=10 * KB, messages=8, verbs=VerbsOptions(engine="perftest"), name="w"
    )
    fabric = lab.fabric()
    fabric.capabilities |= {Capability.WITNESS}
    with pytest.raises(
        ConfigError, match="'pair-0' needs the native generator on h1: flow w-0: engine perftest"
    ):
        fabric.run(Scenario([tuned, witness], sample_every=0))
    assert fabric.run(Scenario(tuned, sample_every=0)).ended == "done"


def test_a_generator_that_dies_ends_the_run_and_the_next_one_is_good(lab):
    fabric = lab.fabric(die_after_s=0.2, seconds=60, words="cannot map memory\n")
    with pytest.raises(
        AgentFailed,
        match="h[12]: traffic broke off: the native generator was killed by SIGKILL: cannot map memory",
    ):
        fabric.run(Scenario(PAIR, sample_every=MS))
    assert lab.left() == []
    for place in (lab.folder / ".cache/roce-harness").glob("roce-load-*"):
        place.write_bytes(lab.play())
    assert fabric.run(Scenario(PAIR, sample_every=MS)).ended == "done"


def test_series_of_an_agent_that_was_killed_are_removed(lab):
    fabric = lab.fabric(seconds=60)
    (agent,) = lab.remotes["h1"].agents

    def kill(part, elapsed_ps):
        os.kill(agent._child.pid, signal.SIGKILL)

    with pytest.raises(AgentLost, match="h1: the agent was killed by SIGKILL"):
        fabric.run(Scenario(PAIR, sample_every=MS), progress=kill)
    assert lab.left() == []


def test_what_the_generator_refuses_names_host_and_words(lab):
    refused = {"kind": "no_resources", "message": "create_qp: ENOMEM", "detail": {"end": "pair-0/src"}}
    fabric = lab.fabric(refuse={"prepare": refused})
    with pytest.raises(
        AgentFailed, match=r"h[12]: prepare of pair-0/src: create_qp: ENOMEM \(no_resources\)"
    ):
        fabric.run(Scenario(PAIR, sample_every=MS))
    assert lab.left() == []


# --- the program itself, on its null device -------------------------------------------------------------------


# Null devices reach those of their own process alone, so one host has both ends, which no job may ask for.
ONE_HOST = """
name: one-host
nodes:
  h1: {kind: host}
  sw1: {kind: switch}
links:
  - {endpoints: ["h1:p0", "sw1:e1"], rate: 10Gbps}
  - {endpoints: ["h1:p1", "sw1:e2"], rate: 10Gbps}
"""


def null_flow(size=4 * KB, **keys):
    return Flows([Flow(name="f", src="h1:p0", dst="h1:p1", message_bytes=size, **keys)])


@pytest.fixture
def real(lab, monkeypatch):
    """A fabric of real agents and real generators, whose devices move nothing."""
    path = find_program(native.PROGRAM, native.VARIABLE)
    assert path is not None, "no roce-load: `make setup` builds it, everywhere"
    monkeypatch.setattr(native, "read_elf", read_elf)
    monkeypatch.setattr(native, "DEVICE", "null")
    monkeypatch.setattr(job, "_check_flows", lambda *_: None)
    shape = lab.folder / "one-host.yaml"
    shape.write_text(ONE_HOST)
    return lab.fabric(program=path.read_bytes(), topology=str(shape), devices=("null0", "null1"))


def test_the_program_runs_a_scenario(real, lab, tmp_path):
    traffic = null_flow(64 * KB, messages=0, qps=16, rate_bps=100_000_000)
    scenario = Scenario(traffic, duration=500 * MS, sample_every=10 * MS)
    result = real.run(scenario, output=tmp_path / "out")
    agents = result.raw["hosts"]["agents"]
    assert {agent["engine"] for agent in agents.values()} == {"native"}
    assert agents["h1"]["threads"]
    assert lab.left() == []
    flow = result.flow("f")
    assert flow.goodput_gbps == pytest.approx(1.6, rel=0.1)

    again = RunResult.load(tmp_path / "out")
    by_qp, whole = again.series["qp_goodput_bps"], again.series["goodput_bps"]
    assert by_qp.columns == tuple(f"f[{index}]" for index in range(16))
    assert len(by_qp.time_ps) >= 40
    assert by_qp.values.sum(axis=1) == pytest.approx(whole.values[:, 0])
    middle = by_qp.values[len(by_qp.values) // 4 : -5].mean(axis=0)
    assert middle == pytest.approx(np.full(16, 1e8), rel=0.1)


def test_the_program_runs_many_qps(real):
    result = real.run(Scenario(null_flow(messages=8, qps=1024), sample_every=MS))
    assert result.ended == "done"
    assert len(result.flow("f").qps) == 1024
    assert result.flow("f").messages_completed == 8 * 1024


@pytest.mark.parametrize(
    "verb", ["write", "write_imm", "send", "send_imm", "read", "fetch_add", "compare_swap"]
)
def test_the_program_has_every_verb(real, verb):
    size = 8 if verb in ("fetch_add", "compare_swap") else 10 * KB
    result = real.run(Scenario(null_flow(size, messages=20, qps=2, verb=verb), sample_every=0))
    assert (result.ended, result.flow("f").status) == ("done", "done")
    assert result.flow("f").messages_completed == 40


def test_options_reach_the_program(real):
    load = Load(batch=16, signal_every=8, sges=2, poll="busy", threads="flow")
    result = real.run(Scenario(null_flow(messages=1000, qps=2, load=load), sample_every=0))
    assert result.flow("f").messages_completed == 2000
