"""Who a host is: its key, compared with the files that say which key is known.

Files are those of OpenSSH (`known_hosts`): plain, hashed and wildcard names, `@revoked`. Certificates of host keys
(`@cert-authority`) are not read; a host that is known by nothing else is unknown. A file is parsed once for all
hosts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from harness.core.errors import ConfigError

REVOKED = "@revoked"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A line of a known_hosts file."""

    kind: str
    blob: bytes
    file: Path
    line: int
    revoked: bool = False
    borrowed: bool = False
    """Known of the same name at the default port: the key is trusted, but another one does not contradict it."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint as ssh-keygen prints it."""
        return fingerprint(self.blob)

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.kind} {self.fingerprint})"


class KnownHosts:
    """One known_hosts file, ready to be asked."""

    def __init__(self, path: Path, text: str) -> None:
        self._plain: dict[str, list[KnownKey]] = {}
        self._patterns: list[tuple[tuple[str, ...], KnownKey]] = []
        self._hashed: list[tuple[bytes, bytes, KnownKey]] = []
        for number, line in enumerate(text.splitlines(), 1):
            self._add(path, number, line.split())

    def _add(self, path: Path, number: int, words: list[str]) -> None:
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or marker not in {"", REVOKED}:
            return
        try:
            blob = base64.b64decode(words[2], validate=True)
            self._file(words[0], KnownKey(words[1], blob, path, number, revoked=marker == REVOKED))
        except binascii.Error:
            return  # OpenSSH skips what it cannot read, too

    def _file(self, names: str, key: KnownKey) -> None:
        if names.startswith("|1|"):
            parts = names.split("|")
            if len(parts) == 4:
                self._hashed.append((base64.b64decode(parts[2]), base64.b64decode(parts[3]), key))
        elif any(mark in names for mark in "*?!"):
            self._patterns.append((tuple(names.lower().split(",")), key))
        else:
            for name in names.lower().split(","):
                self._plain.setdefault(name, []).append(key)

    def find(self, name: str) -> list[KnownKey]:
        """Return what is known of a host by its name as the file writes it: `h1`, or `[h1]:2222`."""
        found = list(self._plain.get(name, ()))
        found += [key for patterns, key in self._patterns if _matches(patterns, name)]
        data = name.encode()
        found += [key for salt, digest, key in self._hashed if hmac.digest(salt, data, "sha1") == digest]
        return found


def _matches(patterns: Iterable[str], name: str) -> bool:
    """Say whether a list of patterns takes a name; one that is negated and matches refuses it."""
    taken = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        # In fnmatch a bracket opens a set; here it is part of `[host]:port`.
        if fnmatchcase(name, pattern.removeprefix("!").replace("[", "[[]")):
            if negated:
                return False
            taken = True
    return taken


_parsed: dict[Path, tuple[tuple[int, int], KnownHosts]] = {}
_parsing = threading.Lock()


def load(path: Path) -> KnownHosts | None:
    """Return a known_hosts file, parsed anew only when it has changed; None when there is none.

    Raises ConfigError when it cannot be read.
    """
    with _parsing:
        try:
            stat = path.stat()
            state = (stat.st_mtime_ns, stat.st_size)
            if path not in _parsed or _parsed[path][0] != state:
                _parsed[path] = (state, KnownHosts(path, path.read_text(encoding="utf-8", errors="replace")))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"cannot read known host keys: {error.strerror}", file=path) from error
        return _parsed[path][1]


def known_keys(files: Sequence[Path], name: str, port: int) -> list[KnownKey]:
    """Return all that is known of a host.

    As with OpenSSH, keys of its name alone count where none is known of its own port. Raises ConfigError for a file
    that cannot be read.
    """
    tables = [table for table in map(load, files) if table is not None]
    plain = name.lower()
    own = plain if port == 22 else f"[{plain}]:{port}"
    found = [key for table in tables for key in table.find(own)]
    if found or port == 22:
        return found
    return [replace(key, borrowed=True) for table in tables for key in table.find(plain)]


def fingerprint(blob: bytes) -> str:
    """Return the fingerprint of a public key as ssh-keygen prints it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"
