"""Files: whole or not at all, sent once, and a reason when they cannot be."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from harness.core.errors import CommandFailed, ConfigError, ConnectionLost, NoProgress
from harness.transport import transfer
from harness.transport.limits import Limits
from harness.transport.local import LocalRemote
from harness.transport.ssh import connect

from .conftest import until

DATA = random.Random(7).randbytes(100_000)


def left_overs(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.name.endswith(".part"))


@pytest.mark.parametrize("size", [0, 1, 32768, 100_000, 5_000_000])
def test_an_upload_arrives_as_it_is(machine, tmp_path, size) -> None:
    data = random.Random(size).randbytes(size)

    machine.upload(data, f"{tmp_path}/file", mode=0o640)

    assert (tmp_path / "file").read_bytes() == data
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert left_overs(tmp_path) == []


@pytest.mark.parametrize("name", ["two words", "it's", "$HOME", "-f", "a\nb", "ümläut"])
def test_a_path_is_data_too(machine, tmp_path, name) -> None:
    machine.upload(b"x", f"{tmp_path}/{name}")

    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [name]


def test_a_file_that_is_there_is_replaced_at_once(machine, tmp_path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    inode = target.stat().st_ino

    machine.upload(b"new", str(target))

    assert target.read_bytes() == b"new"
    assert target.stat().st_ino != inode  # renamed over, never half written


def test_a_relative_path_starts_at_home(remote, tmp_path) -> None:
    home = remote.run(["pwd"]).stdout.strip()

    remote.upload(b"here", os.path.relpath(tmp_path / "file", home))

    assert (tmp_path / "file").read_bytes() == b"here"


def test_a_folder_that_is_not_there(machine, tmp_path) -> None:
    with pytest.raises(
        CommandFailed, match=f"h1: cannot write h1:{tmp_path}/none/file .*([Nn]o such file|nonexistent)"
    ):
        machine.upload(b"x", f"{tmp_path}/none/file")


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_is_no_path_is_refused(remote, path) -> None:
    with pytest.raises(ConfigError):
        remote.upload(b"x", path)


# --- deploy --------------------------------------------------------------------------------------------------


def test_a_deployed_file_is_named_by_its_content_and_sent_once(server, remote, monkeypatch) -> None:
    path = remote.deploy(DATA, "agent.pyz")

    digest = hashlib.sha256(DATA).hexdigest()
    assert path == f"{server.folder}/home/.cache/roce-harness/agent.pyz-{digest[:16]}"
    assert Path(path).read_bytes() == DATA
    assert Path(path).stat().st_mode & 0o777 == 0o755
    assert Path(path).parent.stat().st_mode & 0o777 == 0o700

    monkeypatch.setattr(transfer, "upload", lambda *_: pytest.fail("sent again"))
    assert remote.deploy(DATA, "agent.pyz") == path
    monkeypatch.undo()
    assert remote.deploy(DATA + b"!", "agent.pyz") != path


def test_a_deployed_file_is_asked_for_in_one_command(remote, monkeypatch) -> None:
    remote.deploy(DATA, "agent.pyz")
    opened = []
    channel = remote.channel
    monkeypatch.setattr(remote, "channel", lambda what: opened.append(what) or channel(what))

    remote.deploy(DATA, "agent.pyz")

    assert len(opened) == 1


def test_a_deployed_file_that_was_damaged_is_sent_again(machine) -> None:
    path = Path(machine.deploy(DATA, "agent.pyz"))
    path.write_bytes(DATA[:-1] + b"?")

    assert machine.deploy(DATA, "agent.pyz") == str(path)
    assert path.read_bytes() == DATA


def test_many_may_deploy_the_same_file_at_once(server) -> None:
    remotes = [connect(server.access, f"h{number}") for number in range(4)]
    paths: list[str] = []
    threads = [
        threading.Thread(target=lambda remote=remote: paths.append(remote.deploy(DATA, "agent.pyz")))
        for remote in remotes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(paths) == 4
    assert len(set(paths)) == 1
    assert Path(paths[0]).read_bytes() == DATA
    assert left_overs(server.folder) == []
    for remote in remotes:
        remote.close()


def test_a_program_can_run_as_soon_as_it_is_there(monkeypatch, tmp_path) -> None:
    """Also while others write and start theirs: one that is being started keeps open what was open for writing."""
    monkeypatch.setenv("HOME", str(tmp_path))
    program = Path(shutil.which("true")).read_bytes()

    def deploy_and_run(number: int) -> list[int]:
        machine = LocalRemote(f"h{number}")
        versions = [program + f"{number} {version}".encode() for version in range(25)]
        return [machine.run([machine.deploy(each, "true")], check=False).exit_code for each in versions]

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(deploy_and_run, range(8))] == [[0] * 25] * 8


def test_a_cache_that_is_a_link_is_not_trusted(server, remote, tmp_path) -> None:
    (server.folder / "home/.cache").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (server.folder / "home/.cache/roce-harness").symlink_to(tmp_path / "elsewhere")

    path = Path(remote.deploy(DATA, "agent.pyz"))

    try:
        assert path.parent == Path(f"/tmp/roce-harness-{os.getuid()}")
        assert list((tmp_path / "elsewhere").iterdir()) == []
    finally:
        path.unlink()
        with suppress(OSError):  # somebody else's files are in it
            path.parent.rmdir()


def test_what_is_old_in_the_cache_goes(server, remote) -> None:
    cache = Path(remote.deploy(DATA, "agent.pyz")).parent
    names = {".x.1.part": 2 * 3600, ".y.2.part": 60, "old-0123": 31 * 86400, "new-0123": 29 * 86400}
    for name, age in names.items():
        (cache / name).write_bytes(b"")
        os.utime(cache / name, (time.time() - age, time.time() - age))

    remote.deploy(b"another", "agent.pyz")

    assert {".y.2.part", "new-0123"} == {path.name for path in cache.iterdir()} & set(names)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a b", "-x"])
def test_what_is_no_name_is_refused(machine, name) -> None:
    with pytest.raises(ConfigError):
        machine.deploy(b"x", name)


# --- trouble ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["Subsystem other /bin/true", "Subsystem sftp /no/such/server"])
def test_a_host_without_sftp_is_served_by_its_shell(start, tmp_path, line) -> None:
    remote = connect(start(line).access, "h1")

    remote.upload(DATA, f"{tmp_path}/it's a file", mode=0o600)

    assert (tmp_path / "it's a file").read_bytes() == DATA
    assert (tmp_path / "it's a file").stat().st_mode & 0o777 == 0o600
    assert left_overs(tmp_path) == []
    remote.close()


SMALL_DISK = 'mount -t tmpfs -o size=64k none {folder} && exec "$@"'


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    trial = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(trial, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("sftp", [True, False], ids=["sftp", "shell"])
@pytest.mark.skipif(not can_mount(), reason="needs the right to mount a small file system")
def test_a_full_disk_is_called_a_full_disk(start, tmp_path, sftp) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    lines = [] if sftp else ["Subsystem other /bin/true"]
    server = start(*lines, inside=["unshare", "-m", "sh", "-c", SMALL_DISK.format(folder=disk), "sh"])
    remote = connect(server.access, "h1")

    with pytest.raises(CommandFailed) as caught:
        remote.upload(DATA, f"{disk}/file")

    assert caught.value.message == f"no space left on h1:{disk}/file"
    assert "No space left on device" in str(caught.value)
    assert remote.run(["ls", "-A", str(disk)]).stdout == ""
    remote.upload(DATA[:1000], f"{disk}/file")
    remote.close()


def test_an_interrupted_upload_leaves_nothing(remote, tmp_path, monkeypatch) -> None:
    def interrupted(sftp, data, part, mode) -> None:
        with sftp.open(part, "wbx") as file:
            file.write(data[:1000])
            raise KeyboardInterrupt

    monkeypatch.setattr(transfer, "_write", interrupted)

    with pytest.raises(KeyboardInterrupt):
        remote.upload(DATA, f"{tmp_path}/file")

    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


@pytest.mark.parametrize("sftp", [True, False], ids=["sftp", "shell"])
def test_an_upload_whose_connection_breaks_leaves_no_file_of_that_name(start, tmp_path, sftp) -> None:
    server = start(*([] if sftp else ["Subsystem other /bin/true"]))
    remote = connect(server.access, "h1")
    size = 64 << 20

    def cut() -> None:
        assert until(lambda: any(path.stat().st_size for path in tmp_path.glob(".file.*")))
        for pid in server.sessions:
            comm = Path(f"/proc/{pid}/comm").read_text()
            if "sshd" in comm:
                os.kill(pid, signal.SIGKILL)

    cutter = threading.Thread(target=cut)
    cutter.start()
    with pytest.raises(ConnectionLost, match="lost during"):
        remote.upload(bytes(size), f"{tmp_path}/file")
    cutter.join()

    assert not (tmp_path / "file").exists()
    if not sftp:
        assert until(lambda: left_overs(tmp_path) == [])


def test_an_sftp_server_that_says_nothing_is_not_waited_for(start, tmp_path) -> None:
    remote = connect(start("Subsystem sftp /bin/sleep 60").access, "h1", limits=Limits(silence_s=0.5))

    remote.upload(DATA, f"{tmp_path}/file")

    assert (tmp_path / "file").read_bytes() == DATA
    remote.close()


SFTP_SERVER = Path("/usr/lib/openssh/sftp-server")


@pytest.mark.skipif(not SFTP_SERVER.exists(), reason="needs sftp-server as a program of its own")
def test_an_upload_that_nothing_takes(start, tmp_path) -> None:
    server = start(f"Subsystem sftp {SFTP_SERVER}")
    remote = connect(server.access, "h1", limits=Limits(silence_s=0.5))

    def stop() -> None:
        assert until(lambda: any(path.stat().st_size for path in tmp_path.glob(".file.*")))
        for pid in server.sessions:
            if Path(f"/proc/{pid}/comm").read_text() == "sftp-server\n":
                os.kill(pid, signal.SIGSTOP)

    stopper = threading.Thread(target=stop)
    stopper.start()
    started = time.monotonic()
    with pytest.raises(NoProgress, match=f"h1: nothing takes the upload of {tmp_path}/file"):
        remote.upload(bytes(64 << 20), f"{tmp_path}/file")
    stopper.join()

    assert time.monotonic() - started < 5
    assert not (tmp_path / "file").exists()
    assert remote.run(["true"]).exit_code == 0
    remote.close()
