"""``python -m bench control-plane``: connect to many hosts, deploy a file, say hello; over real OpenSSH on loopback.

Each host is an sshd of its own, with its own port, host key and home. Everything runs on this machine, so both ends
of every handshake compete for its cores: a lab, where each host brings its own CPU, is faster.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import BenchError
from harness.core.site import Access
from harness.transport.remote import Remote
from harness.transport.ssh import DIAL_WORKERS, connect, dial

HOSTS = (16, 64, 128, 256)
GOAL_HOSTS, GOAL_S = 64, 10.0
FILE_BYTES = 100_000
HELLO = ["sh", "-c", "echo hello; read line; echo $line"]

SSHD_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {home}/host_key
AuthorizedKeysFile {folder}/id.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
SetEnv HOME={home}
Subsystem sftp internal-sftp
LogLevel ERROR
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What one number of hosts took; times in seconds."""

    hosts: int
    connect_s: float
    deploy_s: float
    hello_s: float
    again_s: float
    """Deploying once more what is there."""
    cpu_s: float
    rss_mb: float
    threads: int

    @property
    def total_s(self) -> float:
        """Connect, deploy, hello: from nothing to talking with every host."""
        return self.connect_s + self.deploy_s + self.hello_s


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; 0 when the goal was met, 1 when not, 2 when it cannot be measured."""
    options = _options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 150)
    try:
        with _hosts(max(options.hosts)) as accesses:
            rows = [measure(_first(accesses, count), options.workers, count) for count in options.hosts]
            one_by_one = sequential(_first(accesses, min(options.hosts)))
    except Exception as error:  # noqa: BLE001 - the border of the process: one line, no traceback
        print(f"bench: {error}", file=sys.stderr)
        return 2
    console.print(_table(rows, options.workers))
    return _conclude(rows, one_by_one, console)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench control-plane", description=__doc__)
    parser.add_argument(
        "--hosts", type=int, nargs="+", default=list(HOSTS), help="numbers of hosts (%(default)s)"
    )
    parser.add_argument("--workers", type=int, default=DIAL_WORKERS, help="hosts at a time (%(default)s)")
    return parser.parse_args(arguments)


def _first(accesses: Mapping[str, Access], count: int) -> dict[str, Access]:
    return dict(list(accesses.items())[:count])


# --- what is measured ----------------------------------------------------------------------------------------


def measure(accesses: Mapping[str, Access], workers: int, seed: int) -> Row:
    """Go through all phases with these hosts; `seed` makes a file that no host has yet."""
    cpu, data, times = time.process_time(), _file(seed), [time.monotonic()]
    remotes, errors = dial(accesses, workers=workers)
    if errors:
        raise BenchError(f"{len(errors)} of {len(accesses)} hosts failed: {next(iter(errors.values()))}")
    try:
        with ThreadPoolExecutor(workers) as pool:
            for phase in (
                lambda remote: remote.deploy(data, "bench"),
                _hello,
                lambda remote: remote.deploy(data, "bench"),
            ):
                times.append(time.monotonic())
                list(pool.map(phase, remotes.values()))
        times.append(time.monotonic())
        spent = time.process_time() - cpu
        threads = threading.active_count()
    finally:
        for remote in remotes.values():
            remote.close()
    connected, deployed, greeted, again = (later - earlier for earlier, later in itertools.pairwise(times))
    return Row(
        hosts=len(accesses),
        connect_s=connected,
        deploy_s=deployed,
        hello_s=greeted,
        again_s=again,
        cpu_s=spent,
        rss_mb=_resident_mb(),
        threads=threads,
    )


def sequential(accesses: Mapping[str, Access]) -> float:
    """Return the seconds that one host after the other takes, each."""
    data = _file(0)
    started = time.monotonic()
    for host, access in accesses.items():
        remote = connect(access, host)
        remote.deploy(data, "bench")
        _hello(remote)
        remote.close()
    return (time.monotonic() - started) / len(accesses)


def _file(seed: int) -> bytes:
    return random.Random(f"{seed} {os.getpid()}").randbytes(FILE_BYTES)


def _hello(remote: Remote) -> None:
    """Start a command, hear it, and have it answer, as with an agent."""
    process = remote.start(HELLO)
    if process.readline(10) != b"hello\n":
        raise BenchError(f"{remote.host} does not say hello")
    process.write(b"again\n")
    if process.readline(10) != b"again\n" or process.wait(10) != 0:
        raise BenchError(f"{remote.host} does not answer")


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


# --- hosts -----------------------------------------------------------------------------------------------------


@contextmanager
def _hosts(count: int) -> Iterator[dict[str, Access]]:
    """Start an sshd for each host; stop all of them and forget their files at the end."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if sshd is None:
        raise BenchError("sshd is not installed (Debian: openssh-server)")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="roce-bench-") as name:
        folder = Path(name)
        try:
            _make_keys(folder, count)
            ports = _free_ports(count)
            for number, port in enumerate(ports):
                running.append(_start(sshd, folder, number, port))
            _await(ports)
            yield {f"h{number}": _access(folder, port) for number, port in enumerate(ports)}
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait()


