"""The root file system of the guests: built once with mmdebstrap, packed as squashfs, kept by content hash."""

from __future__ import annotations

import io
import lzma
import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.bindings.vmlab.content import (
    DPKG_PATHS,
    EARLY_MODULES,
    GUEST_FILES,
    PACKAGES,
    SUITE,
    digest,
    guest_file,
)
from harness.bindings.vmlab.errors import LabBusy, LabError
from harness.bindings.vmlab.initramfs import Entry, cpio
from harness.bindings.vmlab.keys import Keys, make_keys
from harness.bindings.vmlab.layout import Layout
from harness.bindings.vmlab.locks import Lock, held
from harness.bindings.vmlab.preflight import check_build
from harness.bindings.vmlab.state import labs

Say = Callable[[str], None]
"""Told one line each time a long piece of work starts or ends."""

BUILD_TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True)
class Image:
    """A built image: what QEMU boots, and the keys that open it."""

    folder: Path

    @property
    def digest(self) -> str:
        """The content hash that names it."""
        return self.folder.name

    @property
    def kernel(self) -> Path:
        """Linux, as Debian ships it."""
        return self.folder / "vmlinuz"

    @property
    def initramfs(self) -> Path:
        """Our own, uncompressed: unpacking costs emulated time."""
        return self.folder / "initramfs"

    @property
    def root(self) -> Path:
        """The squashfs that all guests share."""
        return self.folder / "root.squashfs"

    @property
    def keys(self) -> Keys:
        """The client's key and the host key of all guests."""
        return Keys(self.folder)

    @property
    def build_id(self) -> str:
        """What tells this build from another of the same content hash, whose packages may be newer.

        It is empty for an image that an older builder made or that is gone.
        """
        try:
            return (self.folder / "build-id").read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""

    def size_bytes(self) -> int:
        """Return the bytes on disk of all its files."""
        return sum(path.stat().st_size for path in self.folder.iterdir())


def find_image(layout: Layout) -> Image | None:
    """Return the image that this code would build, when it has been built."""
    folder = layout.images / digest()
    return Image(folder) if folder.is_dir() else None


def build(layout: Layout, say: Say, *, again: bool = False) -> Image:
    """Return the image, building it first unless it is there; `again` builds in any case.

    Raises:
        LabBusy: a lab runs on the image that is to be built again.
        LabError: a program is missing, the disk is full, or mmdebstrap failed (its last lines are told).
    """
    if not again and (found := find_image(layout)) is not None:
        return found
    check_build(layout.root)
    with held(build_lock(layout), say):
        # Whoever had the lock may have built it.
        if not again and (found := find_image(layout)) is not None:
            return found
        _refuse_if_used(layout)
        image = _build(layout, say)
        prune(layout, image)
    say(f"image {image.digest}: {image.size_bytes() / 1e6:.0f} MB in {image.folder}")
    return image


def build_lock(layout: Layout) -> Lock:
    """The lock of whoever makes an image or a snapshot."""
    return Lock(layout.folder() / "build.lock", "the guests' image is being made")


def _refuse_if_used(layout: Layout) -> None:
    """The keys of a running lab are in its image, so that one stays."""
    users = [lab.name for lab in labs(layout) if lab.image == digest()]
    if users:
        raise LabBusy(f"lab {users[0]!r} runs on the image; roce lab down --name {users[0]}")


def prune(layout: Layout, image: Image) -> None:
    """Remove what a build that was cut off left, and other images that no lab runs on, with all snapshots.

    A snapshot is made in seconds, and one of another image is of no use.
    """
    kept = {image.digest, *(lab.image for lab in labs(layout))}
    old = [folder for folder in layout.images.iterdir() if folder.name not in kept]
    for folder in (*old, *layout.snapshots.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)


def _build(layout: Layout, say: Say) -> Image:
    with tempfile.TemporaryDirectory(prefix=".building-", dir=layout.images) as scratch:
        folder = Path(scratch) / "image"
        folder.mkdir(mode=0o700)
        _build_into(folder, Path(scratch), say)
        target = layout.images / digest()
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
    return Image(target)


def _build_into(folder: Path, scratch: Path, say: Say) -> None:
    tar = scratch / "root.tar"
    say(f"installing Debian {SUITE} with {len(PACKAGES)} packages and what they need (about a minute)")
    _mmdebstrap(tar)
    keys = make_keys(folder)
    say("packing kernel, initramfs and root file system")
    _take_kernel(tar, folder)
    _add_files(tar, keys)
    _squash(tar, folder / "root.squashfs")
    (folder / "build-id").write_text(secrets.token_hex(8) + "\n", encoding="ascii")


