"""What the lab needs of this machine, asked before anything long starts: programs, memory, disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.bindings.vmlab.errors import LabError

RUN_PROGRAMS: Mapping[str, str] = {"qemu-system-x86_64": "qemu-system-x86"}
BUILD_PROGRAMS: Mapping[str, str] = {"mmdebstrap": "mmdebstrap", "mksquashfs": "squashfs-tools"}
"""Programs and the Debian packages that bring them."""

BUILD_DISK_BYTES = 2 * 10**9
"""Measured 0.8 GB at the peak of a build; the rest is room for the next Debian."""

RUN_DISK_BYTES = 10**9
"""The snapshot (at most one guest's memory) and logs."""

GUEST_COST_BYTES = 512 * 2**20
"""Most that a guest takes: 300 MiB of its own after traffic were measured (its memory, most of it never touched
or shared with the snapshot, and 128 MiB of translated code)."""

SPARE_MEMORY_BYTES = 256 * 2**20
"""What is left to everybody else."""


def check_build(cache: Path) -> None:
    """Raise LabError unless an image can be built here."""
    _check_programs({**BUILD_PROGRAMS, **RUN_PROGRAMS})
    _check_disk(cache, BUILD_DISK_BYTES)
    _check_namespaces()


def check_run(cache: Path, guests: int) -> None:
    """Raise LabError unless so many guests can run here."""
    _check_programs(RUN_PROGRAMS)
    _check_disk(cache, RUN_DISK_BYTES)
    available = available_memory()
    wanted = guests * GUEST_COST_BYTES + SPARE_MEMORY_BYTES
    if available is not None and available < wanted:
        raise LabError(
            f"{guests} guests need {wanted / 2**30:.1f} GiB of memory and {available / 2**30:.1f} GiB are available; "
            "end something, or take a smaller topology"
        )


def find_program(name: str) -> str | None:
    """Return the path of a program, also where users do not look."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _check_programs(programs: Mapping[str, str]) -> None:
    missing = {name: package for name, package in programs.items() if find_program(name) is None}
    if missing:
        lines = [f"{name} (Debian package {package})" for name, package in missing.items()]
        packages = " ".join(dict.fromkeys(missing.values()))
        raise LabError(f"missing: {', '.join(lines)}; install: apt-get install {packages}")


def _check_disk(cache: Path, wanted: int) -> None:
    place = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise LabError(
            f"{place} has {free / 1e9:.1f} GB free and the lab needs {wanted / 1e9:.1f} GB; "
            "free some, or set ROCE_LAB_DIR to another disk"
        )


def _check_namespaces() -> None:
    """Mmdebstrap needs root or user namespaces, and says so in a way that is hard to read."""
    if os.geteuid() == 0:
        return
    if find_program("newuidmap") is None:
        raise LabError(
            "building without root needs newuidmap (Debian package uidmap); install: apt-get install uidmap"
        )


def available_memory() -> int | None:
    """Return the bytes that new processes can have (MemAvailable), None where the kernel does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
