"""Sites whose hosts are processes on this machine that play agents."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import HarnessError
from harness.core.site import RdmaPort, Site, SiteHost
from harness.core.topology import Topology
from harness.hosts.preflight import Options, Report, preflight
from harness.tests.hosts.conftest import FakeHost
from harness.transport.remote import Completed, Remote

RATE_BPS = 800_000_000


class RackHost(FakeHost):
    """A fake host whose Python answers: this one, what it is told to, or an error."""

    def __init__(self, host: str, behaviour: dict[str, Any], python: Completed | HarnessError | None) -> None:
        super().__init__(host, behaviour)
        self._python = python

    def run(self, argv: Sequence[str], **_: object) -> Completed:
        if isinstance(self._python, HarnessError):
            raise self._python
        if self._python is not None:
            return self._python
        done = subprocess.run([sys.executable, *argv[1:]], capture_output=True, text=True, check=True)
        return Completed(0, done.stdout, done.stderr)


class Rack:
    """Makes a site of hosts that behave as told, and examines it."""

    def __init__(self, folder: Path, count: int) -> None:
        hosts = [f"h{number}" for number in range(1, count + 1)]
        lines = "\n".join(f"  {host}: {{kind: host}}" for host in hosts)
        links = "\n".join(
            f'  - {{endpoints: ["{host}:p0", "sw1:e{number}"], rate: 1Gbps}}'
            for number, host in enumerate(hosts)
        )
        self.file = folder / "rack.yaml"
        self.file.write_text(f"name: rack\nnodes:\n{lines}\n  sw1: {{kind: switch}}\nlinks:\n{links}\n")
        self.topology = Topology.load(str(self.file))
        self.hosts = {host: SiteHost(ports={"p0": RdmaPort(device="rxe0")}) for host in hosts}
        self.behaviours: dict[str, dict[str, Any]] = {
            host: {"address": number, "results": self._good_rates(host, hosts)}
            for number, host in enumerate(hosts, 1)
        }
        self.pythons: dict[str, Completed | HarnessError] = {}
        self.refused: dict[str, HarnessError] = {}
        self.remotes: dict[str, FakeHost] = {}
        self.progress: list[str] = []

    @staticmethod
    def _good_rates(host: str, hosts: Sequence[str]) -> dict[str, dict[str, Any]]:
        end = {"start_mono_ns": 0, "end_mono_ns": 10**9, "bytes_acked": RATE_BPS // 8, "cpu_s": 0.5}
        return {f"{host}:p0>{other}:p0/bandwidth/src": dict(end) for other in hosts if other != host}

    def slow(self, host: str, bits_per_s: int) -> None:
        """Let all writes from and to a host have this rate."""
        for behaviour in self.behaviours.values():
            for name, end in behaviour["results"].items():
                if host in name and name.endswith("bandwidth/src"):
                    end["bytes_acked"] = bits_per_s // 8

    def result(self, host: str, end: str, **changes: object) -> None:
        """Let a host give other results of an end of a flow."""
        self.behaviours[host]["results"].setdefault(end, {}).update(changes)

    def dial(self, nodes: Sequence[str]) -> tuple[Mapping[str, Remote], Mapping[str, HarnessError]]:
        opened = {
            node: RackHost(node, self.behaviours[node], self.pythons.get(node))
            for node in nodes
            if node not in self.refused
        }
        self.remotes.update(opened)
        return opened, {node: self.refused[node] for node in nodes if node in self.refused}

    def site(self) -> Site:
        return Site(topology="rack", hosts=self.hosts, max_start_skew=10**12)

    def examine(self, **options: Any) -> Report:
        return preflight(
            self.site(),
            self.topology,
            Options(**{"bandwidth_s": 0.1, **options}),
            dial=self.dial,
            say=self.progress.append,
        )

    def running(self) -> list[object]:
        return [
            process
            for remote in self.remotes.values()
            for process in remote.processes
            if process._child.poll() is None
        ]


@pytest.fixture
def rack(tmp_path: Path) -> Callable[[int], Rack]:
    return lambda count: Rack(tmp_path, count)