def _mmdebstrap(tar: Path) -> None:
    options = [f"--dpkgopt={path}" for path in DPKG_PATHS]
    command = [
        "mmdebstrap",
        "--variant=essential",
        *options,
        f"--include={','.join(PACKAGES)}",
        SUITE,
        str(tar),
    ]
    _run(command, "mmdebstrap cannot install the guests' Debian")


def _squash(tar: Path, target: Path) -> None:
    options = ["-tar", "-comp", "zstd", "-Xcompression-level", "3", "-quiet", "-no-progress"]
    with tar.open("rb") as source:
        _run(
            ["mksquashfs", "-", str(target), *options],
            "mksquashfs cannot pack the image",
            stdin=source.fileno(),
        )


def _run(command: list[str], failure: str, *, stdin: int = subprocess.DEVNULL) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=stdin,
            capture_output=True,
            check=False,
            timeout=BUILD_TIMEOUT_S,
            env=_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{failure}: not done after {BUILD_TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("E:")] or lines
        raise LabError(f"{failure}: {' / '.join(errors[-3:]) or f'exit code {done.returncode}'}")


def _environment() -> dict[str, str]:
    """Our environment with the folders of system programs, which users may lack."""
    return {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


def _take_kernel(tar: Path, folder: Path) -> None:
    """Write the kernel and the initramfs, from what the archive holds."""
    with tarfile.open(tar) as archive:
        members = {member.name.removeprefix("./"): member for member in archive.getmembers()}
        kernels = sorted(name for name in members if name.startswith("boot/vmlinuz-"))
        if len(kernels) != 1:
            raise LabError(f"the image should hold one kernel and holds {len(kernels)}")
        version = kernels[0].removeprefix("boot/vmlinuz-")

        def read(name: str) -> bytes:
            file = archive.extractfile(members[name])
            if file is None:
                raise LabError(f"{name} in the image is no regular file")
            return file.read()

        (folder / "vmlinuz").write_bytes(read(kernels[0]))
        (folder / "initramfs").write_bytes(_initramfs(read, f"usr/lib/modules/{version}"))
        (folder / "kernel-version").write_text(version + "\n")


def _initramfs(read: Callable[[str], bytes], modules: str) -> bytes:
    order = module_order(read(f"{modules}/modules.dep").decode(), EARLY_MODULES)
    files = [
        Entry(f"modules/{Path(path).name.removesuffix('.xz')}", _plain(path, read(f"{modules}/{path}")))
        for path in order
    ]
    names = "".join(f"{Path(entry.name).name}\n" for entry in files)
    return cpio(
        [
            Entry("modules"),
            Entry("busybox", read("usr/bin/busybox")),
            Entry("init", guest_file("initramfs-init")),
            Entry("modules/order", names.encode(), 0o644),
            *files,
        ]
    )


def _plain(path: str, data: bytes) -> bytes:
    return lzma.decompress(data) if path.endswith(".xz") else data


def module_order(modules_dep: str, wanted: tuple[str, ...]) -> list[str]:
    """Return the files of modules and of all they depend on, each before those that need it.

    A line of modules.dep names a file and what it needs, the deepest last. Raises LabError when a module is
    not there (one that is built into the kernel is not there either).
    """
    needs = {line.partition(":")[0]: line.partition(":")[2].split() for line in modules_dep.splitlines()}
    files = {Path(path).name.split(".")[0].replace("-", "_"): path for path in needs}
    order: dict[str, None] = {}
    for name in wanted:
        if name not in files:
            raise LabError(f"the guests' kernel has no module {name}")
        order.update(dict.fromkeys((*reversed(needs[files[name]]), files[name])))
    return list(order)


def _add_files(tar: Path, keys: Keys) -> None:
    """Append our files to the archive. None of them replaces one of Debian's: tools differ on which one wins."""
    files = {path: (guest_file(name), mode) for name, (path, mode) in GUEST_FILES.items()}
    files["etc/roce/host_ed25519"] = (keys.host_private.read_bytes(), 0o600)
    files["etc/roce/authorized_keys"] = (keys.client_public.read_bytes(), 0o600)
    with tarfile.open(tar, "a") as archive:
        for folder in ("etc/roce", "usr/lib/roce"):
            archive.addfile(_entry(folder, tarfile.DIRTYPE, 0o755))
        for path, (data, mode) in files.items():
            member = _entry(path, tarfile.REGTYPE, mode)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = _entry("usr/sbin/init", tarfile.SYMTYPE, 0o777)
        link.linkname = "../bin/busybox"
        archive.addfile(link)


def _entry(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(f"./{path}")
    member.type, member.mode = kind, mode
    member.uname = member.gname = "root"
    return member