def _make_keys(folder: Path, count: int) -> None:
    def make(path: Path) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(make, [folder / "id", *(folder / f"{number}" / "host_key" for number in range(count))]))


def _start(sshd: str, folder: Path, number: int, port: int) -> subprocess.Popen[bytes]:
    home = folder / f"{number}"
    (home / "config").write_text(SSHD_CONFIG.format(folder=folder, home=home, port=port), encoding="utf-8")
    key = " ".join((home / "host_key.pub").read_text(encoding="utf-8").split()[:2])
    with (folder / "known_hosts").open("a", encoding="utf-8") as known:
        known.write(f"[127.0.0.1]:{port} {key}\n")
    command = [sshd, "-D", "-f", str(home / "config"), "-E", str(home / "log")]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def _access(folder: Path, port: int) -> Access:
    return Access(address="127.0.0.1", port=port, identity=folder / "id", known_hosts=folder / "known_hosts")


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, outside those the kernel gives to clients meanwhile."""
    found: list[int] = []
    for port in range(20_000, 32_000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise BenchError(f"only {len(found)} of {count} ports are free")


def _await(ports: list[int]) -> None:
    deadline = time.monotonic() + 30
    for port in ports:
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", port)) != 0:
                if time.monotonic() > deadline:
                    raise BenchError(f"sshd on port {port} does not start")
                time.sleep(0.02)


# --- what is shown ---------------------------------------------------------------------------------------------


def _table(rows: list[Row], workers: int) -> Table:
    title = (
        f"\nControl plane: sshd on loopback, {os.cpu_count()} cores for both ends, {workers} hosts at a time"
    )
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    for heading in (
        "hosts",
        "connect s",
        "deploy s",
        "hello s",
        "total s",
        "ms/host",
        "deployed already s",
        "our CPU s",
        "RSS MB",
        "threads",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        seconds = (row.connect_s, row.deploy_s, row.hello_s, row.total_s)
        cells = [_three_digits(value) for value in seconds]
        rest = [f"{1000 * row.total_s / row.hosts:.1f}", *map(_three_digits, (row.again_s, row.cpu_s))]
        table.add_row(str(row.hosts), *cells, *rest, f"{row.rss_mb:.0f}", str(row.threads))
    return table


def _three_digits(value: float) -> str:
    """Two hosts take a few milliseconds where 256 take many seconds: no column hides either."""
    return f"{value:.3g}"


def _conclude(rows: list[Row], one_by_one: float, console: Console) -> int:
    """Print growth, the gain over one host after the other, and whether the goal was met."""
    first, last = rows[0], rows[-1]
    growth = (last.total_s / last.hosts) / (first.total_s / first.hosts)
    console.print(f"{last.hosts} hosts cost {growth:.2f} × as much each as {first.hosts}.")
    gain = one_by_one * last.hosts / last.total_s
    console.print(
        f"One after the other: {1000 * one_by_one:.1f} ms a host; {last.hosts} at once are {gain:.1f} × faster."
    )
    judged = [row for row in rows if row.hosts == GOAL_HOSTS]
    for row in judged:
        word = "met" if row.total_s <= GOAL_S else "MISSED"
        console.print(f"Goal {word}: {GOAL_HOSTS} hosts in {row.total_s:.2f} s (at most {GOAL_S:g} s).")
    return 0 if all(row.total_s <= GOAL_S for row in judged) else 1
