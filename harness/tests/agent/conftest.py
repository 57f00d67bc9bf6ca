"""A pair of agents: sessions in this process over a fake verbs library, or real agent processes over pipes."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.hosts.agent import clock, verbs
from harness.hosts.agent.programs import Children
from harness.hosts.agent.request import Fields
from harness.hosts.agent.session import Session
from harness.hosts.deploy import agent_archive


def _load(name):
    path = Path(__file__).with_name(f"{name}.py")
    specification = importlib.util.spec_from_file_location(f"agent_tests_{name}", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def sysfs_root(tmp_path):
    """A /sys with one RDMA device, rxe0, on one network device, p0."""
    port = tmp_path / "class/infiniband/rxe0/ports/1"
    files = {
        "state": "4: ACTIVE\n",
        "phys_state": "5: LinkUp\n",
        "link_layer": "Ethernet\n",
        "gids/0": "fe80:0000:0000:0000:0052:4fff:fe00:0101\n",
        "gids/1": "0000:0000:0000:0000:0000:ffff:c612:0101\n",
        "gids/2": "0000:0000:0000:0000:0000:0000:0000:0000\n",
        "gids/10": "2001:0db8:0000:0000:0000:0000:0000:0001\n",
        "gid_attrs/types/0": "IB/RoCE v1\n",
        "gid_attrs/types/1": "RoCE v2\n",
        "gid_attrs/types/10": "RoCE v2\n",
        "gid_attrs/ndevs/0": "p0\n",
        "gid_attrs/ndevs/1": "p0\n",
        "gid_attrs/ndevs/10": "p0\n",
        "hw_counters/sent_pkts": "1234\n",
        "hw_counters/lifespan": "10\n",
        "counters/port_xmit_wait": "N/A (no PMA)\n",
        "counters/port_xmit_data": "18446744073709551615\n",
    }
    net = {"mtu": "4200\n", "speed": "-1\n", "carrier_changes": "2\n", "statistics/rx_bytes": "77\n"}
    device = {"parent": "p0\n", "node_guid": "0052:4fff:fe00:0101\n", "fw_ver": "\n"}
    for folder, content in ((port, files), (tmp_path / "class/net/p0", net), (port.parents[1], device)):
        for name, text in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    return tmp_path


class Controller:
    """A controller's steps on two agents; `ask` and `run` are for those who have them."""

    events = ((), ())

    def prepare(self, flows, *, notify=(), place=lambda flow: (0, 1), qos=None, **keys):
        self.ends, self.qps = ([], []), {}
        for flow in flows:
            for role, side in zip(("src", "dst"), place(flow), strict=True):
                told = flow["name"] in notify
                end = {
                    "id": f"{flow['name']}/{role}",
                    "role": role,
                    "device": "rxe0",
                    "port": 1,
                    "flow": flow,
                }
                self.ends[side].append({**end, "notify": told})
        for side in (0, 1):
            transport = {"mtu_bytes": 4096, **(qos or {})}
            answer = self.ask(side, "prepare", run="r", qos=transport, ends=self.ends[side], **keys)
            self.qps.update(answer["ends"])

    def connect(self):
        for side in (1, 0):
            peers = {end["id"]: self.qps[_peer(end["id"])] for end in self.ends[side]}
            self.ask(side, "connect", ends=peers)

    def recover(self):
        for side in (0, 1):
            names = [end["id"] for end in self.ends[side]]
            self.qps.update(self.ask(side, "recover", ends=names)["ends"])

    def results(self):
        found = {}
        for log in self.events:
            found.update([event for event in log if event["event"] == "finished"][-1]["ends"])
        for side in (0, 1):
            targets = {
                end["id"]: {key: found[_peer(end["id"])][key] for key in ("posted", "completed")}
                for end in self.ends[side]
                if end["role"] == "dst"
            }
            found.update(self.ask(side, "verify", ends=targets)["ends"])
        return found

    def teardown(self):
        return [self.ask(side, "teardown") for side in (0, 1)]


class Pair(Controller):
    """Two sessions over one fake fabric, run turn by turn."""

    def __init__(self, fabric, root):
        self.fabric = fabric
        self.events = ([], [])
        self.sessions = [self._session(log, root) for log in self.events]

    @staticmethod
    def _session(log, root):
        return Session(lambda event, droppable=False: log.append(event), Children(), root)

    def ask(self, side, op, **keys):
        return self.sessions[side].operations[op](Fields({"id": 1, "op": op, **keys}, ""))

    def run(self, *, op="start", **keys):
        limits = {"at_mono_ns": clock.now_ns(), "duration_ns": 5_000_000_000, "until": "done", **keys}
        for side in (1, 0):
            names = {"ends": [end["id"] for end in self.ends[side]]} if op == "resume" else {}
            self.ask(side, op, **names, **limits)
        self.step_while(lambda: self.sessions[0].run)
        if self.sessions[1].run:
            self.ask(1, "stop", drain_ns=0)
        self.step_while(lambda: self.sessions[1].run)
        return self.results()

    def step_while(self, condition, seconds=10):
        until = time.monotonic() + seconds
        while condition():
            assert time.monotonic() < until
            for session in self.sessions:
                if session.run:
                    session.run.step()
                    if session.run.over:
                        session.run = None


