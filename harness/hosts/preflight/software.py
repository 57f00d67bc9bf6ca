"""Stage `python`: an interpreter that is new enough, pyverbs in it, and an agent that says hello."""

from __future__ import annotations

import json
from typing import Any

from harness.core.errors import AgentFailed, CommandFailed, PeerMismatch
from harness.hosts.client import AgentClient
from harness.hosts.crew import START_TIMEOUT_S
from harness.hosts.deploy import ARCHIVE, agent_archive
from harness.hosts.preflight.examination import Examination, Patient

LEAST_PYTHON = (3, 9)
"""What the agent is written for (docs/sites.md)."""

PROBE = """\
import json, os, sys
nodes = {}
root = "/sys/devices/system/node"
for name in os.listdir(root) if os.path.isdir(root) else []:
    if name.startswith("node") and name[4:].isdigit():
        with open(os.path.join(root, name, "cpulist")) as stream:
            nodes[name[4:]] = stream.read().strip()
cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
print(json.dumps({"version": list(sys.version_info[:3]), "path": sys.executable, "cpus": cpus, "nodes": nodes}))
"""
"""What a host's Python is, which CPUs it may use and which of them belong to which NUMA node; runs on any Python 3."""

PROBE_TIMEOUT_S = 60.0
NO_PYTHON = "install python3 there, or name one in the site file (python: /path/to/python3)"
NO_PYVERBS = "install python3-pyverbs there, or name a Python that has it in the site file (python)"
NO_AGENT = "run the Python of the site file by hand on that host to see what is wrong with it"


def look(exam: Examination) -> None:
    """Start an agent on every host that stands."""
    exam.on_all(
        lambda patient: _start(exam, patient),
        timeout_s=START_TIMEOUT_S,
        what="starting the agent",
        advise=_advise,
    )
    for patient in exam.standing:
        _note(exam, patient)


def _start(exam: Examination, patient: Patient) -> None:
    remote = patient.remote
    assert remote is not None  # noqa: S101 - it stands, so stage `ssh` connected it
    python = exam.site.python(patient.host)
    done = remote.run([python, "-c", PROBE], timeout_s=PROBE_TIMEOUT_S)
    patient.python = _parsed(done.stdout, patient.host, python)
    version = tuple(patient.python["version"])
    if version < LEAST_PYTHON:
        raise AgentFailed(
            f"{patient.host}: {python} is Python {_dotted(version)}, the agent needs {_dotted(LEAST_PYTHON)} or newer"
        )
    path = remote.deploy(agent_archive(), ARCHIVE)
    patient.client = AgentClient(patient.host, remote.start([python, path]), patient.events.put)


def _parsed(text: str, host: str, python: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
        tuple(said["version"])
    except (ValueError, KeyError, TypeError):
        raise AgentFailed(f"{host}: {python} printed {text.strip()[:60]!r}, which no Python does") from None
    found: dict[str, Any] = said
    return found


def _note(exam: Examination, patient: Patient) -> None:
    assert patient.client is not None  # noqa: S101 - it stands, so its agent said hello
    hello = patient.client.hello
    exam.facts.setdefault("python", {})[patient.host] = {**patient.python, "agent": dict(hello)}
    if hello.get("pyverbs") is None:
        python = f"{exam.site.python(patient.host)}, Python {hello.get('python')}"
        value = f"{python}: {hello.get('pyverbs_error') or 'it does not say why'}"
        exam.fail(patient.host, "no pyverbs", value=value, advice=NO_PYVERBS)
        return
    exam.good(patient.host, f"{hello.get('python')}, {hello.get('pyverbs')}")


def _advise(error: Exception) -> tuple[str, str]:
    if isinstance(error, PeerMismatch):
        return str(
            error
        ), "a stale archive in ~/.cache/roce-harness of that host is the likely cause: remove it"
    return str(error), NO_PYTHON if isinstance(error, AgentFailed | CommandFailed) else NO_AGENT


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
