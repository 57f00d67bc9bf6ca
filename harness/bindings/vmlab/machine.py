"""QEMU's command line. Guests that share a snapshot differ in back ends (ports, sockets) and in nothing else."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from harness.bindings.vmlab.errors import LabError
from harness.bindings.vmlab.image import Image
from harness.bindings.vmlab.plan import MAX_LINKS, Nic
from harness.bindings.vmlab.preflight import find_program

QEMU = "qemu-system-x86_64"

GUEST_MEMORY = 512 * 2**20
"""Bytes of memory of a guest."""

TRANSLATION_MIB = 128
"""Cache of translated code of one emulated guest; QEMU's default of 1 GiB is more than the guests are."""

KERNEL_OPTIONS = (
    "console=ttyS0",
    "loglevel=4",
    "panic=-1",
    "mitigations=off",
    "nowatchdog",
    "audit=0",
    "random.trust_cpu=on",
)
"""Speed under emulation, and a guest that ends (QEMU: -no-reboot) when its kernel panics."""

MACHINE_VERSION = 1
"""Raised when a change below makes older snapshots unfit without showing in the command line."""


class Accel(StrEnum):
    """What executes guest code: the processor itself, or QEMU's translator."""

    KVM = "kvm"
    TCG = "tcg"


CPU = {Accel.KVM: "host", Accel.TCG: "max"}


@dataclass(frozen=True, slots=True)
class Backends:
    """What connects one guest to the world: files in `folder`, an SSH port on loopback, the links' sockets."""

    folder: Path
    sockets: Path
    node: str
    ssh_port: int
    nics: tuple[Nic, ...] = ()

    @property
    def console(self) -> Path:
        """What the guest wrote on its console."""
        return self.folder / f"{self.node}.console.log"

    @property
    def qemu_log(self) -> Path:
        """What QEMU itself said."""
        return self.folder / f"{self.node}.qemu.log"

    @property
    def qmp(self) -> Path:
        """Socket of QEMU's machine protocol."""
        return self.sockets / f"{self.node}.qmp"

    @property
    def control(self) -> Path:
        """Socket of the guest's second serial port."""
        return self.sockets / f"{self.node}.ctl"


def machine_options(image: Image, accel: Accel) -> list[str]:
    """Return what all guests of an image share."""
    engine = f"tcg,tb-size={TRANSLATION_MIB}" if accel is Accel.TCG else "kvm"
    return [
        *(
            "-machine",
            "pc,memory-backend=ram,usb=off,vmport=off",
            "-accel",
            engine,
            "-cpu",
            CPU[accel],
            "-smp",
            "1",
        ),
        *(
            "-m",
            f"{GUEST_MEMORY // 2**20}M",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", " ".join(KERNEL_OPTIONS)),
        *("-drive", f"if=none,id=root,file={image.root},format=raw,readonly=on,file.locking=off"),
        *("-device", "virtio-blk-pci,drive=root", "-device", "virtio-rng-pci"),
        *("-device", "virtio-net-pci,netdev=mgmt,mac=52:54:00:52:4f:00,romfile="),
        *(part for slot in range(1, MAX_LINKS + 1) for part in _data_nic(slot)),
    ]


def _data_nic(slot: int) -> tuple[str, str]:
    return "-device", f"virtio-net-pci,netdev=data{slot},mac=52:54:00:52:4f:{slot:02x},romfile="


def backend_options(backends: Backends) -> list[str]:
    """Return what differs between guests."""
    used = {nic.slot: nic for nic in backends.nics}
    forward = f"hostfwd=tcp:127.0.0.1:{backends.ssh_port}-:22"
    return [
        *("-name", f"roce-{backends.node}"),
        *("-chardev", f"file,id=console,path={backends.console},append=on", "-serial", "chardev:console"),
        *(
            "-chardev",
            f"socket,id=control,path={backends.control},server=on,wait=off",
            "-serial",
            "chardev:control",
        ),
        *(
            "-chardev",
            f"socket,id=qmp,path={backends.qmp},server=on,wait=off",
            "-mon",
            "chardev=qmp,mode=control",
        ),
        # restrict: the guest reaches neither this machine nor any network through it.
        *("-netdev", f"user,id=mgmt,restrict=on,{forward}"),
        *(part for slot in range(1, MAX_LINKS + 1) for part in _link(slot, used.get(slot), backends.sockets)),
    ]


def _link(slot: int, nic: Nic | None, sockets: Path) -> tuple[str, str]:
    if nic is None:
        return "-netdev", f"hubport,id=data{slot},hubid={slot}"
    ours, theirs = sockets / nic.socket, sockets / nic.peer
    ends = f"local.type=unix,local.path={ours},remote.type=unix,remote.path={theirs}"
    return "-netdev", f"dgram,id=data{slot},{ends}"


def memory_options(file: Path, *, shared: bool) -> list[str]:
    """Return the guest's memory as a file: shared (written) when a snapshot is made, private when it is used."""
    share = "on" if shared else "off"
    return ["-object", f"memory-backend-file,id=ram,size={GUEST_MEMORY},mem-path={file},share={share}"]


def plain_memory() -> list[str]:
    """Return memory that no file backs."""
    return ["-object", f"memory-backend-ram,id=ram,size={GUEST_MEMORY}"]


@cache
def qemu_version() -> str:
    """Return QEMU's version line; raise LabError when it does not run."""
    program = find_program(QEMU)
    if program is None:
        raise LabError(f"there is no {QEMU}; install: apt-get install qemu-system-x86")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        raise LabError(f"{QEMU} --version failed: {done.stderr.strip()[-200:]}")
    return done.stdout.splitlines()[0].strip()


def machine_digest(image: Image, accel: Accel) -> str:
    """Return the hash of all that a snapshot depends on."""
    processor = _processor() if accel is Accel.KVM else ""
    what = [
        MACHINE_VERSION,
        image.digest,
        image.build_id,
        qemu_version(),
        accel,
        processor,
        machine_options(image, accel),
    ]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]


def _processor() -> str:
    """The processor's model: with KVM a snapshot holds its features."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    kept = ("vendor_id", "cpu family", "model", "stepping", "flags")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(kept)))
