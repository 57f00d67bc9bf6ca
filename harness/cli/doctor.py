"""``roce doctor``: what is installed here, whether it works, and what to do about the rest."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import click

from harness.cli.console import EXIT_DIFFERS
from harness.core.errors import HarnessError

MINIMUM_PYTHON = (3, 11)
PROBE_TIMEOUT_S = 30
PROBE_BYTES = 1_000_000  # one message between two hosts: a few hundred packets, done in milliseconds


class State(Enum):
    """How one thing stands; only BROKEN makes the doctor fail."""

    GOOD = "ok"
    OPTIONAL = "optional"
    BROKEN = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row: what was looked at, how it stands, what was seen, and what to do."""

    subject: str
    state: State
    seen: str
    advice: str = ""


@click.command(
    short_help="Check what is installed, or the hosts of a site, and say what to do.",
    epilog="""\b
Examples:
  roce doctor
  roce doctor && pytest suites -n auto
  roce doctor --site topologies/sites/rack7.yaml
  roce doctor --site topologies/sites/rack7.yaml --mtu 4096 --bandwidth --json
""",
)
@click.option(
    "--site",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Examine the hosts of this site, stage by stage.",
)
@click.option("--topology", metavar="NAME|FILE", help="The shape of the site, instead of the one it names.")
@click.option(
    "--mtu",
    type=click.Choice(["256", "512", "1024", "2048", "4096"]),
    default="1024",
    show_default=True,
    help="The RDMA MTU that runs will ask for.",
)
@click.option(
    "--bandwidth/--no-bandwidth", default=None, help="Measure bandwidth. Default: on sites of up to 8 hosts."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def doctor(site: Path | None, topology: str | None, mtu: str, bandwidth: bool | None, as_json: bool) -> int:
    """Check what is installed here, or with --site the hosts of a lab, and say what to do.

    Exit code 1 when something needed is missing or a host failed; warnings leave it 0.
    """
    if site is None:
        return _examine_this_machine(topology, bandwidth, as_json=as_json)
    from harness.cli.doctor_site import examine_site
    from harness.hosts.preflight import Options

    return examine_site(site, topology, Options(int(mtu), bandwidth), as_json=as_json)


def _examine_this_machine(topology: str | None, bandwidth: bool | None, *, as_json: bool) -> int:
    if topology is not None or bandwidth is not None:
        raise click.UsageError("--topology and --bandwidth are for the hosts of a site: give --site")
    findings = list(examine())
    if as_json:
        print(json.dumps([_as_json(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    return EXIT_DIFFERS if any(finding.state is State.BROKEN for finding in findings) else 0


def _as_json(finding: Finding) -> dict[str, str]:
    return {
        "what": finding.subject,
        "state": finding.state.value,
        "seen": finding.seen,
        "advice": finding.advice,
    }


def _print(findings: list[Finding]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from harness.cli.console import stdout

    table = Table("what", "state", "seen", "what to do", box=None, padding=(0, 2), pad_edge=False)
    colours = {State.GOOD: "green", State.OPTIONAL: "yellow", State.BROKEN: "red"}
    for finding in findings:
        state = f"[{colours[finding.state]}]{finding.state.value}[/]"
        table.add_row(finding.subject, state, escape(finding.seen), escape(finding.advice))
    stdout().print(table)


def examine() -> Iterator[Finding]:
    """Look at everything, in the order of need."""
    checks: tuple[Callable[[], Finding], ...] = (_python, _packages, _simulator, _compiler, _generator)
    for check in checks:
        yield check()
    yield _program("clang-tidy", "lints the C code in make check", "apt-get install clang-tidy")
    yield _program("chromium", "screenshots of reports", "apt-get install chromium")
    yield _virtual_lab()


def _python() -> Finding:
    seen = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info >= MINIMUM_PYTHON:
        return Finding("python", State.GOOD, seen)
    return Finding("python", State.BROKEN, seen, "use Python 3.11 or newer: make setup PYTHON=python3.11")


def _packages() -> Finding:
    """Every required distribution of this package: installed, in a version that will do."""
    try:
        required = importlib.metadata.requires("roce-validation-harness") or []
    except importlib.metadata.PackageNotFoundError:
        return Finding("packages", State.BROKEN, "roce-validation-harness is not installed", "make setup")
    wrong = [fault for line in required if "extra ==" not in line and (fault := _requirement_fault(line))]
    if wrong:
        return Finding("packages", State.BROKEN, "; ".join(wrong), "make setup")
    return Finding("packages", State.GOOD, ", ".join(_distributions(required)))


def _distributions(required: list[str]) -> list[str]:
    names = [_split_requirement(line)[0] for line in required if "extra ==" not in line]
    return [f"{name} {importlib.metadata.version(name)}" for name in names]


def _split_requirement(line: str) -> tuple[str, str]:
    """``numpy>=1.26`` → (``numpy``, ``1.26``); our own list uses no other operator."""
    name, _, least = line.partition(";")[0].partition(">=")
    return name.strip(), least.strip()


def _requirement_fault(line: str) -> str | None:
    name, least = _split_requirement(line)
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f"{name} is not installed"
    return f"{name} {found} is older than {least}" if _version(found) < _version(least) else None


def _version(text: str) -> tuple[int, ...]:
    """The leading numbers of a version, enough to compare lower bounds."""
    numbers = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def _simulator() -> Finding:
    """Find roce-sim and let it carry one message between two hosts."""
    from harness.bindings.sim import find_simulator

    try:
        program = str(find_simulator())
    except HarnessError as error:
        return Finding("roce-sim", State.BROKEN, str(error), "make setup")
    try:
        finished = subprocess.run(
            [program],
            input=json.dumps(probe_job()),
            capture_output=True,
            text=True,
            check=False,
            timeout=PROBE_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("roce-sim", State.BROKEN, f"{program}: {error}", "rm -rf build && make setup")
    return _judge_probe(program, finished)


def probe_job() -> dict[str, object]:
    """The smallest whole job: one write from one host to another through a switch."""
    wires = [("h1:p0", "sw1:e1"), ("h2:p0", "sw1:e2")]
    return {
        "format": 1,
        "name": "doctor",
        "nodes": [
            {"name": "h1", "kind": "host", "ports": ["p0"]},
            {"name": "h2", "kind": "host", "ports": ["p0"]},
            {"name": "sw1", "kind": "switch", "ports": ["e1", "e2"]},
        ],
        "links": [{"a": a, "b": b, "rate_bps": 100_000_000_000, "delay_ps": 1_000_000} for a, b in wires],
        "flows": [{"name": "probe", "src": "h1:p0", "dst": "h2:p0", "message_bytes": PROBE_BYTES}],
    }


def _judge_probe(program: str, finished: subprocess.CompletedProcess[str]) -> Finding:
    repair = "rm -rf build && make setup"
    if finished.returncode != 0:
        said = " ".join(finished.stderr.split())[-200:]
        return Finding("roce-sim", State.BROKEN, f"{program}: exit code {finished.returncode} {said}", repair)
    try:
        result = json.loads(finished.stdout)
        version, flow = result["simulator"]["version"], result["flows"][0]
        delivered, status = flow["bytes_delivered"], flow["status"]
    except (ValueError, KeyError, IndexError, TypeError):
        return Finding("roce-sim", State.BROKEN, f"{program}: its result cannot be read", repair)
    if (delivered, status) != (PROBE_BYTES, "done"):
        return Finding(
            "roce-sim", State.BROKEN, f"{program}: a probe ended {status} at {delivered} bytes", repair
        )
    return Finding("roce-sim", State.GOOD, f"{version}, carried {delivered} bytes ({program})")


def _compiler() -> Finding:
    name = os.environ.get("CC", "cc")
    found = shutil.which(name)
    if found:
        return Finding("C compiler", State.GOOD, found)
    return Finding(
        "C compiler", State.OPTIONAL, f"no {name}; needed to build roce-sim", "apt-get install gcc libc6-dev"
    )


def _generator() -> Finding:
    """Find roce-load, which hosts get; without it they make their traffic with pyverbs."""
    from harness.core.programs import find_program
    from harness.hosts.native import DEVICE, PROGRAM, VARIABLE

    try:
        program = find_program(PROGRAM, VARIABLE)
        if program is None:
            return Finding(
                PROGRAM, State.OPTIONAL, "not here; hosts use pyverbs, or build it themselves", "make setup"
            )
        finished = subprocess.run(
            [str(program), "--capabilities"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PROBE_TIMEOUT_S,
        )
        said = json.loads(finished.stdout)
        version, devices = str(said["version"]), list(said["devices"])
    except HarnessError as error:
        return Finding(PROGRAM, State.OPTIONAL, str(error), "make setup")
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
        return Finding(
            PROGRAM, State.OPTIONAL, f"{program} does not run: {error}", "rm -rf build && make setup"
        )
    if DEVICE not in devices:
        return Finding(
            PROGRAM,
            State.OPTIONAL,
            f"{version}, without libibverbs: it moves no data ({program})",
            "apt-get install libibverbs-dev && make setup",
        )
    return Finding(PROGRAM, State.GOOD, f"{version}, devices {', '.join(devices)} ({program})")


def _virtual_lab() -> Finding:
    """What `roce lab` needs: QEMU to run, two tools to build the image once."""
    from harness.bindings.vmlab.preflight import BUILD_PROGRAMS, RUN_PROGRAMS, find_program

    needed = {**RUN_PROGRAMS, **BUILD_PROGRAMS}
    found = {name: find_program(name) for name in needed}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        packages = " ".join(dict.fromkeys(needed[name] for name in missing))
        seen = f"not here: {', '.join(missing)}; virtual machines with Soft-RoCE need it"
        return Finding("roce lab", State.OPTIONAL, seen, f"apt-get install {packages}")
    kvm = (
        "/dev/kvm can be opened"
        if os.access("/dev/kvm", os.R_OK | os.W_OK)
        else "no /dev/kvm: emulated, slower"
    )
    return Finding("roce lab", State.GOOD, f"{', '.join(needed)}; {kvm}")


def _program(name: str, purpose: str, advice: str) -> Finding:
    found = shutil.which(name)
    return (
        Finding(name, State.GOOD, found)
        if found
        else Finding(name, State.OPTIONAL, f"not here; {purpose}", advice)
    )