def _peer(name):
    return name[:-3] + {"src": "dst", "dst": "src"}[name[-3:]]


def make_flow(name="f", **keys):
    none = {"src": "h1:p0", "dst": "h2:p0", "verb": "write", "transport": "rc", "messages": 4, "qps": 1}
    return {"name": name, **none, "message_bytes": 5000, **keys}


@pytest.fixture
def flow():
    return make_flow


@pytest.fixture
def pair(sysfs_root, monkeypatch):
    fabric = _load("fake_verbs").Fabric()
    library = fabric.library()
    monkeypatch.setattr(verbs, "load", lambda: library)
    both = Pair(fabric, sysfs_root)
    yield both
    both.teardown()


class Process:
    """A real agent process, spoken to over pipes."""

    def __init__(self, argv):
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.number = 0
        self.events = []
        self._buffer = b""
        self.hello = self.line()

    def line(self, seconds=20):
        until = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, until - time.monotonic()))
            assert ready, "the agent says nothing"
            data = self.process.stdout.read1(65536)
            assert data, "the agent is gone: " + self.process.stderr.read().decode()
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def say(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def ask(self, op, **keys):
        self.number += 1
        self.say(json.dumps({"id": self.number, "op": op, **keys}).encode() + b"\n")
        while True:
            answer = self.line(60)
            if "event" not in answer:
                assert answer["id"] == self.number
                return answer
            self.events.append(answer)

    def wait_for(self, kind, seconds):
        """Return the last event of a kind, once there is one."""
        until = time.monotonic() + seconds
        while not any(event["event"] == kind for event in self.events):
            self.events.append(self.line(until - time.monotonic()))
        return [event for event in self.events if event["event"] == kind][-1]

    def close(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "agent.pyz"
    path.write_bytes(agent_archive())
    return path


@pytest.fixture
def agent(archive):
    process = Process([sys.executable, str(archive)])
    yield process
    process.close()


IMPATIENT = """
import sys, harness.hosts.agent.native as native
native.ANSWER_S, native.PING_AFTER_S, native.SILENCE_S = 1.0, 0.5, 1.4
from harness.hosts.agent.server import main
sys.exit(main())
"""


@pytest.fixture
def silent_agent():
    """An agent that gives its child up after a second."""
    process = Process([sys.executable, "-c", IMPATIENT])
    yield process
    process.close()


@pytest.fixture
def start_agent(archive):
    started = []

    def start(python):
        started.append(Process([python, str(archive)]))
        return started[-1]

    yield start
    for process in started:
        process.close()


class Guests(Controller):
    """Two agents on hosts of a VM lab, spoken to over ssh."""

    def __init__(self, config, archive):
        self._ssh = ["ssh", "-F", str(config)]
        for host in ("h1", "h2"):
            self.on(host, "cat > /tmp/agent-under-test.pyz", archive)
        self.agents = [self._start(host) for host in ("h1", "h2")]

    def _start(self, host):
        return Process([*self._ssh, host, "python3 /tmp/agent-under-test.pyz"])

    def on(self, host, script, data=b""):
        return subprocess.run(
            [*self._ssh, host, script], input=data, capture_output=True, check=True
        ).stdout.decode()

    @property
    def events(self):
        return [agent.events for agent in self.agents]

    def ask(self, side, op, **keys):
        answer = self.agents[side].ask(op, **keys)
        assert answer["ok"], answer["error"]
        return answer

    def offset_ns(self, side):
        """Return what the host's clock shows more than ours, by the shortest of some round trips."""
        trips = []
        for _ in range(8):
            before = clock.now_ns()
            there = self.ask(side, "clock")["mono_ns"]
            after = clock.now_ns()
            trips.append((after - before, there - (before + after) // 2))
        return min(trips)[1]

    def run(self, *, op="start", seconds=90, **keys):
        offsets = [self.offset_ns(side) for side in (0, 1)]
        at = clock.now_ns() + 300_000_000
        for side in (1, 0):
            self.agents[side].events.clear()
            names = {"ends": [end["id"] for end in self.ends[side]]} if op == "resume" else {}
            limits = {"duration_ns": seconds * 10**9, "until": "done", **keys}
            self.ask(side, op, at_mono_ns=at + offsets[side], **names, **limits)
        self.agents[0].wait_for("finished", seconds + 10)
        self.ask(1, "stop", drain_ns=200_000_000)
        self.agents[1].wait_for("finished", 10)
        return self.results()

    def flows(self, flows, *, notify=(), qos=None, **keys):
        """Do a whole run and clean up."""
        self.prepare(flows, notify=notify, qos=qos)
        self.connect()
        results = self.run(**keys)
        assert [answer["errors"] for answer in self.teardown()] == [[], []]
        return results

    def close(self):
        for agent in self.agents:
            agent.close()


@pytest.fixture(scope="module")
def guests():
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("needs QEMU (qemu-system-x86)")
    from harness.bindings.vmlab import Lab
    from harness.core.topology import Topology

    with Lab.up(Topology.load("softroce-2"), name=f"agent-{os.getpid()}") as lab:
        both = Guests(lab.folder / "ssh_config", agent_archive())
        yield both
        both.close()
