from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.core import record_files
from harness.core.record import RunRecord, TestRecord

FAKE_BINDING = '''
"""A fabric in memory: what a run gives is said in the scenario's name, as JSON."""

import json

from harness import Capability, ConfigError, HarnessError, RunResult
from harness.core import port_counters
from harness.core.errors import TopologyNotOffered


def port(drops, peak):
    lists = {key: [0] * 8 for key in port_counters._LISTS.values()}
    lists["wred_dropped"] = [drops] + [0] * 7
    lists["queue_max_bytes"] = [peak] + [0] * 7
    reasons = {**dict.fromkeys(port_counters._DROPS.values(), 0), "wred": drops}
    return {**lists, **dict.fromkeys(port_counters._TOTALS.values(), 0), "drops": reasons}


ENGINES = ("auto", "pyverbs", "native")


def reserve(topology, site=None, seed=1, engine=None):
    with open("reservations.txt", "a") as file:
        file.write(" ".join(map(str, filter(None, (topology.name, seed, engine)))) + "\\n")
    if topology.name == "ring-4":
        raise ConfigError("the lab is closed", key="topology", value=topology.name)
    if topology.name == "chain-3":
        raise TopologyNotOffered("the lab has another shape", key="topology", value=topology.name)
    return Fabric(topology)


class Fabric:
    name = "fake"
    simulated = True
    capabilities = frozenset({Capability.PFC, Capability.ECN})
    line_rate_gbps = 100.0

    def __init__(self, topology):
        self.topology = topology

    def run(self, scenario):
        wanted = json.loads(scenario.name or "{}")
        if "boom" in wanted:
            raise HarnessError(wanted["boom"])
        ports = {"sw1:e1": port(wanted["drops"], wanted.get("peak", 0))} if "drops" in wanted else {}
        raw = {"format": 1, "simulated": True, "simulator": {"name": "fake-sim", "version": "9.9"},
               "ended": wanted.get("ended", "done"), "end_ps": 10**9, "conservation": {"ok": True}, "flows": [],
               "ports": ports}
        if "deviations" in wanted:
            known = {"h1:p0": wanted["deviations"]}
            raw["hosts"] = {"start_skew_ps": 0, "max_start_skew_ps": 1, "deviations": known}
        if "held" in wanted:
            agent = {"engine": "native", "host_limited": True, "limited_why": wanted["held"]}
            raw["hosts"] = {"start_skew_ps": 0, "max_start_skew_ps": 1, "agents": {"h1": agent}}
        return RunResult({}, raw, None, scenario)

    def close(self):
        with open("closed.txt", "a") as file:
            file.write("closed\\n")
'''

PRELUDE = """
import pytest
from harness import MB, Capability, Counter, Missing, Scenario, at_least, at_most, equals
from harness.patterns.pair import Pair


def scenario(name="{}"):
    return Scenario(Pair(MB), name=name)

"""


@dataclass(frozen=True)
class Session:
    """An inner pytest session that ended."""

    code: int
    stdout: str
    folder: Path

    @property
    def record(self) -> RunRecord:
        return record_files.load(self.folder / "record.jsonl")

    @property
    def page(self) -> str:
        return (self.folder / "report.html").read_text(encoding="utf-8")

    def outcomes(self) -> dict[str, str]:
        return {test.nodeid.rpartition("::")[2]: test.outcome.value for test in self.record.tests}

    def test(self, name: str) -> TestRecord:
        (found,) = (test for test in self.record.tests if test.nodeid.endswith(f"::{name}"))
        return found


class Lab:
    """Runs suites on the fake fabric, as a user would run them on a real one."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        bindings = pytester.mkdir("fake_bindings")
        (bindings / "fake.py").write_text(FAKE_BINDING)
        place = json.dumps(str(bindings))
        pytester.makeconftest(f"""
            import harness.bindings
            if {place} not in harness.bindings.__path__:
                harness.bindings.__path__ = [*harness.bindings.__path__, {place}]
            pytest_plugins = ("harness.pytest_plugin",)
        """)
        root = json.dumps(str(Path(__file__).parents[3]))
        pytester.makeini(
            f"[pytest]\naddopts = --import-mode=importlib --strict-markers\npythonpath = {root[1:-1]}\n"
        )

    def run(self, body: str, *options: str, own_process: bool = False) -> Session:
        """Run one module of tests; `body` follows the imports of PRELUDE."""
        self.pytester.makepyfile(test_suite=PRELUDE + body)
        return self.again(*options, own_process=own_process)

    def again(self, *options: str, own_process: bool = False) -> Session:
        """Run what is there."""
        arguments: Sequence[Any] = ["--fabric", "fake", "--record", "out", *options]
        run = self.pytester.runpytest_subprocess if own_process else self.pytester.runpytest_inprocess
        result = run(*arguments)
        return Session(int(result.ret), result.stdout.str() + result.stderr.str(), self.pytester.path / "out")


@pytest.fixture
def lab(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Lab:
    import harness.bindings

    # the inner conftest changes it; give each test the original back
    monkeypatch.setattr(harness.bindings, "__path__", list(harness.bindings.__path__))
    monkeypatch.setenv("COLUMNS", "120")
    return Lab(pytester)
