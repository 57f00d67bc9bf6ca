"""Real OpenSSH servers on loopback, one or several, with keys and files of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core.site import Access
from harness.transport.local import LocalRemote
from harness.transport.remote import Remote
from harness.transport.ssh import SshRemote, connect

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
KEYGEN = shutil.which("ssh-keygen")


def keygen(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a key pair."""
    subprocess.run(
        [str(KEYGEN), "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)],
        check=True,
        timeout=20,
    )
    return path


def public(path: Path) -> str:
    return path.with_name(path.name + ".pub").read_text(encoding="utf-8").strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def children(pid: int) -> list[int]:
    """The processes that a process started, deep."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="utf-8").split():
                found += [int(child), *children(int(child))]
    return found


def running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(true: Callable[[], object], seconds: float = 5.0) -> bool:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@dataclass
class Server:
    """An sshd that runs."""

    folder: Path
    port: int
    host_key: Path
    process: subprocess.Popen[bytes]
    user_key: Path
    known_hosts: Path

    @property
    def access(self) -> Access:
        return Access(
            address="127.0.0.1", port=self.port, identity=self.user_key, known_hosts=self.known_hosts
        )

    @property
    def sessions(self) -> list[int]:
        """The sshd processes of connections, and all that runs in them."""
        return children(self.process.pid)

    def stop(self) -> None:
        running = self.sessions
        self.process.kill()
        self.process.wait()
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)


Start = Callable[..., Server]


@pytest.fixture(scope="session")
def user_key(tmp_path_factory) -> Path:
    if SSHD is None or KEYGEN is None:
        pytest.skip("openssh-server is not installed")
    return keygen(tmp_path_factory.mktemp("keys") / "id")


@pytest.fixture
def start(tmp_path_factory, user_key) -> Iterator[Start]:
    """Start sshd with more lines of configuration; all are stopped at the end."""
    servers: list[Server] = []

    def start_sshd(*lines: str, known: bool = True, inside: Sequence[str] = ()) -> Server:
        server = launch(tmp_path_factory.mktemp("sshd"), user_key, lines, inside)
        servers.append(server)
        if known:
            key = " ".join(public(server.host_key).split()[:2])
            server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {key}\n", encoding="utf-8")
        return server

    yield start_sshd
    for server in servers:
        server.stop()


def launch(folder: Path, user_key: Path, lines: Sequence[str], inside: Sequence[str]) -> Server:
    folder.chmod(0o700)
    (folder / "home").mkdir()
    port = free_port()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks itself up before it knows the user
    host_key = keygen(folder / "host_key")
    (folder / "authorized").write_text(public(user_key) + "\n", encoding="utf-8")
    (folder / "config").write_text(configuration(folder, host_key, lines, port), encoding="utf-8")
    process = subprocess.Popen(
        [*inside, str(SSHD), "-D", "-f", str(folder / "config"), "-E", str(folder / "log")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    server = Server(folder, port, host_key, process, user_key, folder / "known_hosts")
    if not until(lambda: answers(port) or process.poll() is not None) or process.poll() is not None:
        server.stop()
        pytest.fail(f"sshd does not start: {(folder / 'log').read_text(encoding='utf-8')}")
    return server


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def configuration(folder: Path, host_key: Path, lines: Sequence[str], port: int) -> str:
    return "\n".join(
        [
            *lines,
            f"Port {port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {host_key}",
            f"AuthorizedKeysFile {folder / 'authorized'}",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin yes",
            f"SetEnv HOME={folder / 'home'}",  # nothing is written to the home of who runs the tests
            *(
                []
                if any(line.startswith("Subsystem") for line in lines)
                else ["Subsystem sftp internal-sftp"]
            ),
            "LogLevel VERBOSE",
            "",
        ]
    )


@pytest.fixture
def server(start) -> Server:
    return start()


@pytest.fixture
def remote(server) -> Iterator[SshRemote]:
    remote = connect(server.access, "h1")
    yield remote
    remote.close()


@pytest.fixture(params=["ssh", "local"])
def machine(request) -> Iterator[Remote]:
    """What holds for every machine is tested on each kind."""
    machine = request.getfixturevalue("remote") if request.param == "ssh" else LocalRemote("h1")
    yield machine
    machine.close()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """No key, agent or configuration of the person who runs the tests takes part."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder
