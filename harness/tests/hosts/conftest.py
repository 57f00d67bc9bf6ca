"""Fabrics whose hosts are processes on this machine that play agents."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import MappingProxyType

import pytest

from harness.core.capability import Capability
from harness.core.counters import Counter
from harness.core.errors import ConnectionLost
from harness.core.site import RdmaPort, Site, SiteHost, SiteSwitch
from harness.core.topology import Topology
from harness.hosts import client, execution, gear, traffic
from harness.hosts.fabric import HostFabric
from harness.switches import Applied
from harness.transport.local import LocalRemote
from harness.transport.remote import Completed

FAKE = Path(__file__).parent / "fake_agent.py"
PAIR = """
name: pair
nodes:
  h1: {kind: host}
  h2: {kind: host}
  sw1: {kind: switch}
links:
  - {endpoints: ["h1:p0", "sw1:e1"], rate: 1Gbps}
  - {endpoints: ["h2:p0", "sw1:e2"], rate: 1Gbps}
"""


class FakeHost(LocalRemote):
    """This machine, where every command is the fake agent."""

    def __init__(self, host, behaviour):
        super().__init__(host)
        self.behaviour = behaviour
        self.processes = []

    def deploy(self, data, name, *, mode=0o755):
        if problem := self.behaviour.get("deploy_error"):
            raise problem
        return name

    def run(self, argv, **options):
        """It does not say what it is, so no native generator is brought to it."""
        return Completed(0, "", "")

    def start(self, argv):
        said = {key: value for key, value in self.behaviour.items() if key != "deploy_error"}
        process = super().start([sys.executable, str(FAKE), json.dumps({"host": self.host, **said})])
        self.processes.append(process)
        return process


class FakeSwitch:
    """A switch that does what it is told, and remembers it in `calls`."""

    name = "fake"
    deviations = MappingProxyType({})
    offered = frozenset({Counter.TX_PACKETS, Counter.RX_PACKETS})
    capabilities = frozenset({
        Capability.LINK_FLAP, Capability.PACKET_DROP, Capability.SWITCH_COUNTERS, Capability.ECN,
    })  # fmt: skip

    def __init__(self, lab, remote, node, ports):
        self.lab = lab
        self.remote = remote
        self.node = node
        self.ports = ports
        self.count = 0
        self.cleaning = f"echo cleaned >> {lab.log}"
        self.flows = None

    def call(self, name):
        if self.remote is not None and not self.remote.alive:
            raise ConnectionLost("is gone", host=self.node)
        if problem := self.lab.switch_problems.get(name):
            raise problem
        self.lab.calls.append((name, time.monotonic()))

    def snapshot(self):
        self.call("snapshot")

    def configure(self, switch):
        self.call("configure")

    def flows_connected(self, flows):
        self.flows = flows

    def apply(self, event):
        self.call(event["kind"])
        now = time.monotonic_ns()
        return Applied(f"{event['kind']} done", now, now, acted=event.get("port") != "h2:p0")

    def counters(self):
        self.call("counters")
        self.count += 7
        return {"count": self.count}

    def deltas(self, before, after):
        change = after["count"] - before["count"]
        return {f"{self.node}:{port}": {"tx_packets": change, "rx_packets": change} for port in self.ports}

    def restore(self):
        self.call("restore")

    def leftovers(self):
        return []


class Lab:
    """Makes fabrics of fake hosts and remembers what was dialled."""

    def __init__(self, folder):
        self.topology_file = folder / "pair.yaml"
        self.topology_file.write_text(PAIR)
        self.topology = Topology.load(str(self.topology_file))
        self.log = folder / "ops.log"
        self.remotes = {}
        self.dialled = []
        self.refused = {}
        self.behaviours = {}
        self.fabrics = []
        self.calls = []
        self.switch_problems = {}

    def dial(self, nodes):
        self.dialled.append(list(nodes))
        opened = {}
        for node in nodes:
            if node in self.topology.switches and node not in self.refused:
                opened[node] = LocalRemote(node)
            elif node not in self.refused:
                opened[node] = FakeHost(node, self.behaviours.get(node, {}))
        self.remotes.update(opened)
        return opened, {node: self.refused[node] for node in nodes if node in self.refused}

    def site(self, **changes):
        hosts = {
            name: SiteHost(address="192.0.2.1", ports={"p0": RdmaPort(netdev="p0")})
            for name in self.topology.hosts
        }
        skew = "500ms"  # a busy machine is slow to start programs
        return Site(**{"topology": "pair", "hosts": hosts, "max_start_skew": skew, **changes})

    def fabric(self, *, site=None, **behaviours):
        for number, name in enumerate(self.topology.hosts, 1):
            own = behaviours.pop(name, {})
            self.behaviours[name] = {"address": number, "log": str(self.log), **own}
        fabric = HostFabric("lab", self.topology, site or self.site(), 1, dial=self.dial, **behaviours)
        self.fabrics.append(fabric)
        return fabric

    def switched(self, **behaviours):
        """A fabric whose site names the switch, too."""
        switch = SiteSwitch(os="fake", address="192.0.2.9", ports={"e1": "swp1", "e2": "swp2"})
        return self.fabric(site=self.site(switches={"sw1": switch}), **behaviours)

    def ops(self, host):
        """What this host's agents were asked, in order, clocks and counters left out."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        ops = [line.split()[1] for line in lines if line.startswith(f"{host} ")]
        return [op for op in ops if op not in ("clock", "counters", "devices")]

    def running(self):
        """Agents that still run."""
        return [
            process
            for remote in self.remotes.values()
            for process in getattr(remote, "processes", ())
            if process._child.poll() is None
        ]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    lab = Lab(tmp_path)
    monkeypatch.setattr(
        gear,
        "load_switch",
        lambda os: lambda remote, node, ports, topology: FakeSwitch(lab, remote, node, ports),
    )
    yield lab
    for fabric in lab.fabrics:
        fabric.close()


@pytest.fixture
def impatient(monkeypatch):
    """Silence is noticed after half a second."""
    monkeypatch.setattr(client, "PING_AFTER_S", 0.2)
    monkeypatch.setattr(client, "SILENCE_S", 0.6)


class FakeNic:
    """A NIC that counts packets and bytes."""

    name = "fake"
    capabilities = frozenset({Capability.SRQ})
    offered = frozenset({Counter.TX_PACKETS, Counter.RX_PACKETS, Counter.TX_BYTES, Counter.RX_BYTES})
    deviations = MappingProxyType({"cnp": "it has none"})

    def __init__(self, reading, kernel):
        assert kernel == "6.12.0"

    def counters(self, before, after):
        keys = ("tx_packets", "rx_packets", "tx_bytes", "rx_bytes")
        return {key: after["netdev"][key] - before["netdev"][key] for key in keys}

    def configure(self, remote, netdev, nic):
        remote.configured = netdev

    def restore(self, remote, netdev):
        remote.configured = None


@pytest.fixture(autouse=True)
def close_together(monkeypatch):
    """The hosts are on this machine: the common start need not be far ahead."""
    monkeypatch.setattr(execution, "LEAD_NS", 60_000_000)
    monkeypatch.setattr(traffic, "ARRIVAL_GRACE_S", 0.1)


@pytest.fixture(autouse=True)
def fake_nics(monkeypatch):
    monkeypatch.setattr(gear, "load_nic", lambda driver: FakeNic)
