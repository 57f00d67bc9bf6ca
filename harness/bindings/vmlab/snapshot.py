"""One booted guest, saved once: what every node starts from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from shlex import quote

from harness.bindings.vmlab.control import Control
from harness.bindings.vmlab.errors import GuestError, LabError
from harness.bindings.vmlab.image import Image, build_lock
from harness.bindings.vmlab.launch import (
    BOOT_TIMEOUT_S,
    IGNORE_SHARED,
    Launcher,
    Snapshot,
    last_words,
    wait_for_ssh,
)
from harness.bindings.vmlab.layout import Layout
from harness.bindings.vmlab.locks import held
from harness.bindings.vmlab.machine import Accel, Backends, machine_digest, memory_options
from harness.bindings.vmlab.ports import free_port
from harness.bindings.vmlab.process import Process
from harness.bindings.vmlab.qmp import Qmp
from harness.bindings.vmlab.teardown import sweep

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
    """Return the snapshot, booting a guest and saving it first unless it is there.

    Raises LabError when no guest boots, or QEMU cannot save it.
    """
    if (found := find_snapshot(layout, image, accel)) is not None:
        return found
    with held(build_lock(layout), say):
        # Whoever had the lock may have made it.
        if (found := find_snapshot(layout, image, accel)) is not None:
            return found
        say(f"booting a guest once to keep it as a snapshot ({accel})")
        snapshot = _make(layout, image, accel)
    say(f"snapshot {snapshot.folder.name}: {snapshot.size_bytes() / 1e6:.0f} MB")
    return snapshot


def _make(layout: Layout, image: Image, accel: Accel) -> Snapshot:
    scratch = layout.folder("snapshot", ".saving")
    sweep(layout, scratch)
    shutil.rmtree(scratch)
    folder = layout.folder("snapshot", ".saving", "snapshot")
    target = layout.snapshots / machine_digest(image, accel)
    try:
        _save(layout, Launcher(image, accel, None), Snapshot(folder), scratch)
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Snapshot(target)


def _save(layout: Layout, launcher: Launcher, snapshot: Snapshot, scratch: Path) -> None:
    backends = Backends(scratch, layout.sockets(scratch), "snapshot", free_port())
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
