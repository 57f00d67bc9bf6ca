"""Whether KVM works here: asked by booting our kernel once, because a /dev/kvm that opens may still fail."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness.bindings.vmlab.image import Image
from harness.bindings.vmlab.layout import Layout
from harness.bindings.vmlab.machine import CPU, QEMU, Accel, qemu_version
from harness.bindings.vmlab.preflight import find_program
from harness.bindings.vmlab.process import boot_id

PROBE_TIMEOUT_S = 10.0
"""With KVM the kernel is there in about a second."""

PROBE_MARK = "roce: kernel runs"
"""What the initramfs says."""

KVM_DEVICE = Path("/dev/kvm")


def choose_accel(layout: Layout, image: Image, say: Callable[[str], None]) -> Accel:
    """Return KVM when it works, else TCG; the answer is kept until the next boot or another QEMU or image.

    $ROCE_LAB_ACCEL (`kvm` or `tcg`) decides without a probe.
    """
    if forced := os.environ.get("ROCE_LAB_ACCEL"):
        return Accel(forced)
    key = [boot_id(), qemu_version(), image.digest, image.build_id, os.access(KVM_DEVICE, os.R_OK | os.W_OK)]
    cache = layout.folder() / "accel.json"
    if (known := _read(cache, key)) is not None:
        return known
    reason = _why_not_kvm(image)
    accel = Accel.TCG if reason else Accel.KVM
    say(f"KVM cannot be used ({reason}); guests are emulated (TCG)" if reason else "KVM works")
    cache.write_text(json.dumps({"key": key, "accel": accel, "reason": reason}))
    return accel


def _read(cache: Path, key: list[object]) -> Accel | None:
    try:
        known = json.loads(cache.read_text())
        return Accel(known["accel"]) if known["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _why_not_kvm(image: Image) -> str:
    """Return why KVM does not work, nothing when it does."""
    if not KVM_DEVICE.exists():
        return f"there is no {KVM_DEVICE}"
    if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return f"no right to use {KVM_DEVICE}; join the group kvm"
    command = [find_program(QEMU) or QEMU, *_probe_options(image)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"a probe did not boot within {PROBE_TIMEOUT_S:.0f} s"
    if PROBE_MARK.encode() in done.stdout:
        return ""
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return f"a probe ended with exit code {done.returncode}: {said[0] if said else 'no message'}"


def _probe_options(image: Image) -> list[str]:
    return [
        *(
            "-accel",
            "kvm",
            "-cpu",
            CPU[Accel.KVM],
            "-machine",
            "pc",
            "-m",
            "256M",
            "-nodefaults",
            "-no-user-config",
        ),
        *("-display", "none", "-no-reboot", "-serial", "stdio"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs)),
        *("-append", "console=ttyS0 quiet panic=-1 roce.probe"),
    ]
