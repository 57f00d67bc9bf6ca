"""What is in the root file system of the guests, and the hash that tells one content from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import resources

SUITE = "trixie"
"""Debian 13. mmdebstrap takes the mirror from its own default."""

BUILDER_VERSION = 2
"""Raised when an image made by older code must not be used any more."""

PACKAGES = (
    "busybox-static",
    "ethtool",
    "ibverbs-providers",
    "ibverbs-utils",
    "iproute2",
    "iputils-ping",
    "kmod",
    "libpython3-stdlib",
    "linux-image-amd64",
    "nftables",
    "openssh-server",
    "openssh-sftp-server",
    "perftest",
    "procps",
    "python3-minimal",
    "python3-pyverbs",
    "rdma-core",
    "tcpdump",
)

DPKG_PATHS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/etc/kernel/postinst.d/initramfs-tools",
    "path-exclude=/usr/lib/modules/*/kernel/sound/*",
    "path-exclude=/usr/lib/modules/*/kernel/fs/*",
    "path-include=/usr/lib/modules/*/kernel/fs/configfs/*",
    "path-include=/usr/lib/modules/*/kernel/fs/overlayfs/*",
    "path-include=/usr/lib/modules/*/kernel/fs/squashfs/*",
    "path-exclude=/usr/lib/modules/*/kernel/drivers/*",
    "path-include=/usr/lib/modules/*/kernel/drivers/block/virtio_blk*",
    "path-include=/usr/lib/modules/*/kernel/drivers/char/*",
    "path-include=/usr/lib/modules/*/kernel/drivers/infiniband/*",
    "path-include=/usr/lib/modules/*/kernel/drivers/net/*",
    "path-include=/usr/lib/modules/*/kernel/drivers/virtio/*",
)
"""What dpkg leaves out: documents, and drivers of hardware that no guest has. The last match wins."""

EARLY_MODULES = ("virtio_blk", "squashfs", "overlay", "virtio_net")
"""What the initramfs loads, with all they depend on."""

GUEST_FILES: Mapping[str, tuple[str, int]] = {
    "boot": ("usr/lib/roce/boot", 0o755),
    "control": ("usr/lib/roce/control", 0o755),
    "inittab": ("etc/inittab", 0o644),
    "modules": ("etc/roce/modules", 0o644),
    "sshd_config": ("etc/roce/sshd_config", 0o644),
    "sysctl": ("etc/roce/sysctl", 0o644),
}
"""Files of `guestfiles/` and where they go in the guest."""


def guest_file(name: str) -> bytes:
    """Return a file of `guestfiles/`."""
    return (resources.files(__package__) / "guestfiles" / name).read_bytes()


def digest() -> str:
    """Return the hash of all that decides what is in the image."""
    what = {
        "builder": BUILDER_VERSION,
        "suite": SUITE,
        "packages": PACKAGES,
        "dpkg": DPKG_PATHS,
        "early": EARLY_MODULES,
        "files": {name: guest_file(name).decode() for name in (*GUEST_FILES, "initramfs-init")},
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
