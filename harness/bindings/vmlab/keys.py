"""The keys of the lab: one for the controller, one that all guests show. Made at build, kept beside the image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the keys are; `folder` is that of the image."""

    folder: Path

    @property
    def client_private(self) -> Path:
        """Opens root on every guest."""
        return self.folder / "id_ed25519"

    @property
    def client_public(self) -> Path:
        """Root's authorized_keys."""
        return self.folder / "id_ed25519.pub"

    @property
    def host_private(self) -> Path:
        """What every sshd proves."""
        return self.folder / "host_ed25519"

    @property
    def host_public(self) -> Path:
        """What known_hosts lists."""
        return self.folder / "host_ed25519.pub"


def make_keys(folder: Path) -> Keys:
    """Write two new ed25519 pairs in OpenSSH's format, the private halves with mode 0600."""
    keys = Keys(folder)
    _write_pair(keys.client_private, keys.client_public, "roce-lab")
    _write_pair(keys.host_private, keys.host_public, "roce-lab-guest")
    return keys


def _write_pair(private: Path, public: Path, comment: str) -> None:
    key = Ed25519PrivateKey.generate()
    descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    public.write_text(f"{line} {comment}\n")
