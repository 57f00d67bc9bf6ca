"""One booted guest, saved once: what every node starts from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shlex import quote

from harness.bindings.vmlab.control import Control
from harness.bindings.vmlab.errors import GuestError, LabError
from harness.bindings.vmlab.image import Image
from harness.bindings.vmlab.launch import (
    BOOT_TIMEOUT_S,
    IGNORE_SHARED,
    Launcher,
    Snapshot,
    last_words,
    wait_for_ssh,
)
from harness.bindings.vmlab.layout import Layout
from harness.bindings.vmlab.machine import Accel, Backends, machine_digest, memory_options
from harness.bindings.vmlab.ports import free_port
from harness.bindings.vmlab.process import Process
from harness.bindings.vmlab.qmp import Qmp

SAVE_TIMEOUT_S = 120.0

WARM_UP = """
python3 -c 'import json, socket, threading, pyverbs.device, pyverbs.qp, pyverbs.cq, pyverbs.mr, pyverbs.addr' 2>&1
ip -s -j link > /dev/null; tc -s -j qdisc > /dev/null; rdma -j link > /dev/null; nft -j list tables > /dev/null
ethtool -S mgmt > /dev/null 2>&1
sync
"""
"""What the first minutes of a lab read from disk is then in memory, which the snapshot keeps."""


def find_snapshot(layout: Layout, image: Image, accel: Accel) -> Snapshot | None:
    """Return the snapshot for this image, this QEMU and this way to run it, when it has been made."""
    folder = layout.snapshots / machine_digest(image, accel)
    return Snapshot(folder) if folder.is_dir() else None


def make_snapshot(layout: Layout, image: Image, accel: Accel, say: Callable[[str], None]) -> Snapshot:
    """Return the snapshot, booting a guest and saving it first unless it is there."""
    if (found := find_snapshot(layout, image, accel)) is not None:
        return found
    say(f"booting a guest once to keep it as a snapshot ({accel})")
    target = layout.snapshots / machine_digest(image, accel)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=layout.snapshots) as scratch:
        folder = Path(scratch) / "snapshot"
        folder.mkdir(mode=0o700)
        _save(layout, Launcher(image, accel, None), Snapshot(folder), Path(scratch))
        with suppress(FileExistsError, OSError):
            folder.rename(target)
    if not target.is_dir():
        raise LabError(f"the snapshot could not be put in place: {target}")
    snapshot = Snapshot(target)
    say(f"snapshot {target.name}: {snapshot.size_bytes() / 1e6:.0f} MB")
    return snapshot


def _save(layout: Layout, launcher: Launcher, snapshot: Snapshot, scratch: Path) -> None:
    sockets = Path(tempfile.mkdtemp(prefix="s-", dir=layout.sockets("snapshot")))
    backends = Backends(scratch, sockets, "snapshot", free_port())
    started: list[Process] = []
    try:
        process = launcher.boot(backends, memory_options(snapshot.memory, shared=True), started.append)
        _warm_up(backends, process)
        _write_state(backends, process, snapshot)
    except LabError as error:
        raise GuestError(backends.node, f"{error}{last_words(backends)}") from error
    finally:
        for process in started:
            process.kill()
        shutil.rmtree(sockets, ignore_errors=True)


def _warm_up(backends: Backends, process: Process) -> None:
    control = Control(backends.control, process.alive)
    try:
        control.wait_ready(BOOT_TIMEOUT_S)
        wait_for_ssh(backends.ssh_port, process.alive, BOOT_TIMEOUT_S)
        control.run(WARM_UP, timeout_s=BOOT_TIMEOUT_S)
    finally:
        control.close()


def _write_state(backends: Backends, process: Process, snapshot: Snapshot) -> None:
    with Qmp(backends.qmp, process.alive) as qmp:
        qmp.execute("migrate-set-capabilities", capabilities=[IGNORE_SHARED])
        qmp.execute("stop")
        qmp.execute("migrate", uri=f"exec:cat > {quote(str(snapshot.state))}")
        qmp.wait_migration(SAVE_TIMEOUT_S)
        qmp.execute("quit")
